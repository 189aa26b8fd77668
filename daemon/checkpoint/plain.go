package checkpoint

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// plainKept is how long an uncompressed memory is kept for the next one who needs it. It takes disk while it is, without a
// name; to make it again takes all processors for a second, which is most of a thaw.
const plainKept = 10 * time.Minute

// plains keeps the uncompressed memory of the checkpoint that was used last: builds of one template start from one
// installation.
type plains struct {
	making sync.Mutex // held while one is made: whoever comes meanwhile finds it

	mu    sync.Mutex
	last  *plain
	timer *time.Timer
}

// plain is an uncompressed memory.
type plain struct {
	of    ID
	f     *os.File
	users int  // guarded by plains.mu, as stale
	stale bool // to be closed by its last user
}

// reader reads it from its beginning.
func (p *plain) reader() *io.SectionReader { return io.NewSectionReader(p.f, 0, 1<<62) }

// take returns the memory of a checkpoint, made by unpack unless it is there. It has to be given back.
func (c *plains) take(ctx context.Context, of ID, unpack func() (*os.File, error)) (*plain, error) {
	c.making.Lock()
	defer c.making.Unlock()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	p := c.last
	if p != nil && p.of == of {
		p.users++
		c.mu.Unlock()
		return p, nil
	}
	c.mu.Unlock()
	f, err := unpack()
	if err != nil {
		return nil, err
	}
	return c.put(of, f, 1), nil
}

// put keeps f, which nobody else closes, as the memory of a checkpoint, in the place of the one before.
func (c *plains) put(of ID, f *os.File, users int) *plain {
	p := &plain{of: of, f: f, users: users}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retire()
	c.last = p
	c.timer = time.AfterFunc(plainKept, func() { c.forget(of) })
	return p
}

// retire lets the kept one go. The caller holds mu.
func (c *plains) retire() {
	if c.last == nil {
		return
	}
	c.timer.Stop()
	c.last.stale = true
	if c.last.users == 0 {
		_ = c.last.f.Close() // it was only read since
	}
	c.last = nil
}

// give gives back what take returned.
func (c *plains) give(p *plain) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.users--
	if p.stale && p.users == 0 {
		return p.f.Close()
	}
	if !p.stale {
		c.timer.Reset(plainKept)
	}
	return nil
}

// forget lets the memory of a checkpoint go; any, if of is empty.
func (c *plains) forget(of ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && (of == "" || c.last.of == of) {
		c.retire()
	}
}

// borrowed is a plain memory as a reader that gives it back when it is closed.
type borrowed struct {
	io.Reader
	once sync.Once
	give func() error
}

func (b *borrowed) Close() (err error) {
	b.once.Do(func() { err = b.give() })
	return err
}

// plainMemory is the uncompressed memory of a checkpoint that keeps it whole.
func (s *Store) plainMemory(ctx context.Context, id ID) (*plain, error) {
	return s.plains.take(ctx, id, func() (*os.File, error) {
		whole, dir, err := s.wholeMemory(ctx, id)
		if err != nil {
			return nil, err
		}
		return whole.plain(ctx, dir, s.dir)
	})
}

// adopt keeps the memory file of a draft, which was just compressed, for the builds that follow. The file loses its name.
func (s *Store) adopt(id ID, raw string) error {
	f, err := os.Open(raw)
	if err != nil {
		return err
	}
	if err := os.Remove(raw); err != nil {
		return errors.Join(err, f.Close())
	}
	s.plains.put(id, f, 0)
	return nil
}
