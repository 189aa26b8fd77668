// Package audit keeps the record of who changed what.
//
// [Log.Record] writes into the transaction of the change itself, so there is no change without a record and no record of
// what did not happen. The table is append-only: triggers refuse anything else. Each row has a hash over itself and the row
// before it, so that [Log.Verify] finds what somebody with the database in his hands has changed or taken out of the middle.
package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Entry is one record.
type Entry struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`   // "ada (token laptop)", "token ci", "socket", or "daemon" for what it does by itself
	Action  string    `json:"action"`  // such as "box.create"
	Subject string    `json:"subject"` // what was changed
	Detail  string    `json:"detail,omitempty"`
}

// Log is the record in one database.
type Log struct {
	db  *sqlitedb.DB
	now func() time.Time
}

// Open brings the table up to date.
func Open(ctx context.Context, db *sqlitedb.DB, now func() time.Time) (*Log, error) {
	if err := sqlitedb.Migrate(ctx, db, migrations, "audit_version"); err != nil {
		return nil, err
	}
	return &Log{db: db, now: now}, nil
}

// Record adds an entry to tx, which changes what it tells of. Who did it is in ctx (auth.PrincipalFrom).
func (l *Log) Record(ctx context.Context, tx *sql.Tx, action, subject, detail string) error {
	var before string
	err := tx.QueryRowContext(ctx, `SELECT hash FROM audit ORDER BY id DESC LIMIT 1`).Scan(&before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	row := []string{l.now().UTC().Format(time.RFC3339Nano), actor(auth.PrincipalFrom(ctx)), action, subject, detail}
	_, err = tx.ExecContext(ctx, `INSERT INTO audit (at, actor, action, subject, detail, hash) VALUES (?, ?, ?, ?, ?, ?)`,
		row[0], row[1], row[2], row[3], row[4], chain(before, row))
	return err
}

func actor(p auth.Principal) string {
	switch {
	case p.User != "":
		return fmt.Sprintf("%s (token %s)", p.User, p.Name)
	case p.Local:
		return cmp.Or(p.Name, "socket")
	case p.Known():
		return "token " + p.Name
	}
	return "daemon"
}

// chain is the hash of a row after the one with the hash before. Lengths keep fields from running into each other.
func chain(before string, row []string) string {
	h := sha256.New()
	for _, field := range append([]string{before}, row...) {
		fmt.Fprintf(h, "%d:%s", len(field), field)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Query narrows a list; zero fields do not.
type Query struct {
	Subject string // a part of it
	Before  int64  // only entries with a lower ID, for the next page
	Limit   int    // how many at most; 0 for 100
}

// List returns entries, newest first.
func (l *Log) List(ctx context.Context, q Query) (list []Entry, err error) {
	rows, err := l.db.R.QueryContext(ctx, `SELECT id, at, actor, action, subject, detail FROM audit
		WHERE instr(subject, ?1) > 0 AND (?2 = 0 OR id < ?2) ORDER BY id DESC LIMIT ?3`, q.Subject, q.Before, cmp.Or(q.Limit, 100))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e Entry
		var at string
		if err := rows.Scan(&e.ID, &at, &e.Actor, &e.Action, &e.Subject, &e.Detail); err != nil {
			return nil, err
		}
		if e.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return nil, fmt.Errorf("entry %d of the audit log: %w", e.ID, err)
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// BrokenError says from which entry on the record is not what was written.
type BrokenError struct {
	ID int64 // of the first entry that does not follow from those before it
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("entry %d of the audit log, or one before it, was changed or removed outside of Boxkiln", e.ID)
}

// Verify follows the chain from its beginning and returns how many entries it has. It returns a *BrokenError. Entries cut off
// at the end leave no trace in the table itself; compare the number and the last hash with what you noted elsewhere.
func (l *Log) Verify(ctx context.Context) (n int64, head string, err error) {
	rows, err := l.db.R.QueryContext(ctx, `SELECT id, at, actor, action, subject, detail, hash FROM audit ORDER BY id`)
	if err != nil {
		return 0, "", err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		row := make([]string, 5)
		var hash string
		if err := rows.Scan(&id, &row[0], &row[1], &row[2], &row[3], &row[4], &hash); err != nil {
			return n, head, err
		}
		if chain(head, row) != hash {
			return n, head, &BrokenError{ID: id}
		}
		n, head = n+1, hash
	}
	return n, head, rows.Err()
}
