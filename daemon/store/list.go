package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// Filter narrows List. Zero fields do not narrow.
type Filter struct {
	States []build.State
	Run    string
	Box    string
	// Hidden are boxes whose builds are left out.
	Hidden []string
	// Before returns only builds submitted before this one, for paging.
	Before build.ID
	// Limit is how many to return at most; 0 means 100.
	Limit int
}

const defaultLimit = 100

const columns = `id, run, label, template, box, version, state, attempt, step, error, cpus, memory_mib, disk_bytes, parallel, created, started, finished`

func scanRecord(scan func(...any) error) (r build.Record, err error) {
	err = scan(&r.ID, &r.Run, &r.Label, &r.Template, &r.Box, &r.Version, &r.State, &r.Attempt, &r.Step, &r.Error,
		&r.Needs.CPUs, &r.Needs.MemoryMiB, &r.Needs.DiskBytes, &r.Parallel, &r.Created, &r.Started, &r.Finished)
	return r, err
}

// Get returns one build, or build.ErrNotFound.
func (s *Store) Get(ctx context.Context, id build.ID) (build.Record, error) {
	r, err := scanRecord(s.db.R.QueryRowContext(ctx, `SELECT `+columns+` FROM builds WHERE id = ?`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = build.ErrNotFound
	}
	return r, err
}

// List returns builds, newest first.
func (s *Store) List(ctx context.Context, f Filter) ([]build.Record, error) {
	where, args := f.where()
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	rows, err := s.db.R.QueryContext(ctx, `SELECT `+columns+` FROM builds`+where+` ORDER BY seq DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, err
	}
	return sqlitedb.Collect(rows, func(r *sql.Rows) (build.Record, error) { return scanRecord(r.Scan) })
}

// Waiting returns the queued builds in the order of their submission.
func (s *Store) Waiting(ctx context.Context) ([]build.Record, error) {
	rows, err := s.db.R.QueryContext(ctx, `SELECT `+columns+` FROM builds WHERE state = ? ORDER BY seq`, build.Queued)
	if err != nil {
		return nil, err
	}
	return sqlitedb.Collect(rows, func(r *sql.Rows) (build.Record, error) { return scanRecord(r.Scan) })
}

func (f Filter) where() (string, []any) {
	var conds []string
	var args []any
	add := func(cond string, values ...any) {
		conds, args = append(conds, cond), append(args, values...)
	}
	if len(f.States) > 0 {
		var states []any
		for _, st := range f.States {
			states = append(states, st)
		}
		add(`state IN (?`+strings.Repeat(`, ?`, len(states)-1)+`)`, states...)
	}
	if f.Run != "" {
		add(`run = ?`, f.Run)
	}
	if f.Box != "" {
		add(`box = ?`, f.Box)
	}
	if len(f.Hidden) > 0 {
		names, _ := json.Marshal(f.Hidden) // texts can always be written
		add(`lower(box) NOT IN (SELECT lower(value) FROM json_each(?))`, string(names))
	}
	if f.Before != "" {
		add(`seq < (SELECT seq FROM builds WHERE id = ?)`, f.Before)
	}
	if len(conds) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args
}

// Steps returns the steps of all attempts of a build, in order.
func (s *Store) Steps(ctx context.Context, id build.ID) ([]build.StepRecord, error) {
	rows, err := s.db.R.QueryContext(ctx, `SELECT name, attempt, phase, began, seconds FROM steps WHERE build = ? ORDER BY attempt, seq`, id)
	if err != nil {
		return nil, err
	}
	return sqlitedb.Collect(rows, func(r *sql.Rows) (st build.StepRecord, err error) {
		err = r.Scan(&st.Name, &st.Attempt, &st.Phase, &st.Began, &st.Seconds)
		return st, err
	})
}

// Page returns one page of List, which begins at offset, and how many builds there are without the limit.
func (s *Store) Page(ctx context.Context, f Filter, offset int) (list []build.Record, total int, err error) {
	where, args := f.where()
	if err := s.db.R.QueryRowContext(ctx, `SELECT count(*) FROM builds`+where, args...).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := s.db.R.QueryContext(ctx, `SELECT `+columns+` FROM builds`+where+` ORDER BY seq DESC LIMIT ? OFFSET ?`, append(args, f.Limit, offset)...)
	if err != nil {
		return nil, 0, err
	}
	list, err = sqlitedb.Collect(rows, func(r *sql.Rows) (build.Record, error) { return scanRecord(r.Scan) })
	return list, total, err
}
