// Package mem is a blob store in memory: a working fake for tests, with a capacity that can run out.
package mem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// Store implements blob.Store. The zero value is an empty store without a limit.
type Store struct {
	Capacity int64            // bytes that committed and unfinished blobs may take together; 0 means no limit
	Now      func() time.Time // time.Now when nil

	mu    sync.Mutex
	used  int64
	blobs map[blob.Digest]entry
	aside map[blob.Digest][]byte // in quarantine
}

var _ blob.Store = (*Store)(nil)

type entry struct {
	data   []byte
	stored time.Time
}

func (e entry) info(d blob.Digest) blob.Info {
	return blob.Info{Digest: d, Size: int64(len(e.data)), Stored: e.stored}
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context) (blob.Writer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return &writer{store: s}, nil
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error) {
	e, err := s.find(ctx, d)
	if err != nil {
		return nil, blob.Info{}, err
	}
	return reader{bytes.NewReader(e.data)}, e.info(d), nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, d blob.Digest) (blob.Info, error) {
	e, err := s.find(ctx, d)
	if err != nil {
		return blob.Info{}, err
	}
	return e.info(d), nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, d blob.Digest) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(d)
	return nil
}

func (s *Store) remove(d blob.Digest) {
	s.used -= int64(len(s.blobs[d].data))
	delete(s.blobs, d)
}

// Expire implements blob.Store.
func (s *Store) Expire(ctx context.Context, seen blob.Info) (bool, error) {
	return s.ifUnchanged(ctx, seen, func([]byte) {})
}

// Quarantine implements blob.Store. What is in quarantine does not count towards the capacity.
func (s *Store) Quarantine(ctx context.Context, seen blob.Info) (bool, error) {
	return s.ifUnchanged(ctx, seen, func(data []byte) {
		if s.aside == nil {
			s.aside = map[blob.Digest][]byte{}
		}
		s.aside[seen.Digest] = data
	})
}

// ifUnchanged removes a blob that is still what the caller saw, after it showed keep its bytes.
func (s *Store) ifUnchanged(ctx context.Context, seen blob.Info, keep func([]byte)) (bool, error) {
	if err := context.Cause(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.blobs[seen.Digest]
	if !ok || !e.stored.Equal(seen.Stored) || int64(len(e.data)) != seen.Size {
		return false, nil
	}
	keep(e.data)
	s.remove(seen.Digest)
	return true, nil
}

// Damage replaces the stored bytes of a blob, as a bad disk does, for tests.
func (s *Store) Damage(d blob.Digest, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.blobs[d]
	s.used += int64(len(data) - len(e.data))
	e.data = data
	s.blobs[d] = e
}

// All implements blob.Store.
func (s *Store) All(ctx context.Context) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		s.mu.Lock()
		blobs := maps.Clone(s.blobs)
		s.mu.Unlock()
		for _, d := range slices.Sorted(maps.Keys(blobs)) {
			if err := context.Cause(ctx); err != nil {
				yield(blob.Info{}, err)
				return
			}
			if !yield(blobs[d].info(d), nil) {
				return
			}
		}
	}
}

func (s *Store) find(ctx context.Context, d blob.Digest) (entry, error) {
	if err := context.Cause(ctx); err != nil {
		return entry{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.blobs[d]
	if !ok {
		return entry{}, fmt.Errorf("%w: sha256 %q", blob.ErrNotFound, d)
	}
	return e, nil
}

// take reserves n bytes, or gives them back when n is negative.
func (s *Store) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Capacity > 0 && n > 0 && s.used+n > s.Capacity {
		return fmt.Errorf("%w: %d of %d bytes used", blob.ErrNoSpace, s.used, s.Capacity)
	}
	s.used += n
	return nil
}

// put makes data visible. It replaces bytes that are there already: they may be damaged, and are as good as new now.
func (s *Store) put(d blob.Digest, data []byte) blob.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= int64(len(s.blobs[d].data))
	if s.blobs == nil {
		s.blobs = map[blob.Digest]entry{}
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	s.blobs[d] = entry{data: data, stored: now()}
	return s.blobs[d].info(d)
}

type writer struct {
	store *Store
	buf   bytes.Buffer
	done  bool
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, io.ErrClosedPipe
	}
	if err := w.store.take(int64(len(p))); err != nil {
		return 0, err
	}
	return w.buf.Write(p)
}

// Commit implements blob.Writer.
func (w *writer) Commit(ctx context.Context, want blob.Digest) (blob.Info, error) {
	if w.done {
		return blob.Info{}, io.ErrClosedPipe
	}
	if err := context.Cause(ctx); err != nil {
		return blob.Info{}, err
	}
	sum := sha256.Sum256(w.buf.Bytes())
	got := blob.Digest(hex.EncodeToString(sum[:]))
	if want != "" && want != got {
		return blob.Info{}, fmt.Errorf("%w: received %s, announced %s", blob.ErrDigestMismatch, got, want)
	}
	w.done = true
	return w.store.put(got, w.buf.Bytes()), nil
}

// Close implements blob.Writer.
func (w *writer) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	return w.store.take(-int64(w.buf.Len()))
}

type reader struct{ *bytes.Reader }

// Close implements io.Closer.
func (reader) Close() error { return nil }
