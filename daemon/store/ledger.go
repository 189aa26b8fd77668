package store

import (
	"context"
	"database/sql"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

var _ build.Ledger = (*Store)(nil)

// Intend records r; see build.Ledger. The commit is synced before it returns (synchronous = FULL).
func (s *Store) Intend(ctx context.Context, r build.Resource) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO resources (build, attempt, kind, name, data) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (build, attempt, kind, name) DO UPDATE SET data = excluded.data`,
			r.Build, r.Attempt, r.Kind, r.Name, string(r.Data))
		return err
	})
}

// Release forgets r; see build.Ledger.
func (s *Store) Release(ctx context.Context, r build.Resource) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM resources WHERE build = ? AND attempt = ? AND kind = ? AND name = ?`,
			r.Build, r.Attempt, r.Kind, r.Name)
		return err
	})
}

// Held lists resources, newest first; see build.Ledger.
func (s *Store) Held(ctx context.Context, b build.ID) ([]build.Resource, error) {
	rows, err := s.db.R.QueryContext(ctx, `SELECT build, attempt, kind, name, data FROM resources
		WHERE ?1 = '' OR build = ?1 ORDER BY seq DESC`, b)
	if err != nil {
		return nil, err
	}
	return sqlitedb.Collect(rows, func(row *sql.Rows) (build.Resource, error) {
		var r build.Resource
		var data string
		err := row.Scan(&r.Build, &r.Attempt, &r.Kind, &r.Name, &data)
		if data != "" {
			r.Data = []byte(data)
		}
		return r, err
	})
}
