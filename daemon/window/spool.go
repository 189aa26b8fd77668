package window

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// SpoolLimit is the size in bytes at which a spool is cut: a guest that prints without end fills no disk. The spool says so
// at its end.
const SpoolLimit = 64 << 20

// Spool is the copy of what a machine writes to its serial port. It may be used by several goroutines.
type Spool struct {
	path  string
	limit int64

	mu     sync.Mutex
	f      *os.File
	size   int64
	cut    bool
	closed bool
	err    error         // the first of writing
	fresh  chan struct{} // closed and replaced when there is more, or no more
}

// NewSpool makes the file at path, which must not exist.
func NewSpool(path string) (*Spool, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the copy of the serial log: %w", err)
	}
	return &Spool{path: path, limit: SpoolLimit, f: f, fresh: make(chan struct{})}, nil
}

// Write appends. It never fails and never waits for a reader: a full disk must not stop a build by its console.
func (s *Spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.cut || s.err != nil || len(p) == 0 {
		return len(p), nil
	}
	part := p
	if room := s.limit - s.size; int64(len(part)) > room {
		s.cut = true
		part = append(part[:room:room], fmt.Sprintf("\r\n[the serial log has reached %d MiB: what follows is left out]\r\n", s.limit>>20)...)
	}
	n, err := s.f.Write(part)
	s.size += int64(n)
	s.err = err
	s.wake()
	return len(p), nil
}

// wake tells readers to look again. The caller holds mu.
func (s *Spool) wake() {
	close(s.fresh)
	s.fresh = make(chan struct{})
}

// Close ends the spool: readers see its end. It returns the first error of writing.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.wake()
	return errors.Join(s.err, s.f.Close())
}

func (s *Spool) state() (size int64, closed bool, fresh <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size, s.closed, s.fresh
}

// Follow calls fn with what was written from offset on and with the place after it, waits for more, and returns nil when
// the spool is closed. An offset behind the end means the end, and a negative one counts from there. It stops with the error
// of fn or of ctx.
func (s *Spool) Follow(ctx context.Context, offset int64, fn func(next int64, chunk []byte) error) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, _, _ := s.state()
	offset = place(offset, size)
	for {
		size, closed, fresh := s.state()
		if offset, err = read(ctx, f, offset, size, fn); err != nil {
			return err
		}
		if closed {
			return nil
		}
		select {
		case <-fresh:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ReadSpool calls fn with what a spool that is no longer written holds from offset on, as Follow does.
func ReadSpool(ctx context.Context, path string, offset int64, fn func(next int64, chunk []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = read(ctx, f, place(offset, info.Size()), info.Size(), fn)
	return err
}

// place is where an offset leads in a file of that size.
func place(offset, size int64) int64 {
	if offset < 0 {
		offset += size
	}
	return min(max(0, offset), size)
}

// chunkSize is how much is read at once, in bytes.
const chunkSize = 32 << 10

// read tells what lies between two places of a file, and returns the place that it has come to.
func read(ctx context.Context, f *os.File, offset, end int64, fn func(next int64, chunk []byte) error) (int64, error) {
	buf := make([]byte, chunkSize)
	for offset < end {
		if ctx.Err() != nil {
			return offset, context.Cause(ctx)
		}
		n, err := f.ReadAt(buf[:min(end-offset, chunkSize)], offset)
		if n == 0 && errors.Is(err, io.EOF) {
			return offset, nil // somebody made it shorter
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return offset, err
		}
		offset += int64(n)
		if err := fn(offset, buf[:n]); err != nil {
			return offset, err
		}
	}
	return offset, nil
}
