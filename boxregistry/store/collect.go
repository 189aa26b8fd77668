package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// Collect deletes the blobs that no version names and that have been stored for at least grace, which covers those
// between Commit and Publish. What is known of bytes goes with them. It returns how many bytes it freed.
func (r *Registry) Collect(ctx context.Context, grace time.Duration) (freed int64, err error) {
	for info, err := range r.blobs.All(ctx) {
		if err != nil {
			return freed, err
		}
		if r.now().Sub(info.Stored) < grace {
			continue
		}
		n, err := r.collectOne(ctx, info.Digest, grace)
		if err != nil {
			return freed, err
		}
		freed += n
	}
	return freed, r.forgetLost(ctx)
}

// collectOne looks again and deletes under the write lock, so that no Publish can begin to name the blob meanwhile, and
// one whose bytes were just stored anew is left to whoever is about to publish it.
func (r *Registry) collectOne(ctx context.Context, d blob.Digest, grace time.Duration) (freed int64, err error) {
	err = r.db.Tx(ctx, func(tx *sql.Tx) error {
		var used bool
		row := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM box_files WHERE digest = ?)`, string(d))
		if err := row.Scan(&used); err != nil || used {
			return err
		}
		info, err := r.blobs.Stat(ctx, d)
		if errors.Is(err, blob.ErrNotFound) || err == nil && r.now().Sub(info.Stored) < grace {
			return nil
		}
		if err != nil {
			return err
		}
		if err := errors.Join(r.blobs.Delete(ctx, d), r.fault("collect.deleted"), forget(ctx, tx, d)); err != nil {
			return err
		}
		freed = info.Size
		return nil
	})
	return freed, err
}

// knownTables hold what is known of bytes, by their digest.
var knownTables = []string{"blob_contents", "blob_packages", "blob_signatures"}

// forget removes what is known of bytes.
func forget(ctx context.Context, tx *sql.Tx, d blob.Digest) error {
	var all error
	for _, table := range knownTables {
		_, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE digest = ?`, string(d))
		all = errors.Join(all, err)
	}
	return all
}

// forgetLost removes what is known of bytes that are neither stored nor named: a crash came between the two.
func (r *Registry) forgetLost(ctx context.Context) error {
	for _, table := range knownTables {
		var list []blob.Digest
		rows, err := r.db.R.QueryContext(ctx, `SELECT digest FROM `+table+` k WHERE NOT EXISTS (SELECT 1 FROM box_files WHERE digest = k.digest)`)
		err = each(rows, err, func() error {
			var d blob.Digest
			err := rows.Scan(&d)
			list = append(list, d)
			return err
		})
		for _, d := range list {
			if err != nil {
				return err
			}
			err = r.forgetIfLost(ctx, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) forgetIfLost(ctx context.Context, d blob.Digest) error {
	return r.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := r.blobs.Stat(ctx, d)
		if errors.Is(err, blob.ErrNotFound) {
			return forget(ctx, tx, d)
		}
		return err
	})
}
