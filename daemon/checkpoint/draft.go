package checkpoint

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/layout"
	"github.com/boxkiln/boxkiln/internal/zseek"
)

// Draft is a directory that may become a checkpoint. Freeze a machine into Dir or put an artifact's files there; then Commit
// it, or Close it if nothing came of that.
type Draft struct {
	ID  ID
	Dir string // absolute if the store's directory is; mode 0711, empty

	s      *Store
	user   build.ID // empty once it is detached; guarded by Store.mu
	parent ID
	// promised is the fingerprint under which it will be found, once it is detached; guarded by Store.mu.
	promised string
	life     context.Context // ends with Release
	end      context.CancelCauseFunc
	begun    bool          // Commit or Close was called; guarded by Store.mu
	done     chan struct{} // closed when it is no draft any more
}

// Draft makes an empty directory for user. Parent is the checkpoint that the machine was thawed from, or the draft that it
// was frozen into before, because its disks are overlays of those; empty if there is none. The parent's disks stay as long
// as the draft and what becomes of it.
func (s *Store) Draft(ctx context.Context, user build.ID, parent ID) (*Draft, error) {
	d := &Draft{ID: newID(), s: s, user: user, parent: parent, done: make(chan struct{})}
	d.Dir = s.path(d.ID)
	d.life, d.end = context.WithCancelCause(context.Background())
	s.mu.Lock()
	s.drafts[d.ID] = d // before the row, so that Release finds it
	s.mu.Unlock()
	err := s.change(ctx, func(tx *sql.Tx) error {
		if err := mayBeParent(ctx, tx, parent, user); err != nil {
			return err
		}
		now := s.stamp()
		_, err := tx.ExecContext(ctx, `INSERT INTO checkpoints (id, state, user, parent, created, used, turn)
			VALUES (?, ?, ?, ?, ?, ?, `+nextTurn+`)`, d.ID, draft, user, parent, now, now)
		return err
	})
	if err == nil {
		err = d.makeDir()
	}
	if err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	return d, nil
}

// mayBeParent tells whether disks of user may stand on those of parent.
func mayBeParent(ctx context.Context, tx *sql.Tx, parent ID, user build.ID) error {
	if parent == "" {
		return nil
	}
	st, maker, err := stateOf(ctx, tx, parent)
	if err != nil || st == whole || st == layer || (st == draft && maker == user) {
		return err
	}
	return fmt.Errorf("%w: %s, which the machine stands on", ErrGone, parent)
}

func (d *Draft) makeDir() error {
	if err := d.s.fault("draft.row"); err != nil {
		return err
	}
	if err := os.Mkdir(d.Dir, layout.PassMode); err != nil {
		return err
	}
	if err := os.Chmod(d.Dir, layout.PassMode); err != nil { // whatever the umask
		return err
	}
	if err := fsx.SyncDir(d.s.dir); err != nil {
		return err
	}
	if d.life.Err() != nil { // Release has looked for the directory already
		return errors.Join(fmt.Errorf("%w: draft %s was released", ErrGone, d.ID), os.RemoveAll(d.Dir))
	}
	return d.s.fault("draft.dir")
}

// awaitPromised waits until no detached draft is left that will be found under that fingerprint (all, if it is empty).
func (s *Store) awaitPromised(ctx context.Context, fingerprint string) error {
	s.mu.Lock()
	var coming []*Draft
	for _, d := range s.drafts {
		if d.user == "" && (fingerprint == "" || d.promised == fingerprint) {
			coming = append(coming, d)
		}
	}
	s.mu.Unlock()
	for _, d := range coming {
		select {
		case <-d.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Settle waits for the drafts that outlive their builds, before the process ends.
func (s *Store) Settle(ctx context.Context) error {
	defer s.plains.forget("")
	return s.awaitPromised(ctx, "")
}

// begin is true for the first who ends the draft.
func (d *Draft) begin() bool {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	first := !d.begun
	d.begun = true
	return first
}

func (d *Draft) finish() {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	delete(d.s.drafts, d.ID)
	d.end(nil)
	close(d.done)
}

// Detach makes the draft outlive its build, which has ended well and whose machine is gone: Release leaves it alone, Lookup
// waits for it, and nobody has a lease once it is committed under that fingerprint. Commit must follow.
func (d *Draft) Detach(ctx context.Context, fingerprint string) error {
	d.s.mu.Lock()
	user := d.user
	d.user, d.promised = "", fingerprint
	d.s.mu.Unlock()
	return d.s.exec(context.WithoutCancel(ctx), `UPDATE checkpoints SET user = '' WHERE id = ? AND user = ? AND state = 'draft'`, d.ID, user)
}

// owner is whose draft it is; nobody's if it is detached.
func (d *Draft) owner() build.ID {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	return d.user
}

// Close throws the draft away with its files. Nothing may stand on them: call it when nothing was frozen. After Commit it
// does nothing, so it can be deferred.
func (d *Draft) Close(ctx context.Context) error {
	if !d.begin() {
		return nil
	}
	defer d.finish()
	return d.s.change(context.WithoutCancel(ctx), func(tx *sql.Tx) error {
		return spoil(ctx, tx, `c.id = ? AND c.state = 'draft'`, d.ID)
	})
}

// Commit makes the draft a checkpoint that can be found, and gives its user a lease, because the machine that was frozen
// stands on its disks. It compresses the memory and reads all files, so it takes seconds; it may run in a goroutine while
// the machine goes on, and while a child of the draft is made. A child is committed after its parent: it waits.
//
// Key is the temporary SSH key of the guest, sealed with Options.Seal; empty for none. The error wraps syscall.ENOSPC when
// the disk is full, and ErrGone when the build was released meanwhile or the parent was lost. After an error nothing is
// found, but the disks stay until Release, because the machine stands on them.
func (d *Draft) Commit(ctx context.Context, m Meta, key string) (Entry, error) {
	if !d.begin() {
		return Entry{}, fmt.Errorf("%w: draft %s was committed or closed before", ErrGone, d.ID)
	}
	defer d.finish()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(d.life, func() { cancel(context.Cause(d.life)) })()
	m.Parent = d.parent
	err := d.commit(ctx, m, key)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("checkpoint not kept: %w", context.Cause(ctx))
		}
		return Entry{}, errors.Join(err, d.salvage(ctx, m, err))
	}
	d.s.shrink(ctx)
	return d.s.entry(context.WithoutCancel(ctx), d.ID) // it is kept, whoever ends now
}

func (d *Draft) commit(ctx context.Context, m Meta, key string) error {
	if err := m.check(); err != nil {
		return err
	}
	if err := d.s.fault("commit.begun"); err != nil {
		return err
	}
	// A machine may be frozen again before this: its memory becomes a difference from one that is there by then.
	if err := d.s.await(ctx, d.parent); err != nil {
		return err
	}
	if d.life.Err() != nil {
		return context.Cause(d.life)
	}
	if m.Kind == KindMemory {
		if err := d.packMemory(ctx, &m); err != nil {
			return err
		}
	}
	if err := d.sealKey(key); err != nil {
		return err
	}
	return d.enter(ctx, m, whole)
}

// packMemory replaces the memory by a compressed one: as the difference from that of the ancestor whose memory is whole, if
// there is one, because most of it is the same.
func (d *Draft) packMemory(ctx context.Context, m *Meta) error {
	select { // one at a time
	case d.s.packing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.s.packing }()
	raw := filepath.Join(d.Dir, m.Machine.Memory)
	m.MemoryBase = d.s.memoryBase(ctx, d.parent)
	if m.MemoryBase != "" {
		if err := d.differ(ctx, m.MemoryBase, raw); err != nil {
			return fmt.Errorf("compare the memory with that of %s: %w", m.MemoryBase, err)
		}
	} else if err := d.compress(ctx, raw); err != nil {
		return fmt.Errorf("compress the memory: %w", err)
	}
	if err := d.s.fault("commit.packed"); err != nil {
		return err
	}
	if err := d.dropRaw(m, raw); err != nil {
		return err
	}
	return d.s.fault("commit.raw")
}

// dropRaw removes the uncompressed memory. One that is kept whole stays at hand: the build goes on from it, and so do others.
func (d *Draft) dropRaw(m *Meta, raw string) error {
	if m.MemoryBase == "" {
		return d.s.adopt(d.ID, raw)
	}
	return os.Remove(raw)
}

// compress writes the memory file from what is in raw.
func (d *Draft) compress(ctx context.Context, raw string) error {
	src, err := os.Open(raw)
	if err != nil {
		return err
	}
	defer src.Close()
	return d.pack(ctx, src)
}

func (d *Draft) pack(ctx context.Context, src io.Reader) error {
	dst, err := fsx.Create(filepath.Join(d.Dir, memoryFile), layout.SecretMode)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := zseek.Compress(ctx, dst, src, cores()); err != nil {
		return err
	}
	if err := d.s.fault("commit.memory"); err != nil {
		return err
	}
	return dst.Commit()
}

// cores is how many a memory may take: the machine goes on beside it.
func cores() int { return min(2, runtime.NumCPU()) }

func (d *Draft) sealKey(key string) error {
	if key == "" {
		return nil
	}
	sealed, err := d.s.o.Seal([]byte(key))
	if err != nil {
		return fmt.Errorf("seal the key of the guest: %w", err)
	}
	if err := fsx.WriteFile(filepath.Join(d.Dir, keyFile), sealed, layout.SecretMode); err != nil {
		return err
	}
	return d.s.fault("commit.key")
}

// await waits until id is no draft any more.
func (s *Store) await(ctx context.Context, id ID) error {
	s.mu.Lock()
	parent := s.drafts[id]
	s.mu.Unlock()
	if parent == nil {
		return nil
	}
	select {
	case <-parent.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter writes the manifest and makes the draft a checkpoint of that state, with a lease for its user.
func (d *Draft) enter(ctx context.Context, m Meta, st state) error {
	man, err := scan(ctx, d.Dir, d.ID, m)
	if err != nil {
		return err
	}
	if err := d.s.fault("commit.summed"); err != nil {
		return err
	}
	digest, err := man.write(d.Dir)
	if err != nil {
		return err
	}
	if err := d.s.fault("commit.manifest"); err != nil {
		return err
	}
	d.s.remember(d.ID, man)
	err = d.s.change(ctx, func(tx *sql.Tx) error {
		user := d.owner()
		if err := mayBeParent(ctx, tx, d.parent, user); err != nil {
			return err
		}
		if err := d.write(ctx, tx, man, digest, st); err != nil || user == "" {
			return err
		}
		_, err = lease(ctx, tx, d.ID, user)
		return err
	})
	if err != nil {
		return err
	}
	return d.s.fault("commit.row")
}

// write turns the row of the draft into one of a checkpoint.
func (d *Draft) write(ctx context.Context, tx *sql.Tx, man manifest, digest string, st state) error {
	meta, err := json.Marshal(man.Meta)
	if err != nil {
		return err
	}
	all, disks, err := man.space(d.Dir)
	if err != nil {
		return err
	}
	m, now := man.Meta, d.s.stamp()
	res, err := tx.ExecContext(ctx, `UPDATE checkpoints SET state = ?, fingerprint = ?, label = ?, template = ?, stage = ?,
		meta = ?, manifest = ?, bytes = ?, disk_bytes = ?, created = ?, used = ?, turn = `+nextTurn+`
		WHERE id = ? AND state = 'draft'`, st, m.Fingerprint, m.Label, m.Template, m.Stage,
		string(meta), digest, all, disks, now, now, d.ID)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("%w: draft %s was released", ErrGone, d.ID))
	}
	return nil
}

// salvage keeps the disks of a machine that could not be kept whole: the machine stands on them, and so will what is frozen
// of it later. What cannot be had even so stays only until Release.
func (d *Draft) salvage(ctx context.Context, m Meta, why error) error {
	if m.Machine == nil || m.check() != nil {
		return d.abandon(ctx, m)
	}
	err := strip(d.Dir, m.disks(), func() error { return nil })
	if err == nil && ctx.Err() == nil && !errors.Is(why, ErrGone) {
		if d.enter(ctx, m, layer) == nil { // otherwise why says more
			return nil
		}
	}
	return errors.Join(err, d.abandon(ctx, m))
}

// abandon marks the draft as no good. If a machine may stand on its disks, they stay until Release.
func (d *Draft) abandon(ctx context.Context, m Meta) error {
	ctx = context.WithoutCancel(ctx)
	return d.s.change(ctx, func(tx *sql.Tx) error {
		if st, _, err := stateOf(ctx, tx, d.ID); err != nil || st != draft {
			return err
		}
		if user := d.owner(); m.Machine != nil && user != "" {
			if _, err := lease(ctx, tx, d.ID, user); err != nil {
				return err
			}
		}
		return spoil(ctx, tx, `c.id = ? AND c.state = 'draft'`, d.ID)
	})
}
