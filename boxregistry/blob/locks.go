package blob

import (
	"context"
	"sync"
)

// Locks lets one goroutine at a time deal with one digest. The zero value is ready; it holds memory only for digests that
// are locked.
type Locks struct {
	mu   sync.Mutex
	held map[Digest]chan struct{} // closed when the holder unlocks
}

// Lock waits until nobody holds d, or ctx ends, and takes it. The caller calls unlock once.
func (l *Locks) Lock(ctx context.Context, d Digest) (unlock func(), err error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		held := l.take(d)
		if held == nil {
			return func() { l.release(d) }, nil
		}
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
}

// take locks d, or returns what is closed when it becomes free.
func (l *Locks) take(d Digest) (held <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held, ok := l.held[d]; ok {
		return held
	}
	if l.held == nil {
		l.held = map[Digest]chan struct{}{}
	}
	l.held[d] = make(chan struct{})
	return nil
}

func (l *Locks) release(d Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held[d])
	delete(l.held, d)
}
