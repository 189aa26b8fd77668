package checkpoint

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// Lease is a build's hold on a checkpoint: its files stay where they are until Close or Store.Release.
type Lease struct {
	Entry
	Dir string

	s     *Store
	row   int64
	files manifest
}

// Acquire takes a checkpoint for a build. It looks at the manifest and whether all files are there and as long as they were,
// those of its ancestors' disks too; Verify looks at the content. The error is ErrGone if the checkpoint has been evicted, and
// ErrDamaged if files are missing or cut: then it has been dropped, with those that stand on its disks.
func (s *Store) Acquire(ctx context.Context, id ID, user build.ID) (*Lease, error) {
	l := &Lease{Dir: s.path(id), s: s}
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE checkpoints SET used = ?, turn = `+nextTurn+` WHERE id = ? AND state = 'whole'`, s.stamp(), id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("%w: %s", ErrGone, id))
		}
		l.row, err = lease(ctx, tx, id, user)
		return err
	})
	if err != nil {
		return nil, full(err)
	}
	if l.Entry, err = s.entry(ctx, id); err == nil {
		err = l.look(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(ctx))
	}
	return l, nil
}

// entry returns a checkpoint by its id, ErrGone if there is none.
func (s *Store) entry(ctx context.Context, id ID) (Entry, error) {
	list, err := entries(ctx, s.db.R, `c.id = ?`, id)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: %s", ErrGone, id)
	}
	if err != nil {
		return Entry{}, err
	}
	return list[0], nil
}

// Close gives the checkpoint back early, when the build goes on without it. No machine may stand on it.
func (l *Lease) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	return l.s.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM checkpoint_leases WHERE id = ?`, l.row)
		return err
	})
}

// look checks the manifests and the sizes of the checkpoint and of the disks that it stands on.
func (l *Lease) look(ctx context.Context) error {
	base := manifest{}
	err := l.s.ancestry(ctx, l.ID, func(id ID, man manifest) error {
		if id == l.ID {
			l.files = man
		}
		if id == l.files.Meta.MemoryBase {
			base = man
		}
		return man.sizes(l.s.path(id), roleDisk)
	})
	if err != nil {
		return err
	}
	err = l.s.discard(ctx, l.ID, l.files.sizes(l.Dir, roleBase, roleOther))
	if err == nil && base.ID != "" {
		err = l.s.discard(ctx, base.ID, base.sizes(l.s.path(base.ID), roleBase))
	}
	return err
}

// ancestry calls fn for a checkpoint and those that its disks stand on, with their manifests. A manifest that is damaged, and
// what fn finds so, drops that checkpoint.
func (s *Store) ancestry(ctx context.Context, id ID, fn func(ID, manifest) error) error {
	for id != "" {
		var digest string
		var parent ID
		err := s.db.R.QueryRowContext(ctx, `SELECT manifest, parent FROM checkpoints WHERE id = ? AND state IN ('whole', 'layer')`, id).Scan(&digest, &parent)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: %s", ErrGone, id)
		}
		if err != nil {
			return err
		}
		man, err := readManifest(s.path(id), digest)
		if err == nil {
			err = fn(id, man)
		}
		if errors.Is(err, ErrDamaged) {
			return errors.Join(err, s.condemn(ctx, id, err))
		}
		if err != nil {
			return err
		}
		id = parent
	}
	return nil
}

// condemn drops a damaged checkpoint with all that stand on it. It is logged here although the error is returned too: a
// damaged disk is the operator's affair, whatever the build makes of it.
func (s *Store) condemn(ctx context.Context, id ID, why error) error {
	s.o.Log.Warn("dropped a damaged checkpoint", "checkpoint", id, "err", why)
	ctx = context.WithoutCancel(ctx)
	return s.change(ctx, func(tx *sql.Tx) error { return spoil(ctx, tx, `c.id = ?`, id) })
}

// Verify reads the disks, the firmware variables and an artifact's files, and those of the disks that they stand on, and
// compares their checksums; the memory is checked by Memory. Files that this process has read or written before, and whose
// size, inode and times are as they were, are not read again. After ErrDamaged the lease is closed.
func (l *Lease) Verify(ctx context.Context) error {
	select { // one at a time: others then find it done
	case l.s.checking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.s.checking }()
	err := l.s.ancestry(ctx, l.ID, func(id ID, man manifest) error {
		return l.s.checkAll(ctx, id, man, func(f file) bool { return f.Role == roleDisk })
	})
	if err == nil {
		err = l.s.discard(ctx, l.ID, l.s.checkAll(ctx, l.ID, l.files, func(f file) bool {
			return f.Role == roleOther && f.Name != memoryFile
		}))
	}
	if errors.Is(err, ErrDamaged) {
		err = errors.Join(err, l.Close(ctx))
	}
	return err
}

func (s *Store) checkAll(ctx context.Context, id ID, man manifest, which func(file) bool) error {
	for _, f := range man.Files {
		if !which(f) {
			continue
		}
		if err := s.check(ctx, id, f); err != nil {
			return err
		}
	}
	return nil
}

// check reads a file unless it is as this process knows it.
func (s *Store) check(ctx context.Context, id ID, f file) error {
	sig, err := f.look(s.path(id))
	if err != nil {
		return err
	}
	s.mu.Lock()
	known := s.verified[id][f.Name]
	s.mu.Unlock()
	if sig == known {
		return nil
	}
	if err := s.fault("verify.read"); err != nil {
		return err
	}
	if err := f.verify(ctx, s.path(id)); err != nil {
		return err
	}
	f.seen = sig // from before it was read: a change meanwhile is seen the next time
	s.remember(id, manifest{Files: []file{f}})
	return nil
}

// remember keeps the signatures of files whose content is known to be right.
func (s *Store) remember(id ID, man manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.verified[id] == nil {
		s.verified[id] = map[string]signature{}
	}
	for _, f := range man.Files {
		s.verified[id][f.Name] = f.seen
	}
}

// discard returns err. If that says that the memory or another file is damaged, and no disk, it drops the checkpoint and
// those whose memory is kept as the difference from this one; others may stand on its disks still. A file that is missing
// because the checkpoint was evicted is no damage but ErrGone.
func (s *Store) discard(ctx context.Context, id ID, err error) error {
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	gone := false
	failed := s.change(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE checkpoints SET state = 'layer', bytes = disk_bytes
			WHERE state = 'whole' AND (id = ?1 OR meta ->> 'memory_base' = ?1)`, id)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		gone = n == 0
		return err
	})
	if gone {
		return fmt.Errorf("%w: %s", ErrGone, id)
	}
	s.o.Log.Warn("dropped a damaged checkpoint; its disks are good", "checkpoint", id, "err", err)
	return errors.Join(err, failed)
}

func (s *Store) forget(id ID) {
	s.plains.forget(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.verified, id)
}

// Key returns the temporary SSH key of a checkpoint's guest, as it was given to Commit. The error is ErrGone if the
// checkpoint has been evicted.
func (s *Store) Key(ctx context.Context, id ID) (string, error) {
	e, err := s.entry(ctx, id)
	if err != nil {
		return "", err
	}
	if e.Layer {
		return "", fmt.Errorf("%w: %s", ErrGone, id)
	}
	sealed, err := os.ReadFile(filepath.Join(s.path(id), keyFile))
	if err != nil {
		return "", fmt.Errorf("the key of checkpoint %s: %w", id, err)
	}
	plain, err := s.o.Open(sealed)
	if err != nil {
		return "", fmt.Errorf("the key of checkpoint %s: %w", id, err)
	}
	return string(plain), nil
}
