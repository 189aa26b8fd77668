package sshtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// Command is what a client asked to run, for a Handler.
type Command struct {
	Context context.Context // ends when the client closes the channel or is gone
	Line    string
	Env     []string // KEY=value
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Signals <-chan ssh.Signal
}

// exec prepares a command.
func (s *session) exec(ctx context.Context, line string) bool {
	if s.started {
		return false
	}
	s.started = true
	opts := s.conn.server.opts
	if opts.DropOn != nil && opts.DropOn(line) {
		_ = s.conn.ServerConn.Close()
		return false
	}
	c := &Command{
		Context: ctx, Line: line, Env: append(s.baseEnv(), s.env...),
		Stdin: s.ch, Stdout: s.ch, Stderr: s.ch.Stderr(), Signals: s.signals,
	}
	if s.pty {
		c.Stderr = s.ch // a terminal is one stream
	}
	run := s.shell
	if opts.Handler != nil {
		run = func(c *Command) { s.exit(opts.Handler(c)) }
	}
	if s.agent {
		c.Env = append(c.Env, s.forwardAgent(ctx)...)
	}
	s.start = func() {
		run(c)
		_ = s.ch.Close()
	}
	return true
}

func (s *session) baseEnv() []string {
	from, to := spaced(s.conn.RemoteAddr()), spaced(s.conn.LocalAddr())
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + s.conn.server.Root, "SSH_CONNECTION=" + from + " " + to,
	}
	return append(env, s.conn.server.opts.Env...)
}

// spaced is an address as sshd writes it into SSH_CONNECTION.
func spaced(a net.Addr) string {
	host, port, _ := net.SplitHostPort(a.String())
	return host + " " + port
}

// shell runs a command by sh in a process group of its own, which ends with the channel.
func (s *session) shell(c *Command) {
	cmd := exec.CommandContext(c.Context, "sh", "-c", c.Line)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.conn.server.Root, c.Env, c.Stdout, c.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Minute // sshd waits for ever for background processes that keep the output open
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.exit(126)
		return
	}
	// Ends when the client has sent everything, or when the channel closes after the command.
	s.wg.Go(func() {
		_, _ = io.Copy(stdin, c.Stdin)
		_ = stdin.Close()
	})
	ended := make(chan struct{})
	s.wg.Go(func() { deliver(c.Signals, cmd.Process.Pid, ended) })
	err = cmd.Wait()
	close(ended)
	s.report(err)
}

// deliver passes signals to a process group until it has ended.
func deliver(signals <-chan ssh.Signal, pgid int, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case sig := <-signals:
			if n, known := signalNumbers()[sig]; known {
				_ = syscall.Kill(-pgid, n)
			}
		}
	}
}

func signalNumbers() map[ssh.Signal]syscall.Signal {
	return map[ssh.Signal]syscall.Signal{
		ssh.SIGHUP: syscall.SIGHUP, ssh.SIGINT: syscall.SIGINT, ssh.SIGKILL: syscall.SIGKILL,
		ssh.SIGQUIT: syscall.SIGQUIT, ssh.SIGTERM: syscall.SIGTERM, ssh.SIGUSR1: syscall.SIGUSR1, ssh.SIGUSR2: syscall.SIGUSR2,
	}
}

// report tells the client how the command ended.
func (s *session) report(err error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		s.exit(0)
		return
	}
	status, _ := exit.Sys().(syscall.WaitStatus)
	if !status.Signaled() {
		s.exit(exit.ExitCode())
		return
	}
	name := ssh.SIGKILL
	for sig, n := range signalNumbers() {
		if n == status.Signal() {
			name = sig
		}
	}
	_, _ = s.ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
		Signal     string
		CoreDumped bool
		Message    string
		Language   string
	}{Signal: string(name)}))
}
