package sshtest

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// conn is one logged-in connection.
type conn struct {
	*ssh.ServerConn
	server *Server
	ctx    context.Context // ends with the connection
	wg     sync.WaitGroup
}

// serve speaks to one client until it goes.
func (s *Server) serve(raw net.Conn) {
	if !s.pause(s.opts.BannerDelay) {
		return
	}
	sc, channels, requests, err := ssh.NewServerConn(raw, s.config())
	if err != nil {
		return // the client learned why
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{ServerConn: sc, server: s, ctx: ctx}
	c.wg.Go(func() { c.globalRequests(requests) })
	for ch := range channels {
		c.wg.Go(func() { c.open(ch) })
	}
	cancel()
	c.wg.Wait()
}

// pause waits, and reports false if the server was closed meanwhile.
func (s *Server) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.closing:
		return false
	}
}

func (c *conn) open(ch ssh.NewChannel) {
	switch ch.ChannelType() {
	case "session":
		c.session(ch)
	case "direct-tcpip":
		c.directTCP(ch)
	default:
		_ = ch.Reject(ssh.UnknownChannelType, "unknown channel type")
	}
}

// session is what a session channel asked for before its command.
type session struct {
	conn    *conn
	ch      ssh.Channel
	env     []string
	pty     bool
	term    terminal
	agent   bool
	started bool   // a session runs one thing only
	start   func() // what was asked for, to be run after the reply
	signals chan ssh.Signal
	wg      sync.WaitGroup
}

func (c *conn) session(nc ssh.NewChannel) {
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	ctx, cancel := context.WithCancel(c.ctx)
	if c.server.opts.NoSignals {
		ctx = c.ctx
	}
	s := &session{conn: c, ch: ch, signals: make(chan ssh.Signal, 8)}
	for r := range requests {
		ok := s.request(ctx, r)
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
		if s.start != nil { // only now: a quick command must not close the channel before the reply
			s.wg.Go(s.start)
			s.start = nil
		}
	}
	cancel() // the client closed the channel, or the connection is gone
	s.wg.Wait()
}

// request serves one request of RFC 4254, section 6.
func (s *session) request(ctx context.Context, r *ssh.Request) bool {
	var text struct {
		Value string
		Rest  []byte `ssh:"rest"`
	}
	switch r.Type { // those without a text at the beginning of their payload
	case "auth-agent-req@openssh.com":
		s.agent = true
		return true
	case "shell":
		return s.login(ctx)
	case "pty-req", "window-change":
		return s.terminalRequest(r)
	}
	if err := ssh.Unmarshal(r.Payload, &text); err != nil {
		return false
	}
	switch r.Type {
	case "signal":
		return !s.conn.server.opts.NoSignals && s.signal(ssh.Signal(text.Value))
	case "exec":
		return s.exec(ctx, text.Value)
	case "subsystem":
		return s.subsystem(text.Value)
	}
	return false
}

func (s *session) signal(sig ssh.Signal) bool {
	select {
	case s.signals <- sig:
		return true
	default:
		return false
	}
}

func (s *session) subsystem(name string) bool {
	if name != "sftp" || s.conn.server.opts.NoSFTP || s.started {
		return false
	}
	server, err := sftp.NewServer(s.ch, sftp.WithServerWorkingDirectory(s.conn.server.Root))
	if err != nil {
		return false
	}
	s.started = true
	s.start = func() {
		if err := server.Serve(); err == nil || err == io.EOF {
			s.exit(0)
		}
		_ = s.ch.Close()
	}
	return true
}

func (s *session) exit(status int) {
	_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
}
