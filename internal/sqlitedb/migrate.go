package sqlitedb

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// Migrate brings the tables of one store up to date. fsys holds the folder "migrations" with goose files
// (00001_name.sql, "-- +goose Up"); versionTable is that store's own record of what has run, so that several stores
// share the file without knowing each other. Each migration is one transaction. Calling it again does nothing.
//
// A file is best one "+goose StatementBegin" block: SQLite runs the statements of a text one after the other by itself, and
// goose takes a buffer of 4 MiB for each line in which it looks for the end of one.
//
// A database that has more migrations than fsys is refused with [ErrNewerSchema] and left as it is.
func Migrate(ctx context.Context, db *DB, fsys fs.FS, versionTable string) error {
	files, err := fs.Sub(fsys, "migrations")
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", versionTable, err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db.W, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", versionTable, err)
	}
	have, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("schema version in %s: %w", versionTable, mapError(err))
	}
	if have > known {
		return fmt.Errorf("%w: %s is at version %d, this boxkiln knows %d; install the newer boxkiln again or restore a backup of %q",
			ErrNewerSchema, versionTable, have, known, db.path)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrations of %s: %w", versionTable, mapError(err))
	}
	return nil
}
