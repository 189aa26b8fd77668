package store_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/queue"
	"github.com/boxkiln/boxkiln/daemon/queue/queuetest"
	"github.com/boxkiln/boxkiln/daemon/store"
)

func TestList(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for i, r := range []build.Record{{ID: "a", Run: "1", Box: "x/y"}, {ID: "b", Run: "1"}, {ID: "c", Run: "2", Box: "x/y"}, {ID: "d", Run: "2"}} {
		if err := s.Submit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			claim(t, s, r.ID)
		}
	}
	tests := []struct {
		filter store.Filter
		want   string
	}{
		{store.Filter{}, "d c b a"},
		{store.Filter{States: []build.State{build.Running}}, "b a"},
		{store.Filter{States: []build.State{build.Running, build.Queued}, Run: "2"}, "d c"},
		{store.Filter{Box: "x/y"}, "c a"},
		{store.Filter{Box: "x/y", Before: "c"}, "a"},
		{store.Filter{Before: "c", Limit: 1}, "b"},
		{store.Filter{Limit: -1}, "d c b a"},
		{store.Filter{Before: "nobody"}, ""},
		{store.Filter{Run: "' OR 1=1 --"}, ""},
	}
	for _, tt := range tests {
		records, err := s.List(t.Context(), tt.filter)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, r := range records {
			if i > 0 {
				got += " "
			}
			got += string(r.ID)
		}
		if got != tt.want {
			t.Errorf("%+v: %q", tt.filter, got)
		}
	}
}

func TestListHasALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
			INSERT INTO builds (id, run, label, template, state, cpus, memory_mib, disk_bytes, created)
			SELECT 'b' || i, '', '', '', 'queued', 0, 0, 0, '' FROM n`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if records, err := s.List(t.Context(), store.Filter{}); len(records) != 100 || err != nil {
		t.Errorf("%d, %v", len(records), err)
	}
}

// backlog shows a store to the conformance suite of the queue.
type backlog struct{ *store.Store }

func (b backlog) Waiting(ctx context.Context) ([]queue.Job, error) {
	records, err := b.Store.Waiting(ctx)
	var jobs []queue.Job
	for _, r := range records {
		jobs = append(jobs, queue.Job{ID: r.ID, Run: r.Run, Needs: r.Needs, Parallel: r.Parallel})
	}
	return jobs, err
}

func (b backlog) Submit(ctx context.Context, j queue.Job) error {
	return b.Store.Submit(ctx, build.Record{ID: j.ID, Run: j.Run, Needs: j.Needs, Parallel: j.Parallel})
}

func (b backlog) Cancel(ctx context.Context, id build.ID) error {
	_, _, err := b.RequestCancel(ctx, id)
	return err
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Backlog { s, _ := open(t); return backlog{s} })
}
