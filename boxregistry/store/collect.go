package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// Collect deletes the blobs that no version and no mirrored file names and that have been stored for at least grace, which covers those
// between Commit and Publish, with what is known of them, and what interrupted uploads left. It returns how many bytes it
// freed.
//
// No database lock is held while a store deletes, which takes long where the bytes are elsewhere. Instead collecting and
// publishing one digest take turns: whoever publishes a blob that is being deleted waits, and is told that it is gone. And
// a store deletes only what was looked at: bytes that somebody stores again meanwhile stay, with a grace of their own.
func (r *Registry) Collect(ctx context.Context, grace time.Duration) (freed int64, err error) {
	for info, err := range r.blobs.All(ctx) {
		if err != nil {
			return freed, err
		}
		if r.now().Sub(info.Stored) < grace {
			continue
		}
		gone, err := r.collectOne(ctx, info)
		if err != nil {
			return freed, fmt.Errorf("collect blob %s: %w", info.Digest, err)
		}
		if gone {
			freed += info.Size
		}
	}
	err = r.forget(ctx, grace)
	if s, ok := r.blobs.(blob.Sweeper); ok {
		err = errors.Join(err, s.Sweep(ctx))
	}
	return freed, err
}

func (r *Registry) collectOne(ctx context.Context, info blob.Info) (bool, error) {
	unlock, err := r.digests.Lock(ctx, info.Digest)
	if err != nil {
		return false, err
	}
	defer unlock()
	if used, err := r.referenced(ctx, info.Digest); err != nil || used {
		return false, err
	}
	return r.blobs.Expire(ctx, info)
}

// referenced tells whether a version names the blob, deleted ones that can be restored included, or a mirrored file. Everything
// that names blobs must hold the digest while it begins to, as publish does, and be part of the view.
func (r *Registry) referenced(ctx context.Context, d blob.Digest) (used bool, err error) {
	row := r.db.R.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM named_blobs WHERE digest = ?)`, string(d))
	return used, row.Scan(&used)
}

// forget removes what is known of bytes that no version names and that was found out at least grace ago.
func (r *Registry) forget(ctx context.Context, grace time.Duration) error {
	return r.db.Tx(ctx, func(tx *sql.Tx) error {
		var errs error
		for _, table := range []string{"blob_contents", "blob_packages", "blob_signatures"} {
			_, err := tx.ExecContext(ctx, `DELETE FROM `+table+` AS b WHERE created_at <= ?
				AND NOT EXISTS (SELECT 1 FROM named_blobs n WHERE n.digest = b.digest)`, micros(r.now().Add(-grace)))
			errs = errors.Join(errs, err)
		}
		return errs
	})
}
