package guesttest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/provisioners"
)

// Local is a guest that is this very system: commands run by sh, paths are those of the host. It passes [Run], and is
// what provisioners are tested with.
type Local struct {
	// Before is asked before each call, which then fails with its error; what is "run", "put" or "get", and detail the
	// command line or the path. It may be nil.
	Before func(what, detail string) error

	mu      sync.Mutex
	closed  bool
	running map[*exec.Cmd]struct{}
	dropped map[*exec.Cmd]struct{}
	reboots int
}

var (
	_ provisioners.Guest = (*Local)(nil)
	_ provisioners.Tree  = (*Local)(nil)
)

// errClosed is returned by calls after Close.
var errClosed = errors.New("the guest is closed")

func (l *Local) before(ctx context.Context, what, detail string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case l.Before != nil:
		return l.Before(what, detail)
	}
	return nil
}

// Run runs a command in a process group of its own.
func (l *Local) Run(ctx context.Context, c provisioners.Command) (int, error) {
	if err := l.before(ctx, "run", c.Line); err != nil {
		return 0, err
	}
	runCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(runCtx, "sh", "-c", c.Line)
	var output sync.Mutex
	cmd.Stdout = &stream{w: c.Stdout, mu: &output, fail: cancel}
	cmd.Stderr = &stream{w: c.Stderr, mu: &output, fail: cancel}
	cmd.Stdin = c.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Minute // for what a command left in the background with its output open
	if err := l.start(cmd); err != nil {
		return 0, err
	}
	err := cmd.Wait()
	if l.untrack(cmd) {
		return 0, provisioners.ErrDisconnected
	}
	return localStatus(runCtx, err)
}

func localStatus(ctx context.Context, err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.As(err, &exit):
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return 128 + int(s.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// start starts a command that Drop knows before anybody can have seen its output.
func (l *Local) start(cmd *exec.Cmd) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	if l.running == nil {
		l.running, l.dropped = map[*exec.Cmd]struct{}{}, map[*exec.Cmd]struct{}{}
	}
	l.running[cmd] = struct{}{}
	return nil
}

func (l *Local) untrack(cmd *exec.Cmd) (dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, cmd)
	_, dropped = l.dropped[cmd]
	delete(l.dropped, cmd)
	return dropped
}

// Drop ends all commands as a lost connection does.
func (l *Local) Drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for cmd := range l.running {
		l.dropped[cmd] = struct{}{}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}

// PlanReboot counts; see Reboots.
func (l *Local) PlanReboot() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reboots++
}

// Reboots is how often a reboot was announced.
func (l *Local) Reboots() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reboots
}

// Put writes a file.
func (l *Local) Put(ctx context.Context, dst string, mode fs.FileMode, src io.Reader) error {
	if err := l.before(ctx, "put", dst); err != nil {
		return err
	}
	_, missing := os.Stat(dst)
	f, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, src)
	err = errors.Join(err, f.Chmod(mode.Perm()), f.Close())
	if err != nil && missing != nil {
		_ = os.Remove(dst)
	}
	return err
}

// Get reads a file.
func (l *Local) Get(ctx context.Context, src string, dst io.Writer) error {
	if err := l.before(ctx, "get", src); err != nil {
		return err
	}
	f, err := os.Open(src)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(dst, f)
	return err
}

// PutDir copies a tree of files.
func (l *Local) PutDir(ctx context.Context, dst string, src fs.FS) error {
	return fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		to := filepath.Join(dst, filepath.FromSlash(name))
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(to, 0o755))
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f, err := src.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return l.Put(ctx, to, info.Mode(), f)
	})
}

// GetDir copies a tree of files back.
func (l *Local) GetDir(ctx context.Context, src string, create func(name string, mode fs.FileMode) (io.WriteCloser, error)) error {
	prefix := path.Base(src)
	if strings.HasSuffix(src, "/") {
		prefix = ""
	}
	return fs.WalkDir(os.DirFS(src), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		w, err := create(path.Join(prefix, name), 0o644)
		if err != nil {
			return err
		}
		return errors.Join(l.Get(ctx, filepath.Join(src, name), w), w.Close())
	})
}

// Close ends the guest's life; the system goes on.
func (l *Local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

// stream is one of a command's two outputs.
type stream struct {
	w    io.Writer
	mu   *sync.Mutex
	fail context.CancelCauseFunc
}

func (o *stream) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.w == nil {
		return len(p), nil
	}
	if _, err := o.w.Write(p); err != nil {
		o.fail(err)
		o.w = nil
	}
	return len(p), nil
}
