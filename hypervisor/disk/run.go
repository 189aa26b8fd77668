package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// ErrNoQemuImg is returned when the program is not installed.
var ErrNoQemuImg = errors.New(`qemu-img is not installed: install the package "qemu-utils" (Debian, Ubuntu), ` +
	`"qemu-img" (Fedora, Arch) or "qemu-tools" (openSUSE)`)

// ToolError is what qemu-img answered when it failed. It wraps syscall.ENOSPC when the disk is full.
type ToolError struct {
	Verb   string // create, convert ...
	Status int    // exit status; -1 after a signal
	Output string // what it wrote to standard error, trimmed
}

func (e *ToolError) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("qemu-img %s ended with exit status %d", e.Verb, e.Status)
	}
	return fmt.Sprintf("qemu-img %s: %s", e.Verb, strings.TrimPrefix(e.Output, "qemu-img: "))
}

// Unwrap lets errors.Is find a full disk.
func (e *ToolError) Unwrap() error {
	if strings.Contains(e.Output, "No space left on device") || strings.Contains(e.Output, "Disk quota exceeded") {
		return syscall.ENOSPC
	}
	return nil
}

func exitStatus(err error) int {
	if e, ok := errors.AsType[*ToolError](err); ok {
		return e.Status
	}
	return 0
}

// output runs qemu-img and returns what it wrote to standard output, also when it failed.
func (t Tool) output(ctx context.Context, args []string) ([]byte, error) {
	var out bytes.Buffer
	err := t.run(ctx, args, &out)
	return out.Bytes(), err
}

// run runs qemu-img to its end. When ctx ends first the process is killed and the error is ctx's cause.
func (t Tool) run(ctx context.Context, args []string, stdout io.Writer) error {
	path := t.Path
	if path == "" {
		path = "qemu-img"
	}
	var stderr tail
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C") // ToolError looks for English words
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	dieWithParent(cmd)
	// The kernel ties "die with the parent" to the thread that started the process, so keep it until the end.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return ErrNoQemuImg
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &ToolError{Verb: args[0], Status: exit.ExitCode(), Output: stderr.String()}
	}
	return err
}

// tail keeps the end of what is written to it, enough for an error message.
type tail struct{ b []byte }

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if extra := len(t.b) - tailSize; extra > 0 {
		t.b = t.b[extra:]
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.b)) }
