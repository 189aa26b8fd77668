package steps

import (
	"context"
	"fmt"
	"sync"

	"github.com/boxkiln/boxkiln/iso/seedhttp"
)

// fetchLimit is how often a guest may fetch one file before anybody could log in. An installer reads its seed once or
// twice, cloud-init at each boot, and an installation has a handful of those. One that fails and starts over, or is booted
// again and again because the disk comes after the CD, passes it within the hour.
const fetchLimit = 10

// fetches is what the guest fetched from the seed server. Its zero value is ready.
type fetches struct {
	mu      sync.Mutex
	total   int            // answers that brought the guest something
	seen    int            // of these, those that Fetched told of, or that came before start
	whole   map[string]int // path -> times it was sent as a whole since start
	changed chan struct{}  // closed at the next answer; nil if nobody waits
	looping func(error)    // told once when a file is fetched too often; may be nil
}

// note counts an answer: of several files the guest may fetch parts, but only the whole of one makes an installation.
func (f *fetches) note(r seedhttp.Request) {
	if !r.Whole && r.Status != 206 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total++
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
	if !r.Whole {
		return
	}
	if f.whole == nil {
		f.whole = map[string]int{}
	}
	f.whole[r.Path]++
	f.check()
}

// check tells of a file that was fetched too often. The caller holds mu.
func (f *fetches) check() {
	if f.looping == nil {
		return
	}
	for path, n := range f.whole {
		if n >= fetchLimit {
			f.looping(&fetchLoopError{path, n})
			f.looping = nil
			return
		}
	}
}

// start forgets what was fetched until now: what counts begins with the boot command, and anew with a login.
func (f *fetches) start() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.whole = f.total, nil
}

// watch calls tell when a file has been fetched too often, until stop is called.
func (f *fetches) watch(tell func(error)) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looping = tell
	f.check()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.looping = nil
	}
}

// Fetched waits until something was fetched that it has not told of yet.
func (f *fetches) Fetched(ctx context.Context) error {
	for {
		news := f.news()
		if news == nil {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// news is closed when something is fetched, and nil if something was.
func (f *fetches) news() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.total > f.seen {
		f.seen = f.total
		return nil
	}
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// fetchLoopError says that the installation does not get anywhere.
type fetchLoopError struct {
	path  string
	times int
}

func (e *fetchLoopError) Error() string {
	return fmt.Sprintf("the guest fetched %s %d times: the installer starts over again and again; is the boot order right, does the installation fail?", e.path, e.times)
}
