package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/eventlog"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/daemon/queue"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/layout"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

var socket = auth.Principal{Name: "socket", Scope: auth.Admin, Local: true, SameUser: true}

// service is a Builds over a real store and folder whose builds consist of the given steps.
func service(t *testing.T, steps ...build.Step) *Builds {
	t.Helper()
	data, err := layout.Data(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if err := data.Make(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlitedb.Open(t.Context(), data.DB())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	st, err := store.Open(t.Context(), db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	v, err := openVault(data.Key())
	if err != nil {
		t.Fatal(err)
	}
	b := &Builds{
		store: st, book: &eventlog.Book{}, inputs: inputs.Store{Dir: data.Inputs()}, vault: v, layout: data,
		drivers: map[string]hypervisor.Driver{"none": nil}, gate: &gate{store: st, published: map[build.ID]bool{}},
		steps: func(*build.Plan) ([]build.Step, error) { return steps, nil },
		log:   slog.New(slog.DiscardHandler), now: time.Now, live: map[build.ID]*live{}, resuming: map[build.ID]bool{},
	}
	b.engine = &build.Engine{Reapers: reapers(b.drivers, data, nil, sealedIn(data, v)), Now: time.Now}
	b.withBudget(1 << 20)
	return b
}

func (b *Builds) withBudget(memory int) {
	budget := queue.Budget{CPUs: 4, MemoryMiB: memory, DiskBytes: 1 << 50}
	b.queue = queue.New(b, budget, b.work, b.log)
}

// run runs the queue until the test ends.
func (b *Builds) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = b.queue.Run(ctx) }()
	t.Cleanup(func() { cancel(); b.queue.Stopped() })
}

func plan(label string) build.Plan {
	p := build.Plan{Format: build.PlanFormat, Label: label, Driver: "none", Cwd: "/", RunUUID: "run"}
	p.Machine.MemoryMiB = 512
	return p
}

func submitPlans(t *testing.T, b *Builds, plans ...build.Plan) []build.Record {
	t.Helper()
	records, err := b.Submit(t.Context(), socket, wire.SubmitRequest{Plans: plans})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// follow waits for the end of a build and returns its events, one a line.
func follow(t *testing.T, b *Builds, id build.ID) string {
	t.Helper()
	var lines []string
	err := b.Follow(t.Context(), id, 0, func(l eventlog.Line) error {
		var e build.Event
		if err := json.Unmarshal(l.Event, &e); err != nil {
			return err
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s%s %s", e.Kind, e.State, e.Phase, e.Text)))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return strings.Join(lines, "\n")
}

func record(t *testing.T, b *Builds, id build.ID) build.Record {
	t.Helper()
	reply, err := b.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return reply.Record
}

func TestBuildFromSubmissionToItsEnd(t *testing.T) {
	t.Parallel()
	b := service(t, build.Step{Name: "look", Do: func(_ context.Context, s *build.Session) error {
		for _, dir := range []string{s.Dirs.Machine, s.Dirs.Scratch, s.Dirs.Logs} {
			if _, err := os.Stat(dir); err != nil {
				return err
			}
		}
		s.Log.Say("the password is %s", "correct horse battery")
		return nil
	}})
	b.run(t)
	p := plan("qemu.debian")
	p.Secrets = []string{"correct horse battery"}
	id := submitPlans(t, b, p)[0].ID
	log := follow(t, b, id)
	if want := "state queued\nstate running\nstep began\nsay  the password is [redacted]\nstep done\nstep began\nstep done\nstate succeeded"; log != want {
		t.Errorf("%s\n%s", log, cmp.Diff(want, log))
	}
	if r := record(t, b, id); r.State != build.Succeeded {
		t.Errorf("%+v", r)
	}
	dir, err := b.layout.Build(string(id))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(dir.Plan()); err != nil || strings.Contains(string(data), "horse") {
		t.Errorf("%s, %v", data, err)
	}
	if held, err := b.store.Held(t.Context(), ""); len(held) != 0 || err != nil {
		t.Errorf("%v, %v", held, err)
	}
	for _, gone := range []string{dir.Attempt(1).Work(), dir.Attempt(1).Scratch()} {
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
}

func TestSubmitRefuses(t *testing.T) {
	t.Parallel()
	b := service(t)
	change := func(f func(*build.Plan)) build.Plan { p := plan("x"); f(&p); return p }
	shell := []build.ProvisionPlan{{Type: "shell-local"}}
	writer := auth.Principal{Name: "ci", Scope: auth.Write}
	tests := []struct {
		name string
		who  auth.Principal
		plan build.Plan
		code wire.Code
	}{
		{"another format", socket, change(func(p *build.Plan) { p.Format++ }), wire.CodeBadRequest},
		{"an unknown driver", socket, change(func(p *build.Plan) { p.Driver = "xen" }), wire.CodeBadRequest},
		{"too much memory", socket, change(func(p *build.Plan) { p.Machine.MemoryMiB = 1 << 30 }), wire.CodeOverBudget},
		{"a content that was not sent", socket, change(func(p *build.Plan) {
			p.Inputs = []build.Input{{Path: "/a", Digest: strings.Repeat("0", 64)}}
		}), wire.CodeBadRequest},
		{"shell-local with a write token", writer, change(func(p *build.Plan) { p.Provisioners = shell }), wire.CodeForbidden},
		{"shell-local after the build", writer, change(func(p *build.Plan) { p.Post = [][]build.PostPlan{{{Type: "shell-local"}}} }), wire.CodeForbidden},
		{"shell-local on errors", writer, change(func(p *build.Plan) { p.ErrorCleanup = &shell[0] }), wire.CodeForbidden},
	}
	for _, tt := range tests {
		_, err := b.Submit(t.Context(), tt.who, wire.SubmitRequest{Plans: []build.Plan{plan("good"), tt.plan}})
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != tt.code {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := b.Submit(t.Context(), socket, wire.SubmitRequest{}); err == nil {
		t.Error("no plan was taken")
	}
	if list, err := b.List(t.Context(), store.Filter{}); len(list) != 0 || err != nil {
		t.Errorf("all or none: %v, %v", list, err)
	}
}

// Many builds of one second have ids, folders and plans of their own.
func TestIdsOfOneSecond(t *testing.T) {
	t.Parallel()
	b := service(t)
	now := time.Now()
	b.now = func() time.Time { return now }
	seen := map[build.ID]string{}
	for i := range 400 { // one in three runs of this would meet an id twice
		id, dir, err := b.newDir()
		if err != nil || seen[id] != "" {
			t.Fatalf("%d: %s again, %v", i, id, err)
		}
		seen[id] = dir.Path()
	}
}

// A build that may not begin leaves nothing either.
func TestBuildThatCannotBegin(t *testing.T) {
	t.Parallel()
	b := service(t)
	id := submitPlans(t, b, plan("x"))[0].ID
	dir, err := b.layout.Build(string(id))
	if err != nil {
		t.Fatal(err)
	}
	home := dir.Attempt(1)
	if err := errors.Join(os.Mkdir(home.Path(), 0o700), os.WriteFile(home.Outputs(), nil, 0o600)); err != nil { // in the way
		t.Fatal(err)
	}
	b.run(t)
	follow(t, b, id)
	if r := record(t, b, id); r.State != build.Errored || r.Error == "" {
		t.Errorf("%+v", r)
	}
	if held, err := b.store.Held(t.Context(), ""); len(held) != 0 || err != nil {
		t.Errorf("it still holds %v, %v", held, err)
	}
	if _, err := os.Stat(home.Work()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
}

func TestCancelQueuedAndRunning(t *testing.T) {
	t.Parallel()
	began := make(chan struct{}, 1)
	b := service(t, build.Step{Name: "hang", Do: func(ctx context.Context, _ *build.Session) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}})
	queued := submitPlans(t, b, plan("queued"))[0].ID
	if state, err := b.Cancel(t.Context(), queued); state != build.Canceled || err != nil {
		t.Errorf("%s, %v", state, err)
	}
	if log := follow(t, b, queued); !strings.HasSuffix(log, "state canceled cancelled while it was queued") {
		t.Error(log)
	}
	b.run(t)
	running := submitPlans(t, b, plan("running"))[0].ID
	<-began
	var all sync.WaitGroup
	for range 10 { // an impatient user; some come when the build has ended
		all.Go(func() {
			if _, err := b.Cancel(t.Context(), running); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if log := follow(t, b, running); !strings.HasSuffix(log, "state canceled "+build.ErrCanceled.Error()) {
		t.Error(log)
	}
	if state, err := b.Cancel(t.Context(), running); state != build.Canceled || err != nil {
		t.Errorf("%s, %v", state, err)
	}
	if _, err := b.Cancel(t.Context(), "none"); !errors.Is(err, build.ErrNotFound) {
		t.Error(err)
	}
}

// A cancel that meets the end of the build speaks into a log that is closed already.
func TestSpeakingOfABuildThatHasEnded(t *testing.T) {
	t.Parallel()
	service(t).eventLog("gone").State(build.Canceling, "")
}

func TestAskAndAnswer(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	b := service(t, build.Step{Name: "ask", Do: func(ctx context.Context, s *build.Session) error {
		close(asked)
		answer, err := s.Ask.Ask(ctx, build.Question{Step: "ask", Text: "red or blue?", Choices: []string{"red", "blue"}})
		s.Log.Say("%s", answer)
		return err
	}})
	b.run(t)
	id := submitPlans(t, b, plan("x"))[0].ID
	<-asked
	done := make(chan string, 1)
	go func() { done <- follow(t, b, id) }()
	for sent := false; !sent; { // the question is being put right now
		var e *wire.Error
		switch err := b.Answer(t.Context(), id, "blue"); {
		case err == nil:
			sent = true
		case !errors.As(err, &e) || e.Code != wire.CodeConflict:
			t.Fatal(err)
		}
	}
	if log := <-done; !strings.Contains(log, "question  red or blue?") || !strings.Contains(log, "say  blue") {
		t.Error(log)
	}
	var e *wire.Error
	if err := b.Answer(t.Context(), id, "blue"); !errors.As(err, &e) || e.Code != wire.CodeConflict {
		t.Errorf("nothing is asked: %v", err)
	}
	if err := b.Answer(t.Context(), "none", "blue"); !errors.Is(err, build.ErrNotFound) {
		t.Error(err)
	}
}

// After a restart waiting builds go on, but one that does not fit any more ends instead of waiting for ever.
func TestRestartWithASmallerBudget(t *testing.T) {
	t.Parallel()
	b := service(t)
	large := plan("large")
	large.Machine.MemoryMiB = 4096
	ids := submitPlans(t, b, large, plan("small"))
	b.close(ids[0].ID)
	b.close(ids[1].ID)
	b.withBudget(1024)
	if err := b.reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.run(t)
	follow(t, b, ids[1].ID)
	if r := record(t, b, ids[1].ID); r.State != build.Succeeded {
		t.Errorf("%+v", r)
	}
	r := record(t, b, ids[0].ID)
	if r.State != build.Errored || !strings.Contains(r.Error, "4096 MiB") || !strings.Contains(follow(t, b, ids[0].ID), "--memory-budget") {
		t.Errorf("%+v", r)
	}
	if err := b.queue.Idle(t.Context()); err != nil {
		t.Error(err)
	}
}
