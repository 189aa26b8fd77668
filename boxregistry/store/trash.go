package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// DeleteBox hides a box from everybody at once; Purge removes it after a grace period, and until then RestoreBox brings it
// back. It returns ErrNotFound.
func (r *Registry) DeleteBox(ctx context.Context, name boxregistry.Name) error {
	return named("delete box", name, r.write(ctx, func(t transaction) error {
		id, err := t.liveBox(ctx, name)
		if err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `UPDATE boxes SET deleted_at = ? WHERE id = ?`, t.now, id)
		return errors.Join(err, t.note(ctx, "box.delete", name.String(), ""))
	}))
}

// RestoreBox brings a deleted box back with all that it had. It returns ErrNotFound when there is none, or it was purged.
func (r *Registry) RestoreBox(ctx context.Context, name boxregistry.Name) error {
	return named("restore box", name, r.write(ctx, func(t transaction) error {
		if _, err := t.findBox(ctx, name); !errors.Is(err, boxregistry.ErrDeleted) {
			return errors.Join(err, boxregistry.ErrNotFound)
		}
		_, err := t.ExecContext(ctx, `UPDATE boxes SET deleted_at = NULL WHERE org = ? AND name = ?`, name.Org(), name.Box())
		return errors.Join(err, t.note(ctx, "box.restore", name.String(), ""))
	}))
}

// DeleteVersion hides a version from clients at once; Purge removes its files after a grace period, and until then
// RestoreVersion brings it back. The number of a version that was ever released stays used. It returns ErrNotFound.
func (r *Registry) DeleteVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error {
	return r.change(ctx, "delete", name, v, func(t transaction, row versionRow) error {
		return t.trash(ctx, row.id)
	})
}

func (t transaction) trash(ctx context.Context, version int64) error {
	_, err := t.ExecContext(ctx, `UPDATE box_versions SET deleted_at = ? WHERE id = ?`, t.now, version)
	return err
}

// RestoreVersion brings a deleted version back as it was. It returns ErrNotFound when there is none, or it was purged.
func (r *Registry) RestoreVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error {
	return versioned("restore", name, v, r.write(ctx, func(t transaction) error {
		box, err := t.liveBox(ctx, name)
		if err != nil {
			return err
		}
		res, err := t.ExecContext(ctx, `UPDATE box_versions SET deleted_at = NULL WHERE box_id = ? AND sort_key = ?
			AND deleted_at IS NOT NULL AND purged_at IS NULL`, box, v.SortKey())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, boxregistry.ErrNotFound)
		}
		return errors.Join(t.touch(ctx, box), t.note(ctx, "version", name.String()+" "+v.String(), "restore"))
	}))
}

// Expire deletes what the retention rules of all boxes let go now, and returns it, box by box.
func (r *Registry) Expire(ctx context.Context) (map[boxregistry.Name][]boxregistry.Version, error) {
	names, err := r.withRetention(ctx)
	out := map[boxregistry.Name][]boxregistry.Version{}
	for _, name := range names {
		if err != nil {
			return out, err
		}
		var gone []boxregistry.Version
		if gone, err = r.expireOne(ctx, name); len(gone) > 0 {
			out[name] = gone
		}
	}
	return out, err
}

func (r *Registry) withRetention(ctx context.Context) (names []boxregistry.Name, err error) {
	rows, err := r.db.R.QueryContext(ctx, `SELECT org, name FROM boxes WHERE deleted_at IS NULL AND (keep_last > 0 OR keep_newer > 0)`)
	err = each(rows, err, func() error {
		var org, box string
		if err := rows.Scan(&org, &box); err != nil {
			return err
		}
		name, err := boxregistry.ParseName(org + "/" + box)
		names = append(names, name)
		return err
	})
	return names, err
}

// expireOne looks and deletes in one transaction, so that a version which is pinned meanwhile stays.
func (r *Registry) expireOne(ctx context.Context, name boxregistry.Name) (gone []boxregistry.Version, err error) {
	err = r.write(ctx, func(t transaction) error {
		gone = nil
		b, err := fullBox(ctx, t.Tx, name)
		if errors.Is(err, boxregistry.ErrNotFound) {
			return errUnchanged // deleted since
		}
		if err != nil {
			return err
		}
		for _, rel := range b.Retention.Expired(b, time.UnixMicro(t.now)) {
			row, err := t.liveVersion(ctx, name, rel.Version)
			if err != nil {
				return err
			}
			gone = append(gone, rel.Version)
			if err := errors.Join(t.trash(ctx, row.id), t.note(ctx, "version", name.String()+" "+rel.Version.String(), "delete by retention")); err != nil {
				return err
			}
		}
		if len(gone) == 0 {
			return errUnchanged
		}
		return nil
	})
	return gone, named("retention of", name, err)
}

// Purge removes for good what was deleted at least grace ago, and returns how many versions that were. Their bytes are
// collected when nothing else names them. Of a version that was ever released its number stays.
func (r *Registry) Purge(ctx context.Context, grace time.Duration) (n int, err error) {
	err = r.write(ctx, func(t transaction) error {
		n = 0
		ids, err := t.purgeable(ctx, t.now-grace.Microseconds())
		for _, id := range ids {
			if err != nil {
				return err
			}
			err = t.purge(ctx, id)
			n++
		}
		if err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `DELETE FROM boxes WHERE deleted_at <= ? AND NOT EXISTS (SELECT 1 FROM box_versions WHERE box_id = boxes.id)`,
			t.now-grace.Microseconds())
		return err
	})
	return n, err
}

// PurgeNow removes for good what is in the trash already, without waiting: a version, or with the zero version a deleted box.
// It returns ErrNotFound for what is not in the trash.
func (r *Registry) PurgeNow(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error {
	return versioned("purge", name, v, r.write(ctx, func(t transaction) error {
		ids, box, err := t.trashed(ctx, name, v)
		for _, id := range ids {
			if err != nil {
				return err
			}
			err = t.purge(ctx, id)
		}
		if err != nil || box == 0 {
			return err
		}
		_, err = t.ExecContext(ctx, `DELETE FROM boxes WHERE id = ? AND NOT EXISTS (SELECT 1 FROM box_versions WHERE box_id = boxes.id)`, box)
		return errors.Join(err, t.note(ctx, "box.purge", name.String(), ""))
	}))
}

// trashed is the versions that go with a version or a box in the trash, and the box if it goes too.
func (t transaction) trashed(ctx context.Context, name boxregistry.Name, v boxregistry.Version) (ids []int64, box int64, err error) {
	one := `SELECT v.id FROM box_versions v JOIN boxes b ON b.id = v.box_id WHERE b.org = ? AND b.name = ? AND v.purged_at IS NULL AND `
	var rows *sql.Rows
	if v.IsZero() {
		if _, err := t.findBox(ctx, name); !errors.Is(err, boxregistry.ErrDeleted) {
			return nil, 0, errors.Join(err, boxregistry.ErrNotFound)
		}
		if err := t.QueryRowContext(ctx, `SELECT id FROM boxes WHERE org = ? AND name = ?`, name.Org(), name.Box()).Scan(&box); err != nil {
			return nil, 0, err
		}
		rows, err = t.QueryContext(ctx, one+`b.deleted_at IS NOT NULL`, name.Org(), name.Box())
	} else {
		rows, err = t.QueryContext(ctx, one+`v.deleted_at IS NOT NULL AND v.sort_key = ?`, name.Org(), name.Box(), v.SortKey())
	}
	ids, err = scanIDs(rows, err)
	if err == nil && box == 0 && len(ids) == 0 {
		err = boxregistry.ErrNotFound
	}
	return ids, box, err
}

func scanIDs(rows *sql.Rows, err error) (ids []int64, _ error) {
	err = each(rows, err, func() error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

func (t transaction) purgeable(ctx context.Context, before int64) (ids []int64, err error) {
	rows, err := t.QueryContext(ctx, `SELECT v.id FROM box_versions v JOIN boxes b ON b.id = v.box_id
		WHERE v.purged_at IS NULL AND (v.deleted_at <= ?1 OR b.deleted_at <= ?1)`, before)
	return scanIDs(rows, err)
}

// purge removes the files of a version: with it if it is a draft, else its row stays for its number.
func (t transaction) purge(ctx context.Context, id int64) error {
	var number, org, name string
	var state boxregistry.State
	err := t.QueryRowContext(ctx, `SELECT v.number, v.state, b.org, b.name FROM box_versions v JOIN boxes b ON b.id = v.box_id WHERE v.id = ?`, id).
		Scan(&number, &state, &org, &name)
	if err != nil {
		return err
	}
	if err := t.note(ctx, "version", org+"/"+name+" "+number, "purge"); err != nil {
		return err
	}
	if state == boxregistry.Draft {
		return t.dropDraft(ctx, id)
	}
	if state == boxregistry.Released {
		_, err = t.ExecContext(ctx, `UPDATE box_versions SET state = 'revoked', revoked_at = ?, revoked_why = 'deleted' WHERE id = ?`, t.now, id)
	}
	_, filesErr := t.ExecContext(ctx, `DELETE FROM box_files WHERE version_id = ?`, id)
	_, markErr := t.ExecContext(ctx, `UPDATE box_versions SET purged_at = ?1, deleted_at = coalesce(deleted_at, ?1) WHERE id = ?2`, t.now, id)
	return errors.Join(err, filesErr, markErr)
}

// Trash is the deleted boxes, with the time, newest first; deleted versions of boxes that are there are in Box.
func (r *Registry) Trash(ctx context.Context) (list []boxregistry.Box, err error) {
	rows, err := r.db.R.QueryContext(ctx, `SELECT org, name, short_description, private, deleted_at FROM boxes b WHERE deleted_at IS NOT NULL
		AND (EXISTS (SELECT 1 FROM box_versions v WHERE v.box_id = b.id AND v.purged_at IS NULL)
			OR NOT EXISTS (SELECT 1 FROM box_versions v WHERE v.box_id = b.id)) ORDER BY deleted_at DESC`)
	err = each(rows, err, func() error {
		var b boxregistry.Box
		var org, name string
		var deleted sql.NullInt64
		if err := rows.Scan(&org, &name, &b.ShortDescription, &b.Private, &deleted); err != nil {
			return err
		}
		b.Deleted = fromMicros(deleted)
		var err error
		b.Name, err = boxregistry.ParseName(org + "/" + name)
		list = append(list, b)
		return err
	})
	return list, err
}
