package checkpoint

import (
	"context"
	"database/sql"
	"errors"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// state is where a checkpoint is in its life. It only ever goes down this list.
type state string

const (
	// draft: being made. After a crash it is garbage.
	draft state = "draft"
	// whole: it can be found and acquired.
	whole state = "whole"
	// layer: evicted, but its disks are needed by children or by who uses it.
	layer state = "layer"
	// bad: its disks are not what they were. Nothing new may stand on them; who does already keeps the files.
	bad state = "bad"
	// trash: nobody needs it, and its files are on their way out.
	trash state = "trash"
)

// idle is the condition that no build uses checkpoint c: none has a lease, and none makes a child of it.
const idle = `NOT EXISTS (SELECT 1 FROM checkpoint_leases l WHERE l.checkpoint = c.id)
	AND NOT EXISTS (SELECT 1 FROM checkpoints d WHERE d.parent = c.id AND d.state = 'draft')`

// users counts the builds that use checkpoint c.
const users = `(SELECT count(*) FROM (
	SELECT user FROM checkpoint_leases l WHERE l.checkpoint = c.id
	UNION SELECT user FROM checkpoints d WHERE d.parent = c.id AND d.state = 'draft'))`

// nextTurn is the place of what is used now in the order of use.
const nextTurn = `(SELECT coalesce(max(turn), 0) + 1 FROM checkpoints)`

// change decides something in one transaction, and then lets go what nobody needs any more.
func (s *Store) change(ctx context.Context, decide func(*sql.Tx) error) error {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := decide(tx); err != nil {
			return err
		}
		return settle(ctx, tx)
	})
	if err == nil {
		err = s.fault("change.row")
	}
	if err != nil {
		return full(err)
	}
	s.tidy(ctx)
	return nil
}

// settle makes trash of layers and bad ones that nothing stands on any more, from children to parents.
func settle(ctx context.Context, tx *sql.Tx) error {
	for {
		res, err := tx.ExecContext(ctx, `UPDATE checkpoints AS c SET state = ? WHERE state IN (?, ?)
			AND NOT EXISTS (SELECT 1 FROM checkpoint_leases l WHERE l.checkpoint = c.id)
			AND NOT EXISTS (SELECT 1 FROM checkpoints d WHERE d.parent = c.id AND d.state <> ?)`, trash, layer, bad, trash)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
	}
}

// spoil marks checkpoints whose disks are no good, with all that stand on them: those that the condition on c selects.
func spoil(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	_, err := tx.ExecContext(ctx, `WITH RECURSIVE doomed (id) AS (
			SELECT id FROM checkpoints c WHERE c.state <> 'trash' AND (`+where+`)
			UNION SELECT c.id FROM checkpoints c JOIN doomed ON c.parent = doomed.id WHERE c.state IN ('whole', 'layer'))
		UPDATE checkpoints SET state = 'bad' WHERE id IN (SELECT id FROM doomed)`, args...)
	return err
}

// evict makes layers of whole checkpoints that nobody uses: those that the condition on c selects. It returns their ids.
func evict(ctx context.Context, tx *sql.Tx, where string, args ...any) ([]ID, error) {
	rows, err := tx.QueryContext(ctx, `UPDATE checkpoints AS c SET state = 'layer', bytes = disk_bytes
		WHERE state = 'whole' AND `+idle+` AND (`+where+`) RETURNING id`, args...)
	if err != nil {
		return nil, err
	}
	return sqlitedb.Collect(rows, scanID)
}

func lease(ctx context.Context, tx *sql.Tx, id ID, user build.ID) (row int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO checkpoint_leases (checkpoint, user) VALUES (?, ?) RETURNING id`, id, user).Scan(&row)
	return row, err
}

// stateOf returns the state of a checkpoint, trash if there is none.
func stateOf(ctx context.Context, tx *sql.Tx, id ID) (st state, user build.ID, err error) {
	err = tx.QueryRowContext(ctx, `SELECT state, user FROM checkpoints WHERE id = ?`, id).Scan(&st, &user)
	if errors.Is(err, sql.ErrNoRows) {
		return trash, "", nil
	}
	return st, user, err
}

func scanID(rows *sql.Rows) (id ID, err error) {
	err = rows.Scan(&id)
	return id, err
}
