package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Release opens a draft to the clients of channels, of the stable one when none is named. Files that were declared and never
// came are taken out. It is idempotent: a released version stays as it is; Promote puts it into further channels.
// Errors: ErrNotFound, ErrIncomplete when there is no file, ErrImmutable when the version was revoked, *InvalidNameError.
func (r *Registry) Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error {
	if len(channels) == 0 {
		channels = []boxregistry.Channel{boxregistry.Stable}
	}
	for _, c := range channels {
		if _, err := boxregistry.ParseChannel(string(c)); err != nil {
			return err
		}
	}
	return r.change(ctx, "release", name, v, func(t transaction, s versionRow) error {
		switch s.state {
		case boxregistry.Released:
			return errUnchanged
		case boxregistry.Revoked:
			return fmt.Errorf("%w: it was revoked, which is final; publish under another number", boxregistry.ErrImmutable)
		}
		if s.whole == 0 {
			return fmt.Errorf("%w; publish one first", boxregistry.ErrIncomplete)
		}
		if err := t.dropUndelivered(ctx, s.id); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `UPDATE box_versions SET state = 'released', released_at = ? WHERE id = ?`, t.now, s.id); err != nil {
			return err
		}
		var err error
		for _, c := range channels {
			err = errors.Join(err, t.join(ctx, s.id, c))
		}
		return err
	})
}

// Revoke hides a released version from clients for good; its number stays used. It is idempotent.
// Errors: ErrNotFound, ErrNotReleased for a draft.
func (r *Registry) Revoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version, why string) error {
	return r.change(ctx, "revoke", name, v, func(t transaction, s versionRow) error {
		switch s.state {
		case boxregistry.Revoked:
			return errUnchanged
		case boxregistry.Draft:
			return fmt.Errorf("%w; nobody can have downloaded it", boxregistry.ErrNotReleased)
		}
		_, err := t.ExecContext(ctx, `UPDATE box_versions SET state = 'revoked', revoked_at = ?, revoked_why = ? WHERE id = ?`, t.now, why, s.id)
		return err
	})
}

// SetSmoke records what booting a file showed, in any state of the version. It returns ErrNotFound.
func (r *Registry) SetSmoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider,
	a boxregistry.Architecture, s boxregistry.Smoke) error {
	return r.change(ctx, "note smoke test of", name, v, func(t transaction, row versionRow) error {
		return t.smoke(ctx, row.id, p, a, s)
	})
}

func (t transaction) smoke(ctx context.Context, version int64, p boxregistry.Provider, a boxregistry.Architecture, s boxregistry.Smoke) error {
	res, err := t.ExecContext(ctx, `UPDATE box_files SET smoke_passed = ?, smoke_detail = ?, smoke_at = ?
		WHERE version_id = ? AND provider = ? AND architecture = ?`, s.Passed, s.Detail, micros(s.At), version, string(p), string(a))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("%w: it has no file for %s/%s", boxregistry.ErrNotFound, p, a)
}

// versionRow is what a change of a version must know of it.
type versionRow struct {
	id, box int64
	whole   int64 // files that can be downloaded
	state   boxregistry.State
}

// change finds a version, in a box and itself not deleted, and changes it in one transaction.
func (r *Registry) change(ctx context.Context, verb string, name boxregistry.Name, v boxregistry.Version,
	do func(transaction, versionRow) error) error {
	return versioned(verb, name, v, r.write(ctx, func(t transaction) error {
		s, err := t.liveVersion(ctx, name, v)
		if err != nil {
			return err
		}
		if err := do(t, s); err != nil {
			return err
		}
		return errors.Join(t.touchVersion(ctx, s.id), t.touch(ctx, s.box),
			t.note(ctx, "version", name.String()+" "+v.String(), verb))
	}))
}

func (t transaction) liveVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) (versionRow, error) {
	var s versionRow
	row := t.QueryRowContext(ctx, `SELECT v.id, v.box_id, v.state,
		(SELECT count(*) FROM box_files WHERE version_id = v.id AND (digest <> '' OR url <> ''))
		FROM box_versions v JOIN boxes b ON b.id = v.box_id
		WHERE b.org = ? AND b.name = ? AND v.sort_key = ? AND b.deleted_at IS NULL AND v.deleted_at IS NULL`,
		name.Org(), name.Box(), v.SortKey())
	err := row.Scan(&s.id, &s.box, &s.state, &s.whole)
	if errors.Is(err, sql.ErrNoRows) {
		err = boxregistry.ErrNotFound
	}
	return s, err
}
