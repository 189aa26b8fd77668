package checkpoint

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// Recover makes the store whole after a crash: leases (unless pinned) and drafts of a dead daemon go, checkpoints whose files are not all
// there go, and so do directories that no row knows and files that an eviction had not got to. Call it at start, when no
// machine of the dead daemon is left and before anything else uses the store.
func (s *Store) Recover(ctx context.Context) error {
	broken, err := s.broken(ctx)
	if err != nil {
		return err
	}
	err = s.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM checkpoint_leases WHERE pinned = 0`); err != nil {
			return err
		}
		if err := spoil(ctx, tx, `c.state = 'draft' OR (c.parent <> '' AND NOT EXISTS (
			SELECT 1 FROM checkpoints d WHERE d.id = c.parent AND d.state <> 'trash'))`); err != nil {
			return err
		}
		for _, id := range broken {
			if err := spoil(ctx, tx, `c.id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	s.shrink(ctx)
	return nil
}

// broken returns the checkpoints that lack files, and logs why.
func (s *Store) broken(ctx context.Context) ([]ID, error) {
	type row struct {
		id     ID
		st     state
		digest string
	}
	rows, err := s.db.R.QueryContext(ctx, `SELECT id, state, manifest FROM checkpoints WHERE state IN ('whole', 'layer')`)
	if err != nil {
		return nil, err
	}
	list, err := sqlitedb.Collect(rows, func(r *sql.Rows) (v row, err error) {
		err = r.Scan(&v.id, &v.st, &v.digest)
		return v, err
	})
	if err != nil {
		return nil, err
	}
	var ids []ID
	for _, r := range list {
		man, err := readManifest(s.path(r.id), r.digest)
		if err == nil {
			err = man.sizes(s.path(r.id), roleDisk)
		}
		if err == nil && r.st == whole {
			err = man.sizes(s.path(r.id), roleBase, roleOther)
		}
		if err != nil { // whatever it is: what was kept for speed must not keep a daemon from its work
			s.o.Log.Warn("dropped a damaged checkpoint", "checkpoint", r.id, "err", err)
			ids = append(ids, r.id)
		}
	}
	return ids, nil
}

// sweep removes directories of ours that no row knows, and unfinished files.
func (s *Store) sweep(ctx context.Context) error {
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, e := range list {
		known[string(e.ID)] = true
		err = errors.Join(err, fsx.Sweep(s.path(e.ID)))
	}
	found, readErr := os.ReadDir(s.dir)
	err = errors.Join(err, readErr)
	for _, f := range found {
		name := f.Name()
		ours := strings.HasPrefix(name, scratchPrefix) || idForm.MatchString(strings.TrimPrefix(name, trashPrefix))
		if known[name] || !ours {
			continue // a lost+found is none of ours
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, name)))
	}
	return err
}
