package sshguest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/boxkiln/boxkiln/provisioners"
)

// killGrace is how long a server may take to end a cancelled command before the connection is cut.
const killGrace = 5 * time.Second

// Run runs a command to its end. If ctx ends first, the command is killed and its channel closed.
func (g *Guest) Run(ctx context.Context, c provisioners.Command) (int, error) {
	ctx, cancel := g.whileOpen(ctx)
	defer cancel()
	return g.run(ctx, c)
}

func (g *Guest) run(ctx context.Context, c provisioners.Command) (int, error) {
	l, s, err := g.open(ctx)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if err := l.prepare(s, g.w.cfg.SSH.PTY); err != nil {
		return 0, err
	}
	return l.run(ctx, s, c)
}

// prepare asks for a terminal and the agent.
func (l *link) prepare(s *ssh.Session, pty bool) error {
	if pty {
		modes := ssh.TerminalModes{ssh.ECHO: 0, ssh.TTY_OP_ISPEED: 14400, ssh.TTY_OP_OSPEED: 14400}
		if err := s.RequestPty("xterm", 40, 80, modes); err != nil {
			return fmt.Errorf("the server gives no terminal (ssh_pty): %w", err)
		}
	}
	if l.agent {
		_ = agent.RequestAgentForwarding(s) // the command can do without
	}
	return nil
}

// run starts a command on a session and waits for it.
func (l *link) run(ctx context.Context, s *ssh.Session, c provisioners.Command) (int, error) {
	l.running.Add(1)
	defer l.running.Add(-1)
	return l.carryOut(ctx, s, c, func() error { return s.Start(c.Line) }, l.kill)
}

// carryOut starts what runs on a session, gives it the input and output of c, and waits for its end. When ctx ends, it is
// ended by kill.
func (l *link) carryOut(ctx context.Context, s *ssh.Session, c provisioners.Command, start func() error, kill func(*ssh.Session)) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var output sync.Mutex
	s.Stdout = &sink{w: c.Stdout, mu: &output, fail: cancel}
	s.Stderr = &sink{w: c.Stderr, mu: &output, fail: cancel}
	var input io.WriteCloser
	if c.Stdin != nil {
		var err error
		if input, err = s.StdinPipe(); err != nil {
			return 0, err
		}
	}
	ended := l.killWhenDone(ctx, s, kill)
	defer close(ended)
	if err := start(); err != nil {
		return l.status(ctx, err)
	}
	var feed sync.WaitGroup
	if input != nil {
		feed.Go(func() { feedInput(input, c.Stdin, cancel) })
	}
	status, err := l.status(ctx, s.Wait())
	if p, ok := c.Stdin.(*io.PipeReader); ok {
		_ = p.Close() // nobody else would end a read from it
	}
	feed.Wait() // its writes fail now
	return status, err
}

// killWhenDone ends the command if ctx does. The returned channel is to be closed when the command has ended.
func (l *link) killWhenDone(ctx context.Context, s *ssh.Session, kill func(*ssh.Session)) chan struct{} {
	ended := make(chan struct{})
	go func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		stuck := time.AfterFunc(killGrace, func() { _ = l.Client.Close() })
		defer stuck.Stop()
		kill(s)
		<-ended
	}()
	return ended
}

// killOthers ends the process group of every other command of the connection that runs it: sshd is the parent of both,
// and gives both the same SSH_CONNECTION. dash and bash agree on this form of kill only.
const killOthers = `[ -n "$SSH_CONNECTION" ] || exit 1
for d in /proc/[0-9]*; do
  [ "${d#/proc/}" = $$ ] && continue
  while read -r key value; do [ "$key" = PPid: ] && break; done 2>/dev/null < $d/status
  [ "$value" = "$PPID" ] || continue
  tr '\0' '\n' 2>/dev/null < $d/environ | grep -qxF "SSH_CONNECTION=$SSH_CONNECTION" && kill -KILL -"${d#/proc/}"
done`

// kill ends a command and closes its channel. OpenSSH passes signals on for ordinary users but not for root, and lets a
// command without a terminal run on when its channel closes; there a second session looks for it, if it is alone.
func (l *link) kill(s *ssh.Session) {
	passed, err := s.SendRequest("signal", true, ssh.Marshal(struct{ Name string }{string(ssh.SIGKILL)}))
	if err == nil && !passed && l.running.Load() == 1 {
		if killer, err := l.NewSession(); err == nil {
			_ = killer.Run(killOthers)
			_ = killer.Close()
		}
	}
	_ = s.Close()
}

// status reads how a command ended.
func (l *link) status(ctx context.Context, err error) (int, error) {
	var exit *ssh.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	}
	var missing *ssh.ExitMissingError
	if errors.As(err, &missing) {
		err = nil
	}
	return 0, l.lost(err)
}

// feedInput passes the input on. A reader that fails ends the command, which must not take half of it for the whole.
func feedInput(dst io.WriteCloser, src io.Reader, fail context.CancelCauseFunc) {
	r := &failing{r: src}
	_, _ = io.Copy(dst, r)
	if r.err != nil {
		fail(fmt.Errorf("input of the command: %w", r.err))
		return
	}
	_ = dst.Close()
}

// failing remembers the error of a reader, to tell it from one of the connection.
type failing struct {
	r   io.Reader
	err error
}

// Read passes on.
func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// sink writes one of a command's two outputs. A writer that fails ends the command; what comes after is dropped, since
// a channel that nobody reads would hold the command up.
type sink struct {
	w    io.Writer
	mu   *sync.Mutex // of both outputs, which may share a writer
	fail context.CancelCauseFunc
}

// Write never fails.
func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return len(p), nil
	}
	if _, err := s.w.Write(p); err != nil {
		s.fail(fmt.Errorf("output of the command: %w", err))
		s.w = nil
	}
	return len(p), nil
}
