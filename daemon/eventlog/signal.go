package eventlog

import (
	"context"
	"errors"
	"sync"
)

var errClosed = errors.New("the log is closed")

// signal wakes any number of waiters. A nil signal is closed.
type signal struct {
	mu     sync.Mutex
	next   chan struct{} // closed by the next notify
	count  int
	closed bool
	gone   func()
}

func newSignal() *signal { return &signal{next: make(chan struct{})} }

func (s *signal) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	close(s.next)
	s.next = make(chan struct{})
}

func (s *signal) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.next)
	s.mu.Unlock()
	s.gone()
}

// generation counts the notifications so far; take it before reading.
func (s *signal) generation() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return -1
	}
	return s.count
}

// wait blocks until there was a notification after seen. It returns errClosed when the log was closed before what the
// caller has read, so nothing more can come.
func (s *signal) wait(ctx context.Context, seen int) error {
	if s == nil || seen < 0 {
		return errClosed
	}
	s.mu.Lock()
	next, moved := s.next, s.closed || s.count > seen
	s.mu.Unlock()
	if moved {
		return nil
	}
	select {
	case <-next:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
