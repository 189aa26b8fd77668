package sshtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// ptyRequest is the payload of pty-req (RFC 4254, section 6.2), without the modes.
type ptyRequest struct {
	Term       string
	Cols, Rows uint32
	Rest       []byte `ssh:"rest"`
}

// windowChange is the payload of window-change (RFC 4254, section 6.7), without pixels.
type windowChange struct {
	Cols, Rows uint32
	Rest       []byte `ssh:"rest"`
}

// terminal is what a session knows of the client's terminal.
type terminal struct {
	mu         sync.Mutex
	rows, cols uint32
	pty        *os.File // of the shell that runs on it; nil before
}

// resize tells the shell its size, now or when it starts.
func (t *terminal) resize(rows, cols uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows, t.cols = rows, cols
	t.apply()
}

// attach gives the terminal to a shell, or takes it away with nil.
func (t *terminal) attach(pty *os.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pty = pty
	t.apply()
}

// apply sets the size of the pty. The caller holds mu.
func (t *terminal) apply() {
	if t.pty == nil {
		return
	}
	size := &unix.Winsize{Row: uint16(t.rows), Col: uint16(t.cols)}
	_ = control(t.pty, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
}

// control calls an ioctl without taking the file from the poller, as Fd would.
func control(f *os.File, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = call(int(fd)) }); err != nil {
		return err
	}
	return result
}

// OpenPTY makes a pseudo-terminal (pts(4)): the end of whoever shows it and that of what runs on it.
func OpenPTY() (ours, theirs *os.File, err error) {
	if ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0); err != nil {
		return nil, nil, err
	}
	var number uint32
	err = control(ours, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetUint32(fd, unix.TIOCGPTN)
		return err
	})
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		_ = ours.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// login prepares a login shell, on a terminal if the client asked for one.
func (s *session) login(ctx context.Context) bool {
	if s.started {
		return false
	}
	s.started = true
	cmd := exec.CommandContext(ctx, "sh")
	cmd.Dir, cmd.Env = s.conn.server.Root, append(s.baseEnv(), s.env...)
	cmd.WaitDelay = time.Minute
	run := s.plainShell
	if s.pty {
		run = s.ptyShell
	}
	s.start = func() {
		run(cmd)
		_ = s.ch.Close()
	}
	return true
}

// plainShell lets a shell read its commands from the client.
func (s *session) plainShell(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.ch, s.ch, s.ch.Stderr()
	s.report(cmd.Run())
}

// ptyShell runs a shell on a terminal of its own. When its session ends the terminal hangs up, as sshd does it.
func (s *session) ptyShell(cmd *exec.Cmd) {
	ours, theirs, err := OpenPTY()
	if err != nil {
		s.exit(126)
		return
	}
	defer ours.Close()
	s.term.attach(ours)
	defer s.term.attach(nil)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Cancel = func() error {
		_ = ours.Close() // hangs up: whatever else has the terminal open ends too
		return cmd.Process.Kill()
	}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		s.exit(126)
		return
	}
	s.wg.Go(func() { _, _ = io.Copy(ours, s.ch) })
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(s.ch, ours) // ends with EIO when nobody has the terminal open
	}()
	err = cmd.Wait()
	<-copied
	s.report(err)
}

// terminalRequest serves what a client says of its terminal.
func (s *session) terminalRequest(r *ssh.Request) bool {
	switch r.Type {
	case "pty-req":
		var p ptyRequest
		if ssh.Unmarshal(r.Payload, &p) != nil {
			return false
		}
		s.pty = true
		s.env = append(s.env, "TERM="+p.Term)
		s.term.resize(p.Rows, p.Cols)
	case "window-change":
		var w windowChange
		if ssh.Unmarshal(r.Payload, &w) != nil {
			return false
		}
		s.term.resize(w.Rows, w.Cols)
	}
	return true
}
