package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Box returns a box with all its versions and files: drafts, revoked ones and deleted ones that can be restored. It returns
// ErrNotFound, for a deleted box too.
func (r *Registry) Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error) {
	var box boxregistry.Box
	err := readTx(ctx, r.db.R, func(tx *sql.Tx) (err error) {
		box, err = fullBox(ctx, tx, name)
		return err
	})
	if err != nil {
		return boxregistry.Box{}, fmt.Errorf("box %q: %w", name, err)
	}
	return box, nil
}

func fullBox(ctx context.Context, tx *sql.Tx, name boxregistry.Name) (boxregistry.Box, error) {
	id, b, err := scanBox(ctx, tx, name)
	if err != nil {
		return b, err
	}
	b.Releases, err = releases(ctx, tx, id)
	return b, err
}

func scanBox(ctx context.Context, tx *sql.Tx, name boxregistry.Name) (id int64, b boxregistry.Box, err error) {
	var created, updated sql.NullInt64
	var newer int64
	row := tx.QueryRowContext(ctx, `SELECT id, short_description, description, private, downloads, keep_last, keep_newer, created_at, updated_at
		FROM boxes WHERE org = ? AND name = ? AND deleted_at IS NULL`, name.Org(), name.Box())
	err = row.Scan(&id, &b.ShortDescription, &b.Description, &b.Private, &b.Downloads, &b.Retention.KeepLast, &newer, &created, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		err = boxregistry.ErrNotFound
	}
	b.Retention.KeepNewer = time.Duration(newer) * time.Microsecond
	b.Name, b.Created, b.Updated = name, fromMicros(created), fromMicros(updated)
	return id, b, err
}

// releases reads the versions of a box, highest first, and then all their files in the same order.
func releases(ctx context.Context, tx *sql.Tx, box int64) ([]boxregistry.Release, error) {
	var out []boxregistry.Release
	at := map[int64]int{} // version id -> index in out
	rows, err := tx.QueryContext(ctx, `SELECT id, number, state, description, created_at, updated_at, released_at, revoked_at, revoked_why,
		coalesce((SELECT group_concat(channel) FROM (SELECT channel FROM box_channels WHERE version_id = v.id ORDER BY channel)), ''),
		pinned, deleted_at, downloads, last_used
		FROM box_versions v WHERE box_id = ? AND purged_at IS NULL ORDER BY sort_key DESC`, box)
	err = each(rows, err, func() error {
		id, rel, err := scanRelease(rows)
		at[id] = len(out)
		out = append(out, rel)
		return err
	})
	if err != nil {
		return nil, err
	}
	rows, err = tx.QueryContext(ctx, `SELECT f.version_id, `+fileColumns+` FROM box_files f JOIN box_versions v ON v.id = f.version_id
		WHERE v.box_id = ? AND v.purged_at IS NULL ORDER BY f.provider, f.is_default, f.architecture`, box)
	err = each(rows, err, func() error {
		var version int64
		f, err := scanFile(rows, &version)
		rel := &out[at[version]]
		rel.Files = append(rel.Files, f)
		return err
	})
	return out, err
}

func scanRelease(rows *sql.Rows) (id int64, rel boxregistry.Release, err error) {
	var number, channels string
	var created, updated, released, revoked, deleted, used sql.NullInt64
	if err := rows.Scan(&id, &number, &rel.State, &rel.Description, &created, &updated, &released, &revoked, &rel.RevokedWhy,
		&channels, &rel.Pinned, &deleted, &rel.Downloads, &used); err != nil {
		return 0, rel, err
	}
	rel.Created, rel.Updated, rel.Released, rel.Revoked = fromMicros(created), fromMicros(updated), fromMicros(released), fromMicros(revoked)
	rel.Deleted, rel.LastUsed = fromMicros(deleted), fromMicros(used)
	rel.Channels = split[boxregistry.Channel](channels)
	rel.Version, err = boxregistry.ParseVersion(number)
	return id, rel, err
}

// split takes apart what group_concat put together.
func split[T ~string](list string) (out []T) {
	for part := range strings.SplitSeq(list, ",") {
		if part != "" {
			out = append(out, T(part))
		}
	}
	return out
}

const fileColumns = `f.provider, f.architecture, f.is_default, f.digest, f.url, f.declared_type, f.declared_hex, f.size, f.unpacked_size,
	f.virtual_size, f.firmware, f.provenance, f.created_at, f.published_at, coalesce(f.smoke_passed, 0), f.smoke_detail, f.smoke_at`

// scanFile reads fileColumns, with the column before them into first.
func scanFile(rows *sql.Rows, first *int64) (boxregistry.File, error) {
	var f boxregistry.File
	var provenance string
	var created, published, smoked sql.NullInt64
	err := rows.Scan(first, &f.Provider, &f.Architecture, &f.Default, &f.Digest, &f.URL, &f.Declared.Type, &f.Declared.Hex, &f.Size,
		&f.UnpackedSize, &f.VirtualSize, &f.Firmware, &provenance, &created, &published, &f.Smoke.Passed, &f.Smoke.Detail, &smoked)
	f.Provenance = json.RawMessage(provenance)
	f.Created, f.Published, f.Smoke.At = fromMicros(created), fromMicros(published), fromMicros(smoked)
	return f, err
}

// each calls scan for every row and closes the rows; err is that of the query.
func each(rows *sql.Rows, err error, scan func() error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Resolve finds the file of the highest released version that meets the requirement and has one for the provider and
// architecture; an empty architecture takes the provider's default, one that the box does not name takes an "unknown"
// file. Errors: ErrNotFound.
func (r *Registry) Resolve(ctx context.Context, name boxregistry.Name, req boxregistry.Requirement, p boxregistry.Provider,
	a boxregistry.Architecture) (boxregistry.Resolved, error) {
	box, err := r.Box(ctx, name)
	if err != nil {
		return boxregistry.Resolved{}, err
	}
	for _, rel := range box.Visible() {
		if !req.Matches(rel.Version) {
			continue
		}
		if f, ok := rel.File(p, a); ok {
			return boxregistry.Resolved{Box: name, Version: rel.Version, File: f}, nil
		}
	}
	return boxregistry.Resolved{}, fmt.Errorf("box %q: %w: no released version meets %q for %s%s; %s",
		name, boxregistry.ErrNotFound, req, p, slashed(a), offer(box))
}

func slashed(a boxregistry.Architecture) string {
	if a == "" {
		return ""
	}
	return "/" + string(a)
}

// offer tells what the box has instead.
func offer(box boxregistry.Box) string {
	visible := box.Visible()
	if len(visible) == 0 {
		return "it has no released version yet"
	}
	var files []string
	for _, f := range visible[0].Files {
		files = append(files, string(f.Provider)+"/"+string(f.Architecture))
	}
	return fmt.Sprintf("the newest is %s for %s", visible[0].Version, strings.Join(files, ", "))
}
