package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// CreateVersion makes an empty draft in a box that is there. Errors: ErrNotFound, ErrExists, ErrImmutable,
// *InvalidNameError.
func (r *Registry) CreateVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version, description string) error {
	if _, err := boxregistry.ParseVersion(v.String()); err != nil {
		return err
	}
	return versioned("create", name, v, r.write(ctx, func(t transaction) error {
		box, err := t.liveBox(ctx, name)
		if err != nil {
			return err
		}
		draft, err := t.freeVersion(ctx, box, v)
		if err == nil && draft.id != 0 {
			err = boxregistry.ErrExists
		}
		if err != nil {
			return err
		}
		_, err = t.insertVersion(ctx, box, draft.trash, v, description)
		return errors.Join(err, t.touch(ctx, box), t.note(ctx, "version.create", name.String()+" "+v.String(), ""))
	}))
}

func versioned(verb string, name boxregistry.Name, v boxregistry.Version, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s %s: %w", verb, name, v, err)
	}
	return nil
}

// insertVersion makes a draft, in the place of the deleted one if trash names one.
func (t transaction) insertVersion(ctx context.Context, box, trash int64, v boxregistry.Version, description string) (int64, error) {
	if trash != 0 {
		if err := t.dropDraft(ctx, trash); err != nil {
			return 0, err
		}
	}
	return t.insert(ctx, `INSERT INTO box_versions (box_id, number, sort_key, description, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)`,
		box, v.String(), v.SortKey(), description, t.now)
}

// EditVersion changes the release notes of a version and whether it is pinned, as edit leaves them, in any state; it changes
// nothing else. It returns ErrNotFound.
func (r *Registry) EditVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version, edit func(*boxregistry.Release)) error {
	return r.change(ctx, "change", name, v, func(t transaction, row versionRow) error {
		var rel boxregistry.Release
		err := t.QueryRowContext(ctx, `SELECT description, pinned FROM box_versions WHERE id = ?`, row.id).Scan(&rel.Description, &rel.Pinned)
		if err != nil {
			return err
		}
		was := rel
		edit(&rel)
		if rel.Description == was.Description && rel.Pinned == was.Pinned {
			return errUnchanged
		}
		_, err = t.ExecContext(ctx, `UPDATE box_versions SET description = ?, pinned = ? WHERE id = ?`, rel.Description, rel.Pinned, row.id)
		return err
	})
}

// DescribeVersion replaces the release notes of a version, in any state. It returns ErrNotFound.
func (r *Registry) DescribeVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version, description string) error {
	return r.EditVersion(ctx, name, v, func(rel *boxregistry.Release) { rel.Description = description })
}

// Renumber gives a draft another number. Errors: ErrNotFound, ErrImmutable, ErrExists.
func (r *Registry) Renumber(ctx context.Context, name boxregistry.Name, v, to boxregistry.Version) error {
	if _, err := boxregistry.ParseVersion(to.String()); err != nil {
		return err
	}
	return r.change(ctx, "renumber", name, v, func(t transaction, row versionRow) error {
		if row.state != boxregistry.Draft {
			return boxregistry.ErrImmutable
		}
		if taken, err := t.taken(ctx, row, to); err != nil || taken {
			return errors.Join(err, fmt.Errorf("%w: version %s", boxregistry.ErrExists, to))
		}
		// The identity of a version never changes, so this is another version with the same files.
		id, err := t.insertVersion(ctx, row.box, 0, to, "")
		if err != nil {
			return err
		}
		_, copyErr := t.ExecContext(ctx, `UPDATE box_versions SET (description, pinned) =
			(SELECT description, pinned FROM box_versions WHERE id = ?1) WHERE id = ?2`, row.id, id)
		_, moveErr := t.ExecContext(ctx, `UPDATE box_files SET version_id = ? WHERE version_id = ?`, id, row.id)
		return errors.Join(copyErr, moveErr, t.dropDraft(ctx, row.id))
	})
}

func (t transaction) taken(ctx context.Context, row versionRow, v boxregistry.Version) (bool, error) {
	var id int64
	err := t.QueryRowContext(ctx, `SELECT id FROM box_versions WHERE box_id = ? AND sort_key = ?`, row.box, v.SortKey()).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return true, err
}

// Pin keeps retention away from a version, or no longer. It returns ErrNotFound.
func (r *Registry) Pin(ctx context.Context, name boxregistry.Name, v boxregistry.Version, pinned bool) error {
	return r.EditVersion(ctx, name, v, func(rel *boxregistry.Release) { rel.Pinned = pinned })
}

// Promote puts a released version into a channel too. It is idempotent. Errors: ErrNotFound, ErrNotReleased,
// *InvalidNameError.
func (r *Registry) Promote(ctx context.Context, name boxregistry.Name, v boxregistry.Version, c boxregistry.Channel) error {
	if _, err := boxregistry.ParseChannel(string(c)); err != nil {
		return err
	}
	return r.change(ctx, "promote to "+string(c), name, v, func(t transaction, row versionRow) error {
		if row.state != boxregistry.Released {
			return fmt.Errorf("%w; release it into the channel", boxregistry.ErrNotReleased)
		}
		return t.join(ctx, row.id, c)
	})
}

// Demote takes a version out of a channel, but not out of its last one. Errors: ErrNotFound, ErrLastChannel.
func (r *Registry) Demote(ctx context.Context, name boxregistry.Name, v boxregistry.Version, c boxregistry.Channel) error {
	return r.change(ctx, "take out of "+string(c), name, v, func(t transaction, row versionRow) error {
		if _, err := t.ExecContext(ctx, `DELETE FROM box_channels WHERE version_id = ? AND channel = ?`, row.id, string(c)); err != nil {
			return err
		}
		var left int
		err := t.QueryRowContext(ctx, `SELECT count(*) FROM box_channels WHERE version_id = ?`, row.id).Scan(&left)
		if err == nil && left == 0 && row.state == boxregistry.Released {
			return boxregistry.ErrLastChannel
		}
		return err
	})
}

func (t transaction) join(ctx context.Context, version int64, c boxregistry.Channel) error {
	_, err := t.ExecContext(ctx, `INSERT INTO box_channels (version_id, channel, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		version, string(c), t.now)
	return err
}
