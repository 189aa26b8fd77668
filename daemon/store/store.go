// Package store keeps what the daemon must remember over a crash: builds and their states, the steps of each attempt,
// and the ledger of what attempts hold outside the process.
//
// A build is submitted with [Store.Submit], claimed by a worker with [Store.Claim], which begins a new attempt, and ended
// with [Store.End]. Every write of a worker names its attempt and changes nothing when that is no longer the current one
// (build.ErrFenced). After a crash [Store.Interrupt] calls everything that was running interrupted. Logs are files, not
// rows.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is the daemon's part of the database.
type Store struct {
	db  *sqlitedb.DB
	now func() time.Time
}

// Open brings the daemon's tables up to date and returns the store. The database stays the caller's to close.
func Open(ctx context.Context, db *sqlitedb.DB, now func() time.Time) (*Store, error) {
	if err := sqlitedb.Migrate(ctx, db, migrations, "daemon_version"); err != nil {
		return nil, err
	}
	return &Store{db: db, now: now}, nil
}

// Submit adds a queued build.
func (s *Store) Submit(ctx context.Context, r build.Record) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO builds
			(id, run, label, template, box, version, state, cpus, memory_mib, disk_bytes, parallel, created)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.ID, r.Run, r.Label, r.Template, r.Box, r.Version, build.Queued,
			r.Needs.CPUs, r.Needs.MemoryMiB, r.Needs.DiskBytes, r.Parallel, build.Stamp(s.now()))
		return err
	})
}

// Claim makes a queued build running and begins a new attempt, whose number it returns. It returns build.ErrFenced if the
// build is not queued any more.
func (s *Store) Claim(ctx context.Context, id build.ID) (attempt int, err error) {
	err = s.db.Tx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE builds SET state = ?, attempt = attempt + 1, started = ?
			WHERE id = ? AND state = ? RETURNING attempt`,
			build.Running, build.Stamp(s.now()), id, build.Queued).Scan(&attempt)
		if errors.Is(err, sql.ErrNoRows) {
			return build.ErrFenced
		}
		return err
	})
	return attempt, err
}

// RequestCancel asks a build to stop. A queued one is canceled at once; a running one becomes canceling and its worker
// has to be told. It returns the new state, and whether this call changed it; a build that has ended keeps its state.
func (s *Store) RequestCancel(ctx context.Context, id build.ID) (next build.State, changed bool, err error) {
	err = s.db.Tx(ctx, func(tx *sql.Tx) error {
		var now build.State
		err := tx.QueryRowContext(ctx, `SELECT state FROM builds WHERE id = ?`, id).Scan(&now)
		if errors.Is(err, sql.ErrNoRows) {
			return build.ErrNotFound
		}
		if err != nil {
			return err
		}
		switch now {
		case build.Queued:
			next = build.Canceled
			_, err = tx.ExecContext(ctx, `UPDATE builds SET state = ?, finished = ? WHERE id = ?`, next, build.Stamp(s.now()), id)
		case build.Running:
			next = build.Canceling
			_, err = tx.ExecContext(ctx, `UPDATE builds SET state = ? WHERE id = ?`, next, id)
		default:
			next = now
		}
		changed = next != now
		return err
	})
	return next, changed, err
}

// End writes the final state of an attempt. It returns build.ErrFenced if the attempt is not the current one or the build
// has ended.
func (s *Store) End(ctx context.Context, id build.ID, attempt int, state build.State, step, message string) error {
	if !state.Final() {
		return fmt.Errorf("state %q does not end a build", state)
	}
	return s.fenced(ctx, `UPDATE builds SET state = ?, step = ?, error = ?, finished = ?
		WHERE id = ? AND attempt = ? AND state IN (?, ?)`,
		state, step, message, build.Stamp(s.now()), id, attempt, build.Running, build.Canceling)
}

// Resume queues a build again that has ended without success; the next claim begins a new attempt. It returns the state that
// the build is in: Queued after success, and otherwise that which does not permit it, with build.ErrNotResumable.
func (s *Store) Resume(ctx context.Context, id build.ID) (build.State, error) {
	var now build.State
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT state FROM builds WHERE id = ?`, id).Scan(&now)
		if errors.Is(err, sql.ErrNoRows) {
			return build.ErrNotFound
		}
		if err != nil {
			return err
		}
		if !now.Final() || !now.MayBecome(build.Queued) {
			return build.ErrNotResumable
		}
		now = build.Queued
		_, err = tx.ExecContext(ctx, `UPDATE builds SET state = ?, step = '', error = '', finished = '' WHERE id = ?`, now, id)
		return err
	})
	return now, err
}

// Step records that a step of an attempt began, ended or was cached, and makes it the build's current step. It returns build.ErrFenced
// if the attempt is not the current one, or a step begins in a build that has ended.
func (s *Store) Step(ctx context.Context, id build.ID, attempt int, name string, phase build.StepPhase, took time.Duration) error {
	if phase == build.StepBegan || phase == build.StepCached {
		err := s.fenced(ctx, `INSERT INTO steps (build, attempt, seq, name, phase, began)
			SELECT ?1, ?2, (SELECT count(*) FROM steps WHERE build = ?1 AND attempt = ?2), ?3, ?4, ?5
			WHERE EXISTS (SELECT 1 FROM builds WHERE id = ?1 AND attempt = ?2 AND state IN (?6, ?7))`,
			id, attempt, name, phase, build.Stamp(s.now()), build.Running, build.Canceling)
		if err != nil {
			return err
		}
		return s.fenced(ctx, `UPDATE builds SET step = ? WHERE id = ? AND attempt = ?`, name, id, attempt)
	}
	return s.fenced(ctx, `UPDATE steps SET phase = ?, seconds = ? WHERE build = ? AND attempt = ? AND seq =
		(SELECT max(seq) FROM steps WHERE build = ? AND attempt = ? AND name = ?)`,
		phase, took.Seconds(), id, attempt, id, attempt, name)
}

// fenced runs a statement that must change a row.
func (s *Store) fenced(ctx context.Context, query string, args ...any) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return build.ErrFenced
	})
}

// Interrupt ends every build that a dead daemon left running, and returns their ids. Call it before any worker starts.
func (s *Store) Interrupt(ctx context.Context) ([]build.ID, error) {
	var ids []build.ID
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `UPDATE builds SET state = ?, finished = ?, error = ?
			WHERE state IN (?, ?) RETURNING id`,
			build.Interrupted, build.Stamp(s.now()), "the daemon ended while the build ran", build.Running, build.Canceling)
		if err != nil {
			return err
		}
		ids, err = sqlitedb.Collect(rows, func(r *sql.Rows) (id build.ID, err error) {
			err = r.Scan(&id)
			return id, err
		})
		return err
	})
	return ids, err
}

// InstallID is the random id of this data directory, made at the first call. Machines carry it in their tag.
func (s *Store) InstallID(ctx context.Context) (string, error) {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand
	var id string
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO facts (name, value) VALUES ('install', ?) ON CONFLICT DO NOTHING`, hex.EncodeToString(b[:]))
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT value FROM facts WHERE name = 'install'`).Scan(&id)
	})
	return id, err
}
