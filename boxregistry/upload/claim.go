package upload

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// linger is how long a place is kept for an upload that can be resumed, after each of its chunks: longer than its client
// takes for the next one, so that nobody comes between, and short enough for whoever must begin anew.
const linger = time.Minute

// claim is the right to upload into a place.
type claim struct {
	key    string // of the upload
	active bool   // a request is being answered
	until  time.Time
}

// claim takes the place of u for one request, or returns boxregistry.ErrBusy.
func (r *Receiver) claim(u boxregistry.Upload) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := slot(u.Publication)
	if c := r.claims[name]; c != nil && (c.active || c.key != u.Key && r.Now().Before(c.until)) {
		return fmt.Errorf("%s %s %s/%s: %w", u.Box, u.Version, u.File.Provider, u.File.Architecture, boxregistry.ErrBusy)
	}
	r.claims[name] = &claim{key: u.Key, active: true}
	return nil
}

// taken returns boxregistry.ErrBusy when a place is somebody else's.
func (r *Receiver) taken(u boxregistry.Upload) error {
	if err := r.claim(u); err != nil {
		return err
	}
	r.release(u, 0)
	return nil
}

// release ends the request. The place stays reserved for a while.
func (r *Receiver) release(u boxregistry.Upload, reserve time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := slot(u.Publication)
	if reserve == 0 {
		delete(r.claims, name)
		return
	}
	r.claims[name] = &claim{key: u.Key, until: r.Now().Add(reserve)}
}

// margin is what is left free for the database and for everybody else.
const margin = 64 << 20

// promise is the space that an upload is going to take.
type promise struct{ left atomic.Int64 }

// room promises space for size bytes, or returns blob.ErrNoSpace. Done gives back what was not used.
func (r *Receiver) room(size int64) (p *promise, done func(), err error) {
	p = &promise{}
	if size <= 0 || r.Free == nil {
		return p, func() {}, nil
	}
	free, err := r.Free()
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.promised {
		free -= max(0, other.left.Load())
	}
	if free-margin < size {
		return nil, nil, fmt.Errorf("%w: the upload needs %d bytes and there is room for %d", blob.ErrNoSpace, size, max(0, free-margin))
	}
	p.left.Store(size)
	r.promised[p] = struct{}{}
	return p, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.promised, p)
	}, nil
}

// spend counts what is read against the promise.
func (p *promise) spend(r io.Reader) io.Reader { return spender{p, r} }

type spender struct {
	p *promise
	r io.Reader
}

func (s spender) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.p.left.Add(-int64(n))
	return n, err
}
