package sqlitedb

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// ErrDiskFull says that the database could not grow. Nothing of the transaction was kept; free space and try again.
var ErrDiskFull = errors.New("the disk that holds the database is full")

// ErrNewerSchema says that a newer Boxkiln has already changed the database, so this one must not touch it.
var ErrNewerSchema = errors.New("the database was written by a newer boxkiln")

// IsConstraint reports whether err comes from a constraint or trigger of the schema (SQLITE_CONSTRAINT).
func IsConstraint(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.Code == sqlite3.ErrConstraint
}

// mapError adds the sentinels above to what the driver returned; the driver's error stays reachable with errors.As.
func mapError(err error) error {
	var e sqlite3.Error
	if !errors.As(err, &e) || errors.Is(err, ErrDiskFull) {
		return err
	}
	if e.Code == sqlite3.ErrFull || e.SystemErrno == syscall.ENOSPC || e.SystemErrno == syscall.EDQUOT {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}
