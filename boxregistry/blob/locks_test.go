package blob

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestLocks(t *testing.T) {
	t.Parallel()
	var l Locks
	counts := map[Digest]*int{"a": new(int), "b": new(int)} // of each, one goroutine at a time writes
	var wg sync.WaitGroup
	for d, n := range counts {
		for range 50 {
			wg.Go(func() {
				unlock, err := l.Lock(t.Context(), d)
				if err != nil {
					t.Error(err)
					return
				}
				*n++
				unlock()
			})
		}
	}
	wg.Wait()
	if *counts["a"] != 50 || *counts["b"] != 50 || len(l.held) != 0 {
		t.Errorf("a %d, b %d, %d still held", *counts["a"], *counts["b"], len(l.held))
	}
}

func TestLockEndsWithItsContext(t *testing.T) {
	t.Parallel()
	var l Locks
	unlock, err := l.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	go func() {
		_, err := l.Lock(ctx, "a")
		waiting <- err
	}()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
