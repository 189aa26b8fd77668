package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
)

// fileKey names a file of another registry.
type fileKey struct {
	box      boxregistry.Name
	version  string
	provider boxregistry.Provider
	arch     boxregistry.Architecture
	source   string
}

// errNobodyWaits ends a fetch that everybody left. What has arrived is kept for the next one.
var errNobodyWaits = errors.New("nobody waits for it any more")

// fetch is one file on its way, and those who wait for it. The bytes that have come are in a file that all of them read.
type fetch struct {
	cancel  context.CancelCauseFunc
	waiting int // guarded by Mirror.mu

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something below changes
	part    *os.File      // where the bytes are; nil until the other registry has answered
	size    int64         // of the whole; 0 when it is not known
	written int64
	done    bool
	err     error // why it failed, once it is done
}

// join finds the fetch of a file or begins it. Who joins must leave.
func (m *Mirror) join(key fileKey, v upstream.Version, f upstream.File) *fetch {
	m.mu.Lock()
	defer m.mu.Unlock()
	if running, ok := m.fetches[key]; ok {
		running.waiting++
		return running
	}
	ctx, cancel := context.WithCancelCause(m.ctx)
	started := &fetch{cancel: cancel, waiting: 1, changed: make(chan struct{})}
	m.fetches[key] = started
	m.running.Go(func() {
		defer cancel(nil)
		m.run(ctx, started, key, v, f)
	})
	return started
}

// leave gives up waiting; the last one to leave ends the fetch.
func (m *Mirror) leave(key fileKey, f *fetch) {
	m.mu.Lock()
	f.waiting--
	last := f.waiting == 0
	if last && m.fetches[key] == f {
		delete(m.fetches, key) // nobody joins a fetch that is going down
	}
	m.mu.Unlock()
	if last {
		f.cancel(errNobodyWaits)
		f.closePart()
	}
}

// run fetches, checks and keeps a file.
func (m *Mirror) run(ctx context.Context, f *fetch, key fileKey, v upstream.Version, file upstream.File) {
	err := m.take(ctx, f, key, v, file)
	if err != nil && !errors.Is(err, errNobodyWaits) && m.ctx.Err() == nil {
		m.cfg.Log.Warn("mirror: a file could not be had", "box", key.box, "version", key.version, "file", file.String(), "err", err)
	}
	m.mu.Lock()
	if m.fetches[key] == f {
		delete(m.fetches, key)
	}
	m.mu.Unlock()
	f.change(func() { f.done, f.err = true, err })
	m.mu.Lock()
	alone := f.waiting == 0
	m.mu.Unlock()
	if alone {
		f.closePart()
	}
}

func (m *Mirror) take(ctx context.Context, f *fetch, key fileKey, v upstream.Version, file upstream.File) error {
	d, err := m.cfg.Fetcher.Fetch(ctx, upstream.FetchRequest{Origin: file.Origin, Key: file.Key()}, func(s upstream.Status) {
		if text := s.Message(); text != "" {
			m.cfg.Log.Info("mirror: "+text, "box", key.box, "version", key.version)
		}
	})
	if err != nil {
		return err
	}
	defer d.Close()
	part, err := os.Open(d.Path())
	if err != nil {
		return err
	}
	f.change(func() { f.part, f.size = part, d.Size() })
	w, err := m.cfg.Boxes.OpenWriter(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	taken, err := upstream.Store(ctx, &followed{d, f}, w, file.Checksum, m.cfg.Limits)
	if upstream.IsBad(err) || err == nil {
		err = errors.Join(err, d.Discard())
	}
	if err != nil {
		return err
	}
	if err := m.cfg.Boxes.SetContents(ctx, taken.Info.Digest, taken.Summary); err != nil {
		return err
	}
	return m.cfg.Cache.KeepMirroredFile(ctx, boxregistry.MirroredFile{
		Box: key.box, Version: v.Number, Provider: key.provider, Architecture: key.arch, Source: key.source,
		Digest: taken.Info.Digest, Size: taken.Info.Size, Fetched: m.cfg.Now(),
	})
}

// followed tells those who wait how far the file is.
type followed struct {
	r io.Reader
	f *fetch
}

func (r *followed) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		r.f.change(func() { r.f.written += int64(n) })
	}
	return n, err
}

// change changes the fetch and wakes those who wait.
func (f *fetch) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// closePart closes the file after the last one who read it.
func (f *fetch) closePart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.part != nil {
		_ = f.part.Close() // it was only read
		f.part = nil
	}
}

// await waits until ready says so, or the fetch or ctx ends. It returns the fetch's error.
func (f *fetch) await(ctx context.Context, ready func() bool) error {
	for {
		f.mu.Lock()
		ok, done, err, changed := ready(), f.done, f.err, f.changed
		f.mu.Unlock()
		switch {
		case done && err != nil:
			return err
		case ok || done:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// started waits until the other registry has answered, and returns how large the file is; 0 when it does not say.
func (f *fetch) started(ctx context.Context) (size int64, err error) {
	err = f.await(ctx, func() bool { return f.part != nil })
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size, err
}

// finished waits until the file is kept.
func (f *fetch) finished(ctx context.Context) error {
	return f.await(ctx, func() bool { return false })
}

// tail reads a file that is on its way. Its last byte comes only after the whole was checked: whoever has all of it has
// the right one.
type tail struct {
	ctx  context.Context
	f    *fetch
	size int64
	at   int64
}

// Read implements io.Reader; it waits for bytes that have not come yet.
func (t *tail) Read(p []byte) (int, error) {
	if t.at >= t.size {
		return 0, io.EOF
	}
	if err := t.f.await(t.ctx, func() bool { return t.at < t.ready() }); err != nil {
		return 0, err
	}
	t.f.mu.Lock()
	part, ready := t.f.part, t.ready()
	t.f.mu.Unlock()
	if part == nil || t.at >= ready { // it ended without error and is shorter than was announced
		return 0, io.ErrUnexpectedEOF
	}
	n, err := part.ReadAt(p[:min(int64(len(p)), ready-t.at)], t.at)
	t.at += int64(n)
	return n, err
}

// ready is how far may be read. The caller holds the fetch's lock.
func (t *tail) ready() int64 {
	if t.f.done {
		return t.f.written
	}
	return min(t.f.written, t.size-1)
}

// Seek implements io.Seeker.
func (t *tail) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += t.at
	case io.SeekEnd:
		offset += t.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d", offset)
	}
	t.at = offset
	return offset, nil
}
