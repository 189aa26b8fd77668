package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Release opens a draft to clients. It is idempotent: a released version stays as it is.
// Errors: ErrNotFound, ErrIncomplete when there is no file, ErrImmutable when the version was revoked.
func (r *Registry) Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error {
	return r.change(ctx, "release", name, v, func(t transaction, s versionRow) error {
		switch s.state {
		case boxregistry.Released:
			return nil
		case boxregistry.Revoked:
			return fmt.Errorf("%w: it was revoked, which is final; publish under another number", boxregistry.ErrImmutable)
		}
		if s.files == 0 {
			return fmt.Errorf("%w; publish one first", boxregistry.ErrIncomplete)
		}
		_, err := t.ExecContext(ctx, `UPDATE box_versions SET state = 'released', released_at = ? WHERE id = ?`, t.now, s.id)
		return errors.Join(err, t.touch(ctx, s.box))
	})
}

// Revoke hides a released version from clients for good; its number stays used. It is idempotent.
// Errors: ErrNotFound, ErrNotReleased for a draft.
func (r *Registry) Revoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error {
	return r.change(ctx, "revoke", name, v, func(t transaction, s versionRow) error {
		switch s.state {
		case boxregistry.Revoked:
			return nil
		case boxregistry.Draft:
			return fmt.Errorf("%w; nobody can have downloaded it", boxregistry.ErrNotReleased)
		}
		_, err := t.ExecContext(ctx, `UPDATE box_versions SET state = 'revoked', revoked_at = ? WHERE id = ?`, t.now, s.id)
		return errors.Join(err, t.touch(ctx, s.box))
	})
}

// SetSmoke records what booting a file showed, in any state of the version. It returns ErrNotFound.
func (r *Registry) SetSmoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider,
	a boxregistry.Architecture, s boxregistry.Smoke) error {
	return r.change(ctx, "note smoke test of", name, v, func(t transaction, row versionRow) error {
		res, err := t.ExecContext(ctx, `UPDATE box_files SET smoke_passed = ?, smoke_detail = ?, smoke_at = ?
			WHERE version_id = ? AND provider = ? AND architecture = ?`, s.Passed, s.Detail, micros(s.At), row.id, string(p), string(a))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return fmt.Errorf("%w: it has no file for %s/%s", boxregistry.ErrNotFound, p, a)
	})
}

// versionRow is what a change of a version must know of it.
type versionRow struct {
	id, box, files int64
	state          boxregistry.State
}

// change finds a version and changes it in one transaction.
func (r *Registry) change(ctx context.Context, verb string, name boxregistry.Name, v boxregistry.Version,
	do func(transaction, versionRow) error) error {
	err := r.db.Tx(ctx, func(tx *sql.Tx) error {
		var s versionRow
		row := tx.QueryRowContext(ctx, `SELECT v.id, v.box_id, v.state, (SELECT count(*) FROM box_files WHERE version_id = v.id)
			FROM box_versions v JOIN boxes b ON b.id = v.box_id WHERE b.org = ? AND b.name = ? AND v.sort_key = ?`,
			name.Org(), name.Box(), v.SortKey())
		if err := row.Scan(&s.id, &s.box, &s.state, &s.files); errors.Is(err, sql.ErrNoRows) {
			return boxregistry.ErrNotFound
		} else if err != nil {
			return err
		}
		return do(transaction{tx, micros(r.now())}, s)
	})
	if err != nil {
		return fmt.Errorf("%s %s %s: %w", verb, name, v, err)
	}
	return nil
}
