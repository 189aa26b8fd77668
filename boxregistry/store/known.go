package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// SetContents keeps what inspection found in a box file, a boxfile.Summary, under the digest of its bytes. What is known
// goes with the bytes.
func (r *Registry) SetContents(ctx context.Context, d blob.Digest, summary json.RawMessage) error {
	return r.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO blob_contents (digest, summary, created_at) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET summary = excluded.summary`, string(d), string(summary), micros(r.now()))
		return err
	})
}
