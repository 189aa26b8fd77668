package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// transaction is one look at the tables, at one time, with the write lock held when it changes them.
type transaction struct {
	*sql.Tx
	now     int64
	auditor Auditor
	orgs    Orgs
}

// write changes rows in one transaction and says so to whoever keeps what was rendered from them.
func (r *Registry) write(ctx context.Context, do func(transaction) error) error {
	err := r.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := do(transaction{Tx: tx, now: micros(r.now()), auditor: r.auditor, orgs: r.orgs}); err != nil {
			return err
		}
		return r.fault("registry.commit")
	})
	switch {
	case errors.Is(err, errUnchanged):
		return nil
	case err != nil:
		return err
	}
	r.revision.Add(1)
	return r.fault("registry.committed")
}

// errUnchanged ends a write that finds everything as it should be: nothing is touched and nothing recorded.
var errUnchanged = errors.New("unchanged")

// readTx runs do on one snapshot.
func readTx(ctx context.Context, pool *sql.DB, do func(*sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return do(tx)
}

func (t transaction) insert(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// touch records that the box changed.
func (t transaction) touch(ctx context.Context, box int64) error {
	_, err := t.ExecContext(ctx, `UPDATE boxes SET updated_at = ? WHERE id = ?`, t.now, box)
	return err
}

func (t transaction) touchVersion(ctx context.Context, version int64) error {
	_, err := t.ExecContext(ctx, `UPDATE box_versions SET updated_at = ? WHERE id = ?`, t.now, version)
	return err
}

// note records the change for the audit log.
func (t transaction) note(ctx context.Context, action, subject, detail string) error {
	if t.auditor == nil {
		return nil
	}
	return t.auditor.Record(ctx, t.Tx, action, subject, detail)
}

// subject names a file in the audit log.
func subject(name boxregistry.Name, v boxregistry.Version, f boxregistry.File) string {
	return fmt.Sprintf("%s %s %s/%s", name, v, f.Provider, f.Architecture)
}

// boxRow is what a change must know of a box; an id of zero means that there is none.
type boxRow struct {
	id      int64
	deleted bool // and purged: what could still be restored is ErrDeleted
}

// findBox finds the box of a name. Errors: ErrExists when it is written in another case, ErrDeleted when it was deleted and
// can still be restored.
func (t transaction) findBox(ctx context.Context, name boxregistry.Name) (boxRow, error) {
	var b boxRow
	var org, box string
	var restorable bool
	row := t.QueryRowContext(ctx, `SELECT id, org, name, deleted_at IS NOT NULL,
		EXISTS (SELECT 1 FROM box_versions v WHERE v.box_id = b.id AND v.purged_at IS NULL)
			OR NOT EXISTS (SELECT 1 FROM box_versions v WHERE v.box_id = b.id)
		FROM boxes b WHERE org = ? COLLATE NOCASE AND name = ? COLLATE NOCASE`, name.Org(), name.Box())
	switch err := row.Scan(&b.id, &org, &box, &b.deleted, &restorable); {
	case errors.Is(err, sql.ErrNoRows):
		return boxRow{}, nil
	case err != nil:
		return boxRow{}, err
	case org != name.Org() || box != name.Box():
		return b, fmt.Errorf("%w: the box is written %s/%s; publish under that name", boxregistry.ErrExists, org, box)
	case b.deleted && restorable:
		return b, fmt.Errorf("%w: restore the box first, or wait until it is purged", boxregistry.ErrDeleted)
	}
	return b, nil
}

// liveBox is the id of a box that is there. Errors: ErrNotFound, and those of findBox.
func (t transaction) liveBox(ctx context.Context, name boxregistry.Name) (int64, error) {
	b, err := t.findBox(ctx, name)
	if errors.Is(err, boxregistry.ErrDeleted) || err == nil && (b.id == 0 || b.deleted) {
		return 0, boxregistry.ErrNotFound
	}
	return b.id, err
}

// draftRow is where a version can be published into; ids of zero mean that there is none.
type draftRow struct {
	id    int64
	trash int64 // a draft of that number that was deleted, and makes room
}

// freeVersion finds the draft of a number. Errors: ErrImmutable, ErrExists when an equal version is written differently.
func (t transaction) freeVersion(ctx context.Context, box int64, v boxregistry.Version) (draftRow, error) {
	var id int64
	var number string
	var state boxregistry.State
	var deleted bool
	row := t.QueryRowContext(ctx, `SELECT id, number, state, deleted_at IS NOT NULL FROM box_versions WHERE box_id = ? AND sort_key = ?`,
		box, v.SortKey())
	switch err := row.Scan(&id, &number, &state, &deleted); {
	case errors.Is(err, sql.ErrNoRows):
		return draftRow{}, nil
	case err != nil:
		return draftRow{}, err
	case state != boxregistry.Draft:
		return draftRow{}, t.immutable(ctx, box, number, state)
	case deleted:
		return draftRow{trash: id}, nil
	case number != v.String():
		return draftRow{}, fmt.Errorf("%w: to Vagrant, version %s is the same as the draft %s; publish as %s or choose another number",
			boxregistry.ErrExists, v, number, number)
	}
	return draftRow{id: id}, nil
}

// dropDraft removes a draft with its files.
func (t transaction) dropDraft(ctx context.Context, id int64) error {
	_, filesErr := t.ExecContext(ctx, `DELETE FROM box_files WHERE version_id = ?`, id)
	_, err := t.ExecContext(ctx, `DELETE FROM box_versions WHERE id = ? AND state = 'draft'`, id)
	return errors.Join(filesErr, err)
}
