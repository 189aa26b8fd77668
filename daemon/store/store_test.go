package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// clock is a time that moves on by a second whenever it is read.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

func open(t *testing.T) (*store.Store, *sqlitedb.DB) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "boxkiln.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := store.Open(t.Context(), db, (&clock{now: noon}).Now)
	if err != nil {
		t.Fatal(err)
	}
	return s, db
}

func submit(t *testing.T, s *store.Store, ids ...build.ID) {
	t.Helper()
	for _, id := range ids {
		if err := s.Submit(t.Context(), build.Record{ID: id, Run: "r", Label: "qemu." + string(id), Template: "t.pkr.hcl"}); err != nil {
			t.Fatal(err)
		}
	}
}

func claim(t *testing.T, s *store.Store, id build.ID) int {
	t.Helper()
	n, err := s.Claim(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func get(t *testing.T, s *store.Store, id build.ID) build.Record {
	t.Helper()
	r, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// put brings a build into a state the way it gets there.
func put(t *testing.T, s *store.Store, id build.ID, state build.State) {
	t.Helper()
	submit(t, s, id)
	if state == build.Queued {
		return
	}
	n := claim(t, s, id)
	if state == build.Running {
		return
	}
	if state == build.Canceling {
		if _, _, err := s.RequestCancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := s.End(t.Context(), id, n, state, "export", "why"); err != nil {
		t.Fatal(err)
	}
}

var (
	live  = []build.State{build.Queued, build.Running, build.Canceling}
	final = []build.State{build.Succeeded, build.Failed, build.Errored, build.Canceled, build.Interrupted}
)

func TestLifeOfABuild(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	want := build.Record{ID: "b1", Run: "r1", Label: "qemu.debian", Template: "debian.pkr.hcl", Box: "acme/debian", Version: "1.0",
		Needs: build.Needs{CPUs: 2, MemoryMiB: 1024, DiskBytes: 1 << 40}, Parallel: 3}
	if err := s.Submit(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	at := func(seconds int) build.Stamp { return build.Stamp(noon.Add(time.Duration(seconds) * time.Second)) }
	same := cmp.Comparer(func(a, b build.Stamp) bool { return a.Time().Equal(b.Time()) })
	check := func() {
		t.Helper()
		if d := cmp.Diff(want, get(t, s, "b1"), same); d != "" {
			t.Error(d)
		}
	}
	want.State, want.Created = build.Queued, at(1)
	check()
	want.State, want.Started, want.Attempt = build.Running, at(2), claim(t, s, "b1")
	check()
	if err := s.Step(t.Context(), "b1", 1, "export", build.StepBegan, 0); err != nil {
		t.Fatal(err)
	}
	want.Step = "export"
	check()
	if err := s.End(t.Context(), "b1", 1, build.Failed, "export", "disk is gone"); err != nil {
		t.Fatal(err)
	}
	want.State, want.Error, want.Finished = build.Failed, "disk is gone", at(4)
	check()
}

func TestUnknownBuild(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	if _, err := s.Get(t.Context(), "nobody"); !errors.Is(err, build.ErrNotFound) {
		t.Error(err)
	}
	if _, _, err := s.RequestCancel(t.Context(), "nobody"); !errors.Is(err, build.ErrNotFound) {
		t.Error(err)
	}
	if err := s.End(t.Context(), "nobody", 1, build.Failed, "", ""); !errors.Is(err, build.ErrFenced) {
		t.Error(err)
	}
	if steps, err := s.Steps(t.Context(), "nobody"); len(steps) != 0 || err != nil {
		t.Error(steps, err)
	}
}

func TestIDIsTakenOnce(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	submit(t, s, "b1")
	if err := s.Submit(t.Context(), build.Record{ID: "b1"}); !sqlitedb.IsConstraint(err) {
		t.Errorf("a second build of the same id: %v", err)
	}
}

func TestRequestCancel(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	want := map[build.State]build.State{build.Queued: build.Canceled, build.Running: build.Canceling, build.Canceling: build.Canceling}
	for _, f := range final {
		want[f] = f
	}
	for from, to := range want {
		id := build.ID("from-" + from)
		put(t, s, id, from)
		before := get(t, s, id)
		if got, _, err := s.RequestCancel(t.Context(), id); got != to || err != nil {
			t.Errorf("%s became %s, %v", from, got, err)
		}
		after := get(t, s, id)
		if after.State != to || (from != to && !from.MayBecome(to)) || to.Final() == after.Finished.Time().IsZero() {
			t.Errorf("%s: %+v", from, after)
		}
		if from.Final() {
			if d := cmp.Diff(before, after, cmp.Comparer(func(a, b build.Stamp) bool { return a.Time().Equal(b.Time()) })); d != "" {
				t.Errorf("%s changed: %s", from, d)
			}
		}
	}
}

// End writes every final state from every state that may become it, and nothing else.
func TestEnd(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, from := range append(live, final...) {
		for _, to := range final {
			id := build.ID(fmt.Sprint(from, "-", to))
			put(t, s, id, from)
			err := s.End(t.Context(), id, get(t, s, id).Attempt, to, "step", "message")
			running := from == build.Running || from == build.Canceling
			if running && (err != nil || get(t, s, id).State != to || !from.MayBecome(to)) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			if !running && (!errors.Is(err, build.ErrFenced) || get(t, s, id).State != from) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
	put(t, s, "b", build.Running)
	for _, to := range live {
		if err := s.End(t.Context(), "b", 1, to, "", ""); err == nil || errors.Is(err, build.ErrFenced) {
			t.Errorf("%s ended a build: %v", to, err)
		}
	}
}

// Not even a statement of SQL rewrites a final state.
func TestFinalStateSurvivesDirectSQL(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	for _, from := range final {
		put(t, s, build.ID(from), from)
		for _, to := range append(live, final...) {
			if to == from || to == build.Queued && from != build.Succeeded { // Resume's, tested by itself
				continue
			}
			err := db.Tx(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec(`UPDATE builds SET state = ? WHERE id = ?`, to, from)
				return err
			})
			if !sqlitedb.IsConstraint(err) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
		err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE builds SET state = 'running'`)
			return err
		})
		if !sqlitedb.IsConstraint(err) || get(t, s, build.ID(from)).State != from {
			t.Errorf("%s was rewritten with all others: %v", from, err)
		}
	}
}

func TestFence(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	put(t, s, "b", build.Running)
	err := db.Tx(t.Context(), func(tx *sql.Tx) error { // another worker has begun attempt 2
		_, err := tx.Exec(`UPDATE builds SET attempt = 2 WHERE id = 'b'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.End(t.Context(), "b", 1, build.Succeeded, "", ""); !errors.Is(err, build.ErrFenced) {
		t.Errorf("attempt 1 ended the build: %v", err)
	}
	if err := s.Step(t.Context(), "b", 1, "late", build.StepBegan, 0); !errors.Is(err, build.ErrFenced) {
		t.Errorf("attempt 1 began a step: %v", err)
	}
	if r := get(t, s, "b"); r.State != build.Running || r.Step != "" {
		t.Errorf("%+v", r)
	}
	if err := s.End(t.Context(), "b", 2, build.Succeeded, "", ""); err != nil {
		t.Errorf("the current attempt: %v", err)
	}
}

func TestStepsOfAnEndedBuildAreClosed(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	put(t, s, "b", build.Canceled)
	before := get(t, s, "b").Step
	if err := s.Step(t.Context(), "b", 1, "straggler", build.StepBegan, 0); !errors.Is(err, build.ErrFenced) {
		t.Error(err)
	}
	steps, err := s.Steps(t.Context(), "b")
	if err != nil || len(steps) != 0 || get(t, s, "b").Step != before {
		t.Errorf("%v, %v", steps, err)
	}
}

func TestSteps(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	put(t, s, "b", build.Running)
	for _, st := range []struct {
		name  string
		phase build.StepPhase
		took  time.Duration
	}{
		{"boot", build.StepBegan, 0}, {"boot", build.StepDone, 1500 * time.Millisecond},
		{"provision", build.StepBegan, 0}, {"provision", build.StepFailed, time.Second},
		{"provision", build.StepBegan, 0}, // the user asked for a retry
	} {
		if err := s.Step(t.Context(), "b", 1, st.name, st.phase, st.took); err != nil {
			t.Fatal(st, err)
		}
	}
	if err := s.Step(t.Context(), "b", 1, "never began", build.StepDone, 0); !errors.Is(err, build.ErrFenced) {
		t.Error(err)
	}
	steps, err := s.Steps(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, st := range steps {
		got = append(got, fmt.Sprintf("%s %s %v", st.Name, st.Phase, st.Seconds))
		if st.Attempt != 1 || st.Began.Time().IsZero() {
			t.Errorf("%+v", st)
		}
	}
	if d := cmp.Diff([]string{"boot done 1.5", "provision failed 1", "provision began 0"}, got); d != "" {
		t.Error(d)
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, st := range append(live, final...) {
		put(t, s, build.ID(st), st)
	}
	ids, err := s.Interrupt(t.Context())
	slices.Sort(ids)
	if d := cmp.Diff([]build.ID{"canceling", "running"}, ids); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, st := range append(live, final...) {
		want := st
		if st == build.Running || st == build.Canceling {
			want = build.Interrupted
		}
		if r := get(t, s, build.ID(st)); r.State != want || (r.State == build.Interrupted && r.Finished.Time().IsZero()) {
			t.Errorf("%s became %+v", st, r)
		}
	}
	if ids, err := s.Interrupt(t.Context()); len(ids) != 0 || err != nil {
		t.Errorf("the second time: %v, %v", ids, err)
	}
}

func TestInstallID(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	first, err := s.InstallID(t.Context())
	if err != nil || len(first) != 16 {
		t.Fatalf("%q, %v", first, err)
	}
	again, err := store.Open(t.Context(), db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := again.InstallID(t.Context()); second != first || err != nil {
		t.Errorf("%q, %v", second, err)
	}
	other, _ := open(t)
	if second, err := other.InstallID(t.Context()); second == first || err != nil {
		t.Errorf("two directories have the id %q, %v", second, err)
	}
}

// Resume queues every build again that did not succeed, and no other.
func TestResume(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, from := range append(slices.Clone(live), final...) {
		id := build.ID(from)
		put(t, s, id, from)
		state, err := s.Resume(t.Context(), id)
		if from.Final() && from != build.Succeeded {
			r := get(t, s, id)
			if err != nil || state != build.Queued || r.State != build.Queued || r.Error != "" || !r.Finished.Time().IsZero() {
				t.Errorf("%s: %s, %v, %+v", from, state, err, r)
			}
			if attempt, err := s.Claim(t.Context(), id); err != nil || attempt != 2 {
				t.Errorf("%s: attempt %d, %v", from, attempt, err)
			}
			continue
		}
		if !errors.Is(err, build.ErrNotResumable) || state != from || get(t, s, id).State != from {
			t.Errorf("%s: %s, %v", from, state, err)
		}
	}
	if _, err := s.Resume(t.Context(), "none"); !errors.Is(err, build.ErrNotFound) {
		t.Error(err)
	}
}
