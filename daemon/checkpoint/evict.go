package checkpoint

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// Release ends all leases and drafts of a build, cancels what it is committing, and waits for that. Call it when the build
// has no machine any more; calling it again does nothing.
func (s *Store) Release(ctx context.Context, user build.ID) error {
	if err := s.stop(ctx, user); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	err := s.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM checkpoint_leases WHERE user = ?`, user); err != nil {
			return err
		}
		return spoil(ctx, tx, `c.user = ? AND c.state = 'draft'`, user)
	})
	if err != nil {
		return err
	}
	s.shrink(ctx)
	return nil
}

// Pin makes the leases of a build outlive it and the daemon: its machine was left to its user and stands on these disks. A
// forced Remove ends them. It returns the checkpoints.
func (s *Store) Pin(ctx context.Context, user build.ID) (pinned []ID, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `UPDATE checkpoint_leases SET pinned = 1 WHERE user = ? RETURNING checkpoint`, user)
		if err != nil {
			return err
		}
		pinned, err = sqlitedb.Collect(rows, scanID)
		return err
	})
	slices.Sort(pinned)
	return slices.Compact(pinned), err
}

// stop ends the drafts of a build in this process.
func (s *Store) stop(ctx context.Context, user build.ID) error {
	s.mu.Lock()
	var mine []*Draft
	for _, d := range s.drafts {
		if d.user == user {
			mine = append(mine, d)
		}
	}
	s.mu.Unlock()
	for _, d := range mine { // all before one is done, or its child would go on
		d.end(fmt.Errorf("%w: build %s has ended", ErrGone, user))
	}
	for _, d := range mine {
		if d.begin() {
			d.finish()
		}
	}
	for _, d := range mine {
		select {
		case <-d.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// limits say what may stay.
type limits struct {
	budget int64     // bytes
	before time.Time // what was made before goes; zero for nothing
	all    bool
}

func (s *Store) limits() limits {
	l := limits{budget: s.o.Budget}
	if s.o.MaxAge > 0 {
		l.before = s.o.Now().Add(-s.o.MaxAge)
	}
	return l
}

// shrink evicts what is beyond the limits of the store. A failure is only logged: whoever called has done what they came for,
// and the next one tries again.
func (s *Store) shrink(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	err := s.change(ctx, func(tx *sql.Tx) error {
		_, err := s.evict(ctx, tx, s.limits())
		return err
	})
	if err == nil {
		err = s.fault("evict.row")
	}
	if err != nil {
		s.o.Log.Error("checkpoints were not evicted", "err", err)
	}
}

// evict takes what nobody uses and is superseded, too old, or least recently used of more than the budget.
func (s *Store) evict(ctx context.Context, tx *sql.Tx, l limits) ([]ID, error) {
	superseded := `EXISTS (SELECT 1 FROM checkpoints d WHERE d.fingerprint = c.fingerprint AND d.state = 'whole' AND d.seq > c.seq)`
	gone, err := evict(ctx, tx, superseded+` OR c.created < ? OR ?`, build.Stamp(l.before), l.all)
	for err == nil {
		if err = settle(ctx, tx); err != nil {
			break
		}
		var total int64
		if err = tx.QueryRowContext(ctx, `SELECT coalesce(sum(bytes), 0) FROM checkpoints WHERE state <> 'trash'`).Scan(&total); err != nil || total <= l.budget {
			break
		}
		var oldest []ID
		oldest, err = evict(ctx, tx, `c.id = (SELECT c.id FROM checkpoints c WHERE c.state = 'whole' AND `+idle+` ORDER BY c.turn LIMIT 1)`)
		if len(oldest) == 0 {
			break
		}
		gone = append(gone, oldest...)
	}
	return gone, err
}

// PruneOptions say what Prune leaves. Zero values choose the limits of the store.
type PruneOptions struct {
	Budget    int64         // bytes
	OlderThan time.Duration // what was made longer ago goes
	All       bool          // everything that is not in use goes
}

// Prune evicts what is beyond the limits, except what is in use. It returns what can no longer be acquired, and how many
// bytes were freed; disks that others stand on stay.
func (s *Store) Prune(ctx context.Context, o PruneOptions) (removed []Entry, freed int64, err error) {
	l := s.limits()
	if o.Budget > 0 {
		l.budget = o.Budget
	}
	if o.OlderThan > 0 {
		l.before = s.o.Now().Add(-o.OlderThan)
	}
	l.all = o.All
	const size = `SELECT coalesce(sum(bytes), 0) FROM checkpoints WHERE state <> 'trash'`
	err = s.change(ctx, func(tx *sql.Tx) error {
		var after int64
		if err := tx.QueryRowContext(ctx, size).Scan(&freed); err != nil {
			return err
		}
		all, err := entries(ctx, tx, `c.state = 'whole' ORDER BY c.seq DESC`)
		if err != nil {
			return err
		}
		gone, err := s.evict(ctx, tx, l)
		if err != nil {
			return err
		}
		for _, e := range all {
			if slices.Contains(gone, e.ID) {
				removed = append(removed, e)
			}
		}
		err = tx.QueryRowContext(ctx, size).Scan(&after)
		freed -= after
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return removed, freed, nil
}

// Remove removes a checkpoint. One that has children stays as a layer. One that is in use is refused with an *InUseError,
// unless forced: then it cannot be acquired any more, and its disks go when its users have, or at once if they are pinned. The error is ErrNotFound if there
// is none of that id.
func (s *Store) Remove(ctx context.Context, id ID, force bool) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		st, _, err := stateOf(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case st == trash || st == draft:
			return fmt.Errorf("%w: %q", ErrNotFound, id)
		}
		busy, err := inUse(ctx, tx, id)
		if err != nil {
			return err
		}
		if st != whole && (len(busy.Users) > 0 || len(busy.Children) > 0) {
			return busy // there is nothing left that could be removed now
		}
		if len(busy.Users) > 0 && !force {
			return busy
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM checkpoint_leases WHERE checkpoint = ? AND pinned = 1`, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE checkpoints SET state = 'layer', bytes = disk_bytes WHERE id = ? AND state = 'whole'`, id)
		return err
	})
}

// inUse tells who uses a checkpoint and which others stand on it.
func inUse(ctx context.Context, tx *sql.Tx, id ID) (*InUseError, error) {
	busy := &InUseError{ID: id}
	rows, err := tx.QueryContext(ctx, `SELECT user FROM checkpoint_leases WHERE checkpoint = ?1
		UNION SELECT user FROM checkpoints WHERE parent = ?1 AND state = 'draft' ORDER BY user`, id)
	if err != nil {
		return nil, err
	}
	busy.Users, err = sqlitedb.Collect(rows, func(r *sql.Rows) (u build.ID, err error) {
		err = r.Scan(&u)
		return u, err
	})
	if err != nil {
		return nil, err
	}
	rows, err = tx.QueryContext(ctx, `SELECT id FROM checkpoints WHERE parent = ? AND state NOT IN ('draft', 'trash') ORDER BY seq`, id)
	if err != nil {
		return nil, err
	}
	busy.Children, err = sqlitedb.Collect(rows, scanID)
	return busy, err
}

// tidy removes the files of what is trash, and what layers do not need. What fails is logged, not returned: the decision is
// on disk, and the next one who tidies tries again.
func (s *Store) tidy(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	s.tidying.Lock()
	defer s.tidying.Unlock()
	list, err := entries(ctx, s.db.R, `c.state = 'trash' OR (c.state IN ('layer', 'bad') AND c.stripped = 0 AND c.meta <> '')`)
	for _, e := range list {
		err = errors.Join(err, s.tidyOne(ctx, e))
	}
	if err != nil {
		s.o.Log.Error("files of evicted checkpoints are left; the next eviction tries again", "err", err)
	}
}

func (s *Store) tidyOne(ctx context.Context, e Entry) error {
	var st state
	if err := s.db.R.QueryRowContext(ctx, `SELECT state FROM checkpoints WHERE id = ?`, e.ID).Scan(&st); err != nil {
		return err
	}
	if st == trash {
		return s.bury(ctx, e.ID)
	}
	if err := strip(s.path(e.ID), append(e.stays(), manifestFile), func() error { return s.fault("strip.one") }); err != nil {
		return err
	}
	if err := s.fault("strip.all"); err != nil {
		return err
	}
	return s.exec(ctx, `UPDATE checkpoints SET stripped = 1, bytes = disk_bytes WHERE id = ?`, e.ID)
}

func (s *Store) exec(ctx context.Context, query string, args ...any) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

// strip removes the files of a directory except those to keep. After is called after each.
func strip(dir string, keep []string, after func() error) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || slices.Contains(keep, name) {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		return after()
	})
}

// trashPrefix starts the names of directories that are being removed.
const trashPrefix = ".trash-"

// bury removes the directory of a checkpoint, and its row last.
func (s *Store) bury(ctx context.Context, id ID) error {
	grave := filepath.Join(s.dir, trashPrefix+string(id))
	if err := os.Rename(s.path(id), grave); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.fault("bury.renamed"); err != nil {
		return err
	}
	err := strip(grave, nil, func() error { return s.fault("bury.one") })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(grave); err != nil {
		return err
	}
	if err := s.fault("bury.removed"); err != nil {
		return err
	}
	s.forget(id)
	if err := s.exec(ctx, `DELETE FROM checkpoints WHERE id = ? AND state = 'trash'`, id); err != nil {
		return err
	}
	return s.fault("bury.row")
}
