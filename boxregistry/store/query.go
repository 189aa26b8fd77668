package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Box returns a box with all its versions and files, drafts and revoked ones too. It returns ErrNotFound.
func (r *Registry) Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error) {
	var box boxregistry.Box
	err := readTx(ctx, r.db.R, func(tx *sql.Tx) error {
		id, b, err := scanBox(ctx, tx, name)
		if err != nil {
			return err
		}
		b.Releases, err = releases(ctx, tx, id)
		box = b
		return err
	})
	if err != nil {
		return boxregistry.Box{}, fmt.Errorf("box %q: %w", name, err)
	}
	return box, nil
}

func scanBox(ctx context.Context, tx *sql.Tx, name boxregistry.Name) (id int64, b boxregistry.Box, err error) {
	var created, updated sql.NullInt64
	row := tx.QueryRowContext(ctx, `SELECT id, short_description, description, created_at, updated_at FROM boxes
		WHERE org = ? AND name = ?`, name.Org(), name.Box())
	err = row.Scan(&id, &b.ShortDescription, &b.Description, &created, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		err = boxregistry.ErrNotFound
	}
	b.Name, b.Created, b.Updated = name, fromMicros(created), fromMicros(updated)
	return id, b, err
}

// releases reads the versions of a box, highest first, and then all their files in the same order.
func releases(ctx context.Context, tx *sql.Tx, box int64) ([]boxregistry.Release, error) {
	var out []boxregistry.Release
	at := map[int64]int{} // version id -> index in out
	rows, err := tx.QueryContext(ctx, `SELECT id, number, state, description, created_at, released_at, revoked_at
		FROM box_versions WHERE box_id = ? ORDER BY sort_key DESC`, box)
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
		WHERE v.box_id = ? ORDER BY f.provider, f.is_default, f.architecture`, box)
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
	var number string
	var created, released, revoked sql.NullInt64
	if err := rows.Scan(&id, &number, &rel.State, &rel.Description, &created, &released, &revoked); err != nil {
		return 0, rel, err
	}
	rel.Created, rel.Released, rel.Revoked = fromMicros(created), fromMicros(released), fromMicros(revoked)
	rel.Version, err = boxregistry.ParseVersion(number)
	return id, rel, err
}

const fileColumns = `f.provider, f.architecture, f.is_default, f.digest, f.size, f.unpacked_size, f.virtual_size, f.firmware,
	f.provenance, f.published_at, coalesce(f.smoke_passed, 0), f.smoke_detail, f.smoke_at`

// scanFile reads fileColumns, with the columns before them into first.
func scanFile(rows *sql.Rows, first *int64) (boxregistry.File, error) {
	var f boxregistry.File
	var provenance string
	var published, smoked sql.NullInt64
	err := rows.Scan(first, &f.Provider, &f.Architecture, &f.Default, &f.Digest, &f.Size, &f.UnpackedSize, &f.VirtualSize,
		&f.Firmware, &provenance, &published, &f.Smoke.Passed, &f.Smoke.Detail, &smoked)
	f.Provenance = json.RawMessage(provenance)
	f.Published, f.Smoke.At = fromMicros(published), fromMicros(smoked)
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

// List returns the boxes that q asks for, and how many there are without its limit.
func (r *Registry) List(ctx context.Context, q boxregistry.ListQuery) (list []boxregistry.Summary, total int, err error) {
	pattern := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(q.Search) + "%"
	order := `b.org, b.name`
	if q.NewestFirst {
		order = `b.updated_at DESC, b.id DESC`
	}
	err = readTx(ctx, r.db.R, func(tx *sql.Tx) error {
		row := tx.QueryRowContext(ctx, `SELECT count(*) FROM boxes b WHERE `+listFilter, pattern)
		if err := row.Scan(&total); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, listQuery+` ORDER BY `+order+` LIMIT ? OFFSET ?`, pattern, q.Limit, q.Offset)
		return each(rows, err, func() error {
			s, err := scanSummary(rows)
			list = append(list, s)
			return err
		})
	})
	return list, total, err
}

const listFilter = `(b.org || '/' || b.name || ' ' || b.short_description) LIKE ? ESCAPE '\'`

const listQuery = `SELECT b.org, b.name, b.short_description, b.updated_at, coalesce(v.number, ''),
	coalesce((SELECT group_concat(provider) FROM (SELECT DISTINCT provider FROM box_files WHERE version_id = v.id ORDER BY provider)), ''),
	coalesce((SELECT sum(size) FROM box_files WHERE version_id = v.id), 0)
	FROM boxes b LEFT JOIN box_versions v ON v.id =
		(SELECT id FROM box_versions WHERE box_id = b.id AND state = 'released' ORDER BY sort_key DESC LIMIT 1)
	WHERE ` + listFilter

func scanSummary(rows *sql.Rows) (boxregistry.Summary, error) {
	var s boxregistry.Summary
	var org, name, number, providers string
	var updated sql.NullInt64
	if err := rows.Scan(&org, &name, &s.ShortDescription, &updated, &number, &providers, &s.Size); err != nil {
		return s, err
	}
	s.Updated = fromMicros(updated)
	for p := range strings.SplitSeq(providers, ",") {
		if p != "" {
			s.Providers = append(s.Providers, boxregistry.Provider(p))
		}
	}
	var nameErr, versionErr error
	s.Name, nameErr = boxregistry.ParseName(org + "/" + name)
	if number != "" {
		s.Newest, versionErr = boxregistry.ParseVersion(number)
	}
	return s, errors.Join(nameErr, versionErr)
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
