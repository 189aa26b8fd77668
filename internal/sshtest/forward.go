package sshtest

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// directTCP connects a channel with a port that the server can reach. RFC 4254, section 7.2.
func (c *conn) directTCP(nc ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(nc.ExtraData(), &to); err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, "bad request")
		return
	}
	var d net.Dialer
	target, err := d.DialContext(c.ctx, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, requests, err := nc.Accept()
	if err != nil {
		_ = target.Close()
		return
	}
	c.wg.Go(func() { ssh.DiscardRequests(requests) })
	c.join(ch, target)
}

// join copies both ways until both sides are done or the connection is gone.
func (c *conn) join(a, b io.ReadWriteCloser) {
	stop := context.AfterFunc(c.ctx, func() {
		_ = a.Close()
		_ = b.Close()
	})
	defer stop()
	var wg sync.WaitGroup
	half := func(dst, src io.ReadWriteCloser) {
		_, _ = io.Copy(dst, src)
		if w, ok := dst.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite()
		}
	}
	wg.Go(func() { half(a, b) })
	wg.Go(func() { half(b, a) })
	wg.Wait()
	_ = a.Close()
	_ = b.Close()
}

// globalRequests serves keep-alives and tcpip-forward (RFC 4254, section 7.1).
func (c *conn) globalRequests(requests <-chan *ssh.Request) {
	listeners := map[uint32]net.Listener{}
	for r := range requests {
		ok, reply := false, []byte(nil)
		if r.Type == "tcpip-forward" {
			ok, reply = c.listenForward(r.Payload, listeners)
		}
		if r.WantReply {
			_ = r.Reply(ok, reply) // false is the answer to a keep-alive
		}
	}
	for _, l := range listeners {
		_ = l.Close()
	}
}

func (c *conn) listenForward(payload []byte, listeners map[uint32]net.Listener) (bool, []byte) {
	var at struct {
		Host string
		Port uint32
	}
	if err := ssh.Unmarshal(payload, &at); err != nil {
		return false, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(at.Port))))
	if err != nil {
		return false, nil
	}
	port := uint32(l.Addr().(*net.TCPAddr).Port)
	listeners[port] = l
	c.wg.Go(func() {
		for {
			local, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.forwarded(local, at.Host, port) })
		}
	})
	return true, ssh.Marshal(struct{ Port uint32 }{port})
}

func (c *conn) forwarded(local net.Conn, host string, port uint32) {
	ch, requests, err := c.OpenChannel("forwarded-tcpip", ssh.Marshal(struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}{host, port, "127.0.0.1", 1}))
	if err != nil {
		_ = local.Close()
		return
	}
	c.wg.Go(func() { ssh.DiscardRequests(requests) })
	c.join(ch, local)
}

// forwardAgent listens on a socket that leads to the client's agent and returns the variable that names it.
func (s *session) forwardAgent(ctx context.Context) []string {
	dir, err := os.MkdirTemp(s.conn.server.tempDir, "agent")
	if err != nil {
		return nil
	}
	path := filepath.Join(dir, "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	c := s.conn
	s.wg.Go(func() {
		for {
			local, err := l.Accept()
			if err != nil {
				return
			}
			ch, requests, err := c.OpenChannel("auth-agent@openssh.com", nil)
			if err != nil {
				_ = local.Close()
				continue
			}
			c.wg.Go(func() { ssh.DiscardRequests(requests) })
			c.wg.Go(func() { c.join(ch, local) })
		}
	})
	return []string{"SSH_AUTH_SOCK=" + path}
}
