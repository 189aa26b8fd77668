package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Facets is what List can narrow the boxes by that somebody sees.
func (r *Registry) Facets(ctx context.Context, seen boxregistry.Sight) (f boxregistry.Facets, err error) {
	where, args := filter(boxregistry.ListQuery{Seen: seen})
	err = readTx(ctx, r.db.R, func(tx *sql.Tx) error {
		f = boxregistry.Facets{}
		var orgErr, providerErr, archErr error
		f.Orgs, orgErr = column[string](ctx, tx, `SELECT DISTINCT b.org FROM `+listed+where+` ORDER BY 1`, args)
		f.Providers, providerErr = column[boxregistry.Provider](ctx, tx, `SELECT DISTINCT provider FROM box_files
			WHERE version_id IN (SELECT v.id FROM `+listed+where+`) ORDER BY 1`, args)
		f.Architectures, archErr = column[boxregistry.Architecture](ctx, tx, `SELECT DISTINCT architecture FROM box_files
			WHERE version_id IN (SELECT v.id FROM `+listed+where+`) ORDER BY 1`, args)
		return errors.Join(orgErr, providerErr, archErr)
	})
	return f, err
}

// column reads the only column of a query.
func column[T ~string](ctx context.Context, tx *sql.Tx, query string, args []any) (all []T, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	err = each(rows, err, func() error {
		var v T
		err := rows.Scan(&v)
		all = append(all, v)
		return err
	})
	return all, err
}
