package iso

import (
	"context"
	"sync"
)

// flightGroup lets concurrent fetches of one medium share the work. Unlike x/sync/singleflight the work does not
// belong to the first caller: it runs as long as anybody waits for it and is cancelled when the last one leaves.
// The zero value is ready.
type flightGroup struct {
	mu      sync.Mutex
	flights map[string]*flight
}

// flight is one piece of work and those who wait for it.
type flight struct {
	cancel  context.CancelFunc
	waiting int           // guarded by flightGroup.mu
	done    chan struct{} // closed when file and err are set
	file    File
	err     error

	mu        sync.Mutex
	listeners map[*Progress]struct{}
}

// do runs work unless it is running already, and waits for it. The p of everybody who waits is told the progress.
func (g *flightGroup) do(ctx context.Context, key string, p Progress, work func(context.Context, Progress) (File, error)) (File, error) {
	if ctx.Err() != nil {
		return File{}, context.Cause(ctx)
	}
	f := g.join(ctx, key, work)
	f.listen(&p)
	defer f.unlisten(&p)
	select {
	case <-f.done:
		return f.file, f.err
	case <-ctx.Done():
		if g.leave(key, f) {
			<-f.done // leave nothing running behind
		}
		return File{}, context.Cause(ctx)
	}
}

// join finds the flight of that key or starts it.
func (g *flightGroup) join(ctx context.Context, key string, work func(context.Context, Progress) (File, error)) *flight {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f, ok := g.flights[key]; ok {
		f.waiting++
		return f
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{cancel: cancel, waiting: 1, done: make(chan struct{}), listeners: map[*Progress]struct{}{}}
	if g.flights == nil {
		g.flights = map[string]*flight{}
	}
	g.flights[key] = f
	go func() {
		defer cancel()
		f.file, f.err = work(ctx, f.tell)
		g.forget(key, f)
		close(f.done)
	}()
	return f
}

// leave gives up waiting. The last one to leave cancels the work and takes it off the list, so that nobody joins a
// flight that is going down.
func (g *flightGroup) leave(key string, f *flight) (last bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.waiting--
	if f.waiting > 0 {
		return false
	}
	f.cancel()
	if g.flights[key] == f {
		delete(g.flights, key)
	}
	return true
}

func (g *flightGroup) forget(key string, f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flights[key] == f {
		delete(g.flights, key)
	}
}

// tell passes progress on to everybody who waits. It holds the lock while it does, so that nobody is told anything
// after unlisten.
func (f *flight) tell(s Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.listeners {
		(*p)(s)
	}
}

func (f *flight) listen(p *Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[p] = struct{}{}
}

func (f *flight) unlisten(p *Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, p)
}
