package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// MirroredCatalog returns what is kept of the catalog of another registry's box, or ErrNotFound.
func (r *Registry) MirroredCatalog(ctx context.Context, name boxregistry.Name) (boxregistry.MirroredCatalog, error) {
	c := boxregistry.MirroredCatalog{Box: name}
	var fetched sql.NullInt64
	row := r.db.R.QueryRowContext(ctx, `SELECT body, fetched_at FROM mirror_catalogs WHERE org = ? AND name = ?`, name.Org(), name.Box())
	err := row.Scan(&c.Body, &fetched)
	if errors.Is(err, sql.ErrNoRows) {
		err = boxregistry.ErrNotFound
	}
	c.Fetched = fromMicros(fetched)
	return c, named("mirrored catalog of", name, err)
}

// KeepMirroredCatalog keeps a catalog in the place of the one before.
func (r *Registry) KeepMirroredCatalog(ctx context.Context, c boxregistry.MirroredCatalog) error {
	return named("keep the catalog of", c.Box, r.write(ctx, func(t transaction) error {
		_, err := t.ExecContext(ctx, `INSERT INTO mirror_catalogs (org, name, body, fetched_at) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET body = excluded.body, fetched_at = excluded.fetched_at`,
			c.Box.Org(), c.Box.Box(), string(c.Body), micros(c.Fetched))
		return err
	}))
}

// MirroredFiles lists the files of another registry's box whose bytes are here.
func (r *Registry) MirroredFiles(ctx context.Context, name boxregistry.Name) (list []boxregistry.MirroredFile, err error) {
	err = readTx(ctx, r.db.R, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT version, provider, architecture, source, digest, size, fetched_at
			FROM mirror_files WHERE org = ? AND name = ?`, name.Org(), name.Box())
		return each(rows, err, func() error {
			f := boxregistry.MirroredFile{Box: name}
			var number string
			var fetched sql.NullInt64
			if err := rows.Scan(&number, &f.Provider, &f.Architecture, &f.Source, &f.Digest, &f.Size, &fetched); err != nil {
				return err
			}
			f.Fetched = fromMicros(fetched)
			f.Version, err = boxregistry.ParseVersion(number)
			list = append(list, f)
			return err
		})
	})
	return list, named("mirrored files of", name, err)
}

// KeepMirroredFile keeps stored bytes as those of a file of another registry, in the place of the ones before. Errors:
// blob.ErrNotFound when they are not stored.
func (r *Registry) KeepMirroredFile(ctx context.Context, f boxregistry.MirroredFile) error {
	if err := r.keepMirrored(ctx, f); err != nil {
		return fmt.Errorf("keep %s %s %s/%s: %w", f.Box, f.Version, f.Provider, f.Architecture, err)
	}
	return nil
}

// keepMirrored holds the digest from the look at the bytes to the row that names them, as publish does.
func (r *Registry) keepMirrored(ctx context.Context, f boxregistry.MirroredFile) error {
	unlock, err := r.digests.Lock(ctx, f.Digest)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := r.blobs.Stat(ctx, f.Digest); err != nil {
		return err
	}
	return r.write(ctx, func(t transaction) error {
		_, err := t.ExecContext(ctx, `INSERT INTO mirror_files (org, name, version, provider, architecture, source, digest, size, fetched_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET source = excluded.source, digest = excluded.digest, size = excluded.size, fetched_at = excluded.fetched_at`,
			f.Box.Org(), f.Box.Box(), f.Version.String(), string(f.Provider), string(f.Architecture), f.Source, string(f.Digest), f.Size, micros(f.Fetched))
		return err
	})
}
