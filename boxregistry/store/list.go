package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// List returns the boxes that q asks for, and how many there are without its limit.
func (r *Registry) List(ctx context.Context, q boxregistry.ListQuery) (list []boxregistry.Summary, total int, err error) {
	where, args := filter(q)
	err = readTx(ctx, r.db.R, func(tx *sql.Tx) error {
		row := tx.QueryRowContext(ctx, `SELECT count(*) FROM `+listed+where, args...)
		if err := row.Scan(&total); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, listQuery+where+` ORDER BY `+order(q.Sort)+` LIMIT ? OFFSET ?`, append(args, q.Limit, q.Offset)...)
		return each(rows, err, func() error {
			s, err := scanSummary(rows)
			list = append(list, s)
			return err
		})
	})
	return list, total, err
}

// listed is every box that is not deleted, with its newest version of the stable channel.
const listed = `boxes b LEFT JOIN box_versions v ON v.id = (SELECT n.id FROM box_versions n JOIN box_channels c ON c.version_id = n.id AND c.channel = 'stable'
	WHERE n.box_id = b.id AND n.state = 'released' AND n.deleted_at IS NULL ORDER BY n.sort_key DESC LIMIT 1) WHERE b.deleted_at IS NULL`

const stored = `coalesce((SELECT sum(f.size) FROM box_files f JOIN box_versions a ON a.id = f.version_id WHERE a.box_id = b.id), 0)`

const listQuery = `SELECT b.org, b.name, b.short_description, b.private, b.downloads, b.created_at, b.updated_at, coalesce(v.number, ''),
	coalesce((SELECT group_concat(provider) FROM (SELECT DISTINCT provider FROM box_files WHERE version_id = v.id ORDER BY provider)), ''),
	coalesce((SELECT group_concat(architecture) FROM (SELECT DISTINCT architecture FROM box_files WHERE version_id = v.id ORDER BY architecture)), ''),
	coalesce((SELECT sum(size) FROM box_files WHERE version_id = v.id), 0), ` + stored + ` FROM ` + listed

func order(s boxregistry.Sort) string {
	switch s {
	case boxregistry.ByUpdated:
		return `b.updated_at DESC, b.id DESC`
	case boxregistry.ByCreated:
		return `b.created_at DESC, b.id DESC`
	case boxregistry.ByDownloads:
		return `b.downloads DESC, b.org, b.name`
	case boxregistry.BySize:
		return stored + ` DESC, b.org, b.name`
	}
	return `b.org, b.name`
}

// filter is the conditions of a query, each beginning with AND, and their values.
func filter(q boxregistry.ListQuery) (where string, args []any) {
	add := func(condition string, values ...any) {
		where += ` AND ` + condition
		args = append(args, values...)
	}
	if q.Search != "" {
		add(`(b.org || '/' || b.name || ' ' || b.short_description) LIKE ? ESCAPE '\'`,
			"%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(q.Search)+"%")
	}
	if q.Org != "" {
		add(`b.org = ? COLLATE NOCASE`, q.Org)
	}
	if q.Provider != "" {
		add(`EXISTS (SELECT 1 FROM box_files WHERE version_id = v.id AND provider = ?)`, string(q.Provider))
	}
	if q.Architecture != "" {
		add(`EXISTS (SELECT 1 FROM box_files WHERE version_id = v.id AND architecture = ?)`, string(q.Architecture))
	}
	if q.ReleasedOnly {
		add(`v.id IS NOT NULL`)
	}
	if !q.Seen.All {
		in, orgs := inOrgs(q.Seen)
		add(`(b.private = 0 OR `+in+`)`, orgs...)
	}
	return where, args
}

// inOrgs is the condition that a box belongs to one of the organisations that somebody sees whole, and its values.
func inOrgs(seen boxregistry.Sight) (condition string, orgs []any) {
	for _, org := range seen.Orgs {
		orgs = append(orgs, strings.ToLower(org))
	}
	return `lower(b.org) IN (` + strings.TrimSuffix(strings.Repeat("?,", len(orgs)), ",") + `)`, orgs
}

// Hidden is the private boxes that somebody does not see, those included that were deleted, even for good.
func (r *Registry) Hidden(ctx context.Context, seen boxregistry.Sight) (names []boxregistry.Name, err error) {
	if seen.All {
		return nil, nil
	}
	in, orgs := inOrgs(seen)
	rows, err := r.db.R.QueryContext(ctx, `SELECT b.org || '/' || b.name FROM boxes b WHERE b.private = 1 AND NOT `+in, orgs...)
	err = each(rows, err, func() error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		name, err := boxregistry.ParseName(text)
		names = append(names, name)
		return err
	})
	return names, err
}

func scanSummary(rows *sql.Rows) (boxregistry.Summary, error) {
	var s boxregistry.Summary
	var org, name, number, providers, architectures string
	var created, updated sql.NullInt64
	if err := rows.Scan(&org, &name, &s.ShortDescription, &s.Private, &s.Downloads, &created, &updated, &number, &providers,
		&architectures, &s.Size, &s.Stored); err != nil {
		return s, err
	}
	s.Created, s.Updated = fromMicros(created), fromMicros(updated)
	s.Providers, s.Architectures = split[boxregistry.Provider](providers), split[boxregistry.Architecture](architectures)
	var nameErr, versionErr error
	s.Name, nameErr = boxregistry.ParseName(org + "/" + name)
	if number != "" {
		s.Newest, versionErr = boxregistry.ParseVersion(number)
	}
	return s, errors.Join(nameErr, versionErr)
}
