package sshguest

import (
	"context"
	"fmt"

	"golang.org/x/crypto/ssh"

	"github.com/boxkiln/boxkiln/provisioners"
)

var _ provisioners.Terminal = (*Guest)(nil)

// loginShell is what runs where nobody has a terminal and nobody gave a command. The user's own shell reads its input.
const loginShell = `exec "${SHELL:-/bin/sh}" -l`

// terminalSpeed is what a terminal is told to have, in bits a second; OpenSSH's client says the same.
const terminalSpeed = 38400

// Shell implements provisioners.Terminal, in a session of its own beside those of provisioners.
func (g *Guest) Shell(ctx context.Context, t provisioners.TerminalRequest) (int, error) {
	if t.Term == "" {
		line := t.Command
		if line == "" {
			line = loginShell
		}
		return g.Run(ctx, provisioners.Command{Line: line, Stdin: t.Stdin, Stdout: t.Stdout, Stderr: t.Stderr})
	}
	ctx, cancel := g.whileOpen(ctx)
	defer cancel()
	l, s, err := g.open(ctx)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	return l.shell(ctx, s, t)
}

// shell runs a shell on a terminal. When the session closes, sshd hangs up the terminal, and what runs on it ends; so this
// needs no search for processes as for commands, which would find those of provisioners too.
func (l *link) shell(ctx context.Context, s *ssh.Session, t provisioners.TerminalRequest) (int, error) {
	modes := ssh.TerminalModes{ssh.ECHO: 1, ssh.TTY_OP_ISPEED: terminalSpeed, ssh.TTY_OP_OSPEED: terminalSpeed}
	if err := s.RequestPty(t.Term, t.Size.Rows, t.Size.Cols, modes); err != nil {
		return 0, fmt.Errorf("the server gives no terminal: %w", err)
	}
	start := s.Shell
	if t.Command != "" {
		start = func() error { return s.Start(t.Command) }
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resized := make(chan struct{})
	go func() {
		defer close(resized)
		followSize(ctx, s, t.Resize)
	}()
	c := provisioners.Command{Stdin: t.Stdin, Stdout: t.Stdout, Stderr: t.Stdout}
	exit, err := l.carryOut(ctx, s, c, start, func(s *ssh.Session) { _ = s.Close() })
	cancel()
	<-resized
	return exit, err
}

// followSize passes new sizes on until ctx ends. A server that takes none loses nothing but its looks.
func followSize(ctx context.Context, s *ssh.Session, sizes <-chan provisioners.Size) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok {
				return
			}
			_ = s.WindowChange(size.Rows, size.Cols)
		case <-ctx.Done():
			return
		}
	}
}
