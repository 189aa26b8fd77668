package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/internal/pipe"
)

// pipeRetry is how often it is looked whether somebody reads a pipe: whoever does waits for us to open it.
const pipeRetry = 2 * time.Millisecond

// throughPipe calls use while what r holds can be read, once, from a named pipe at path. It closes r.
func throughPipe(ctx context.Context, path string, r io.ReadCloser, use func() error) error {
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("make the pipe %q: %w", path, err), r.Close())
	}
	feedCtx, stop := context.WithCancel(ctx)
	fed := make(chan error, 1)
	go func() { fed <- feed(feedCtx, path, r) }()
	err := use()
	stop()
	closeErr := r.Close() // which ends a read that waits
	// Who has read what it wanted need not read to the end; who failed may have done so because there was no more to read.
	if feedErr := <-fed; err != nil && !endedByUs(feedErr) {
		err = errors.Join(feedErr, err)
	}
	return errors.Join(err, closeErr, os.Remove(path))
}

// endedByUs tells the errors of a feed that was stopped, or whose reader had enough, from those of what it read.
func endedByUs(err error) bool {
	for _, ours := range []error{context.Canceled, os.ErrClosed, io.ErrClosedPipe, syscall.EPIPE} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}

// feed copies r into the pipe as soon as somebody reads it, until ctx ends.
func feed(ctx context.Context, path string, r io.Reader) error {
	to, err := openPipe(ctx, path)
	if err != nil {
		return err
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() { to.Close() })()
	pipe.Widen(to)
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	return err
}

// openPipe opens the pipe for writing, without waiting in the kernel, where nothing could end it.
func openPipe(ctx context.Context, path string) (*os.File, error) {
	tick := time.NewTicker(pipeRetry)
	defer tick.Stop()
	for {
		to, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, syscall.ENXIO) {
			return to, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
