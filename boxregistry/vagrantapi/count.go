package vagrantapi

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// flushEvery is how often counts go to the database: a fleet that comes up must not be a write for each machine.
const flushEvery = 5 * time.Second

// Parts of downloads are remembered so long and so many of them; Vagrant itself resumes within 24 hours.
const (
	partsKept  = 24 * time.Hour
	partsLimit = 4096
	spansLimit = 256
)

// tally counts whole files that clients fetched. A transfer of the whole file counts at its last byte; the parts of one that
// was cut and resumed, or fetched in pieces, count when they are the whole file together.
type tally struct {
	sink Counter // nil counts nothing
	now  func() time.Time

	mu      sync.Mutex
	pending map[fetched]count
	parts   map[partKey]*parts
}

// fetched is what one client got.
type fetched struct {
	box          boxregistry.Name
	version      boxregistry.Version
	provider     boxregistry.Provider
	architecture boxregistry.Architecture
	client       string
}

type count struct {
	n  int64
	at time.Time // of the last one
}

type partKey struct {
	client string
	digest blob.Digest
}

// parts are the stretches of a file that a client has, in order, none touching the next.
type parts struct {
	at    time.Time
	spans []span
}

// span is bytes from one up to another, that one excluded.
type span struct{ from, to int64 }

func newTally(sink Counter, now func() time.Time) *tally {
	return &tally{sink: sink, now: now, pending: map[fetched]count{}, parts: map[partKey]*parts{}}
}

// sent notes that a client was sent a stretch of a file of a size.
func (t *tally) sent(f located, client string, s span, size int64) {
	if t.sink == nil || s.to <= s.from {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := partKey{client, f.file.Digest}
	if whole := (span{0, size}); s != whole {
		p := t.part(k)
		p.add(s)
		if len(p.spans) > 1 || p.spans[0] != whole {
			return
		}
	}
	delete(t.parts, k)
	t.add(f, client)
}

// redirected notes that a client was sent elsewhere for a file.
func (t *tally) redirected(f located, client string) {
	if t.sink == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(f, client)
}

func (t *tally) add(f located, client string) {
	k := fetched{f.box, f.version, f.file.Provider, f.file.Architecture, client}
	t.pending[k] = count{t.pending[k].n + 1, t.now()}
}

// part finds what a client has of a file, and makes room when there are too many such.
func (t *tally) part(k partKey) *parts {
	p := t.parts[k]
	if p == nil {
		if len(t.parts) >= partsLimit {
			t.forget()
		}
		p = &parts{}
		t.parts[k] = p
	}
	p.at = t.now()
	return p
}

// forget drops what is older than a day, and half of the rest if that is not enough.
func (t *tally) forget() {
	old := t.now().Add(-partsKept)
	maps.DeleteFunc(t.parts, func(_ partKey, p *parts) bool { return p.at.Before(old) })
	if len(t.parts) < partsLimit {
		return
	}
	keys := slices.SortedFunc(maps.Keys(t.parts), func(a, b partKey) int { return t.parts[a].at.Compare(t.parts[b].at) })
	for _, k := range keys[:len(keys)/2] {
		delete(t.parts, k)
	}
}

// add joins a stretch with those that it touches.
func (p *parts) add(s span) {
	i, _ := slices.BinarySearchFunc(p.spans, s, func(a, s span) int { return cmpSpan(a.to, s.from) })
	j := i
	for ; j < len(p.spans) && p.spans[j].from <= s.to; j++ {
		s.from, s.to = min(s.from, p.spans[j].from), max(s.to, p.spans[j].to)
	}
	p.spans = slices.Replace(p.spans, i, j, s)
	if len(p.spans) > spansLimit {
		p.spans = p.spans[1:] // such a client is not counted
	}
}

func cmpSpan(end, from int64) int {
	if end < from {
		return -1
	}
	return 1 // the first that ends at from or later
}

// Flush writes the counts to the database. What could not be written is kept for the next time.
func (a *API) Flush(ctx context.Context) error { return a.tally.flush(ctx) }

// Run writes the counts every few seconds until ctx ends. Call Flush once more when no request is answered any longer.
func (a *API) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := a.Flush(ctx); err != nil && ctx.Err() == nil {
				a.o.Logger.WarnContext(ctx, "downloads could not be counted; they are counted later", "error", err)
			}
		}
	}
}

func (t *tally) flush(ctx context.Context) error {
	t.mu.Lock()
	pending := t.pending
	t.pending = map[fetched]count{}
	t.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	list := make([]boxregistry.Download, 0, len(pending))
	for k, c := range pending {
		list = append(list, boxregistry.Download{Box: k.box, Version: k.version, Provider: k.provider, Architecture: k.architecture,
			Client: k.client, Count: c.n, At: c.at})
	}
	err := t.sink.Downloaded(ctx, list)
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		for k, c := range pending {
			newer := t.pending[k]
			if newer.at.Before(c.at) {
				newer.at = c.at
			}
			t.pending[k] = count{newer.n + c.n, newer.at}
		}
	}
	return err
}
