// Package sqlitedb opens the one SQLite file that every store of Boxkiln shares.
//
// [Open] gives two pools over the same file: W, with exactly one connection, for everything that writes, and R, a pool
// of query-only connections, for everything that reads. One writer means that transactions queue inside the process
// instead of failing with SQLITE_BUSY. Each store then calls [Migrate] with its own migrations and its own version
// table, and changes rows inside [DB.Tx], which begins immediately, so that "look, then insert" cannot race.
//
// Pragmas are part of the data source name, never executed on a connection: a pragma that is executed reaches one
// connection of the pool and is silently missing on all others.
package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
)

// BusyTimeout is how long, in milliseconds, a connection waits for a lock that another process holds.
const BusyTimeout = 5000

// DB is one SQLite file, opened for writing by one connection and for reading by several.
//
// Never use W inside a function given to Tx: its only connection is taken and the call would wait for itself.
type DB struct {
	W    *sql.DB // one connection; transactions take the write lock when they begin
	R    *sql.DB // query-only connections; each transaction sees one snapshot
	path string
}

// Path is the name of the database file as it was given to Open.
func (db *DB) Path() string { return db.path }

// Open opens the database file at path and makes it, readable by its owner only, when it does not exist.
// The directory must exist. Close releases both pools.
func Open(ctx context.Context, path string) (*DB, error) {
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("database %q: %w", path, err)
	}
	w, err := sql.Open("sqlite3", dsn(path, "immediate", false))
	if err != nil {
		return nil, fmt.Errorf("database %q: %w", path, err)
	}
	w.SetMaxOpenConns(1)
	// The writer goes first: it switches the file to WAL, which a query-only connection could not do.
	if err := w.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("database %q: %w", path, mapError(err)), w.Close())
	}
	r, err := sql.Open("sqlite3", dsn(path, "deferred", true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %q: %w", path, err), w.Close())
	}
	r.SetMaxOpenConns(max(4, 2*runtime.NumCPU()))
	r.SetMaxIdleConns(max(4, 2*runtime.NumCPU()))
	db := &DB{W: w, R: r, path: path}
	if err := r.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("database %q: %w", path, mapError(err)), db.Close())
	}
	return db, nil
}

// Close waits for the statements that are running and closes both pools. The writer closes last and folds the
// write-ahead log into the file.
func (db *DB) Close() error { return errors.Join(db.R.Close(), db.W.Close()) }

// Tx runs do inside one transaction that holds the write lock from its first moment, and commits when do returns nil.
// Any error, a panic or a cancelled ctx rolls everything back. A full disk is reported as [ErrDiskFull].
func (db *DB) Tx(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := db.W.BeginTx(ctx, nil)
	if err != nil {
		return mapError(err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it is a no-op; before, the first error says more
	if err := do(tx); err != nil {
		return mapError(err)
	}
	return mapError(tx.Commit())
}

// createPrivate makes the file with mode 0600 before SQLite would make it with the umask's; the write-ahead log and
// the shared-memory file take their mode from it.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn names the file and every pragma. The path is escaped, so that "?", "#" and "%" in a directory's name are safe.
func dsn(path, txlock string, queryOnly bool) string {
	q := url.Values{
		"_busy_timeout": {fmt.Sprint(BusyTimeout)},
		"_foreign_keys": {"on"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_txlock":       {txlock},
	}
	if queryOnly {
		q.Set("_query_only", "on")
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}
