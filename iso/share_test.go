package iso

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
)

func TestConcurrentFetchesShareOneDownload(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	started, release := make(chan struct{}), make(chan struct{})
	m.hook = func(_ http.ResponseWriter, _ *http.Request, n int64) bool {
		if n == 1 {
			close(started)
			<-release
		}
		return false
	}
	c := newTestCache(t)
	firstCtx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.Fetch(firstCtx, m.source(), nil)
		first <- err
	}()
	<-started
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			f, err := c.Fetch(t.Context(), m.source(), nil)
			if err != nil || f.Size != 200_000 {
				t.Errorf("%+v, %v", f, err)
			}
		})
	}
	waitFor(t, func() bool { return c.waiting() == 9 })
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first waiter ended with %v", err)
	}
	close(release)
	wg.Wait()
	if m.requests.Load() != 1 {
		t.Errorf("%d requests for one medium", m.requests.Load())
	}
}

func (c *Cache) waiting() int {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	n := 0
	for _, f := range c.flights.flights {
		n += f.waiting
	}
	return n
}

func TestTwoCachesShareOneDownload(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	started, release := make(chan struct{}), make(chan struct{})
	m.hook = func(_ http.ResponseWriter, _ *http.Request, n int64) bool {
		if n == 1 {
			close(started)
			<-release
		}
		return false
	}
	one := newTestCache(t)
	two := newTestCache(t, func(cfg *Config) { cfg.Dir = one.cfg.Dir })
	var wg sync.WaitGroup
	wg.Go(func() { mustFetch(t, one, m.source()) })
	<-started
	var once sync.Once
	wg.Go(func() {
		f, err := two.Fetch(t.Context(), m.source(), func(s Status) {
			if s.Phase == PhaseWait {
				once.Do(func() { close(release) })
			}
		})
		if err != nil || !f.Cached {
			t.Errorf("%+v, %v", f, err)
		}
	})
	wg.Wait()
	if m.requests.Load() != 1 {
		t.Errorf("%d requests for one medium", m.requests.Load())
	}
}
