package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/eventlog"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/daemon/queue"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/daemon/window"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// Builds accepts builds, runs them when the queue says so, and answers for them. It is the Service of the API.
type Builds struct {
	store   *store.Store
	book    *eventlog.Book
	inputs  inputs.Store
	vault   *vault
	layout  layout.Dir
	engine  *build.Engine
	drivers map[string]hypervisor.Driver
	parts   build.Parts
	steps   func(*build.Plan) ([]build.Step, error)
	gate    *gate
	install string
	log     *slog.Logger
	now     func() time.Time
	queue   *queue.Queue // set once, before the first submission
	screens window.Screens

	submitting sync.RWMutex // held for reading by submissions
	retired    bool         // guarded by submitting: no more of them

	mu   sync.Mutex
	live map[build.ID]*live
	// resuming are the builds that a request is about to queue again.
	resuming map[build.ID]bool
}

// live is what exists of a build in memory, from its submission to its end.
type live struct {
	log      *eventlog.Writer
	label    string
	session  *build.Session // of the attempt that runs; nil before
	serial   *window.Spool  // of the attempt that runs; nil before
	tail     *window.Tail   // fills serial
	timeline timelineFold
	question chan string // an answer; nil while nothing is asked
}

// Submit checks the plans, keeps them and queues a build for each. Either all are queued or none.
func (b *Builds) Submit(ctx context.Context, who auth.Principal, req wire.SubmitRequest) ([]build.Record, error) {
	if len(req.Plans) == 0 {
		return nil, wire.Errorf(wire.CodeBadRequest, "there is no plan in the request")
	}
	for i := range req.Plans {
		if err := b.check(&req.Plans[i], who); err != nil {
			return nil, err
		}
	}
	b.submitting.RLock()
	defer b.submitting.RUnlock()
	if b.retired {
		return nil, wire.Errorf(wire.CodeStopping, "this daemon is ending; try again")
	}
	var records []build.Record
	for i := range req.Plans {
		r, err := b.submit(ctx, &req.Plans[i], req.Parallel)
		if err != nil {
			for _, done := range records {
				_, cancelErr := b.Cancel(ctx, done.ID)
				err = errors.Join(err, cancelErr)
			}
			return nil, err
		}
		records = append(records, r)
	}
	b.queue.Wake()
	return records, nil
}

// retire waits until no build is left and takes no more from then on: what is accepted, is built.
func (b *Builds) retire(ctx context.Context) error {
	for {
		if err := b.queue.Idle(ctx); err != nil {
			return err
		}
		b.submitting.Lock()
		b.mu.Lock()
		b.retired = len(b.live) == 0
		b.mu.Unlock()
		b.submitting.Unlock()
		if b.retired {
			return nil
		}
	}
}

// check refuses what could never run, before anything is kept.
func (b *Builds) check(p *build.Plan, who auth.Principal) error {
	if p.Format != build.PlanFormat {
		return wire.Errorf(wire.CodeBadRequest, "the plan has format %d and this daemon runs %d: use the boxkiln of the daemon's version", p.Format, build.PlanFormat)
	}
	if _, ok := b.drivers[p.Driver]; !ok {
		return wire.Errorf(wire.CodeBadRequest, "%s: this daemon has no driver %q", p.Label, p.Driver)
	}
	if what := hostAccess(p, b.parts); what != "" && !who.Scope.Permits(auth.Admin) {
		return wire.Errorf(wire.CodeForbidden, "%s: %s, which needs an admin token or the daemon's socket", p.Label, what)
	}
	p.Options.Direct = p.Options.Direct && who.SameUser
	for _, in := range p.Inputs {
		if in.InPlace && !who.SameUser {
			return wire.Errorf(wire.CodeForbidden, "%s: %q is to be read in place, which is for the daemon's own user", p.Label, in.Path)
		}
	}
	p.Options.Founds = who.Scope.Permits(auth.Admin)
	if err := b.queue.Budget().Admit(p.Needs()); err != nil {
		return wire.Errorf(wire.CodeOverBudget, "%s: %w", p.Label, err)
	}
	if _, err := b.inputs.View(p.Inputs, p.Cwd); err != nil {
		return wire.Errorf(wire.CodeBadRequest, "%s: %w", p.Label, err)
	}
	return nil
}

func (b *Builds) submit(ctx context.Context, p *build.Plan, parallel int) (build.Record, error) {
	id, dir, err := b.newDir()
	if err != nil {
		return build.Record{}, err
	}
	if err := b.keepPlan(dir, p); err != nil {
		return build.Record{}, errors.Join(fmt.Errorf("keep the plan: %w", err), os.RemoveAll(dir.Path()))
	}
	if err := b.open(id, p.Label); err != nil {
		return build.Record{}, errors.Join(err, os.RemoveAll(dir.Path()))
	}
	b.eventLog(id).State(build.Queued, "")
	err = b.store.Submit(ctx, build.Record{ID: id, Run: p.RunUUID, Label: p.Label, Template: p.Template,
		Box: p.Publish.Box, Version: p.Publish.Version, Needs: p.Needs(), Parallel: parallel})
	if err != nil {
		b.close(id)
		return build.Record{}, errors.Join(err, os.RemoveAll(dir.Path()))
	}
	return b.store.Get(ctx, id)
}

// newDir makes an id and takes its folder. Ids of one second are few: one that is taken must not lose its build.
func (b *Builds) newDir() (build.ID, layout.Build, error) {
	for {
		id := build.NewID(b.now())
		dir, err := b.layout.Build(string(id))
		if err != nil {
			return "", dir, err
		}
		err = os.Mkdir(dir.Path(), layout.PassMode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = os.Chmod(dir.Path(), layout.PassMode) // whatever the umask
		}
		return id, dir, err
	}
}

func (b *Builds) keepPlan(dir layout.Build, p *build.Plan) error {
	if err := dir.Make(); err != nil {
		return err
	}
	public, secrets, err := build.Seal(p)
	if err != nil {
		return err
	}
	if err := b.vault.write(dir.Secrets(), secrets); err != nil {
		return err
	}
	return fsx.WriteFile(dir.Plan(), public, 0o600)
}

func (b *Builds) loadPlan(id build.ID) (*build.Plan, error) {
	dir, err := b.layout.Build(string(id))
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(dir.Plan())
	if err != nil {
		return nil, err
	}
	secrets, err := b.vault.read(dir.Secrets())
	if err != nil {
		return nil, err
	}
	return build.Unseal(public, secrets)
}

// open makes the log of a build, which is open until the build ends.
func (b *Builds) open(id build.ID, label string) error {
	dir, err := b.layout.Build(string(id))
	if err != nil {
		return err
	}
	w, err := b.book.Open(dir.Log())
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live[id] = &live{log: w, label: label}
	return nil
}

// close ends the log of a build.
func (b *Builds) close(id build.ID) {
	b.mu.Lock()
	l := b.live[id]
	delete(b.live, id)
	b.mu.Unlock()
	if l == nil {
		return
	}
	if err := l.log.Close(); err != nil {
		b.log.Warn("the log of a build is not complete", "build", id, "err", err)
	}
}

// eventLog is how this daemon speaks into the log of a live build. What is said about a build that has just ended is
// lost: its log is closed.
func (b *Builds) eventLog(id build.ID) build.Log {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.live[id]
	if l == nil {
		return build.Log{Sink: nowhere{}, Now: b.now}
	}
	return build.Log{Sink: l.log, Label: l.label, Now: b.now}
}

// nowhere is the log of builds that have ended.
type nowhere struct{}

// Emit implements build.Sink.
func (nowhere) Emit(build.Event) {}

// reopen opens the logs of builds that wait since before a restart. Those that an earlier daemon admitted under a larger
// budget end: they would wait for ever.
func (b *Builds) reopen(ctx context.Context) error {
	waiting, err := b.store.Waiting(ctx)
	for _, r := range waiting {
		one := b.open(r.ID, r.Label)
		if refusal := b.queue.Budget().Admit(r.Needs); one == nil && refusal != nil {
			one = b.refuse(ctx, r.ID, refusal)
		}
		err = errors.Join(err, one)
	}
	return err
}

// refuse ends a build that waits.
func (b *Builds) refuse(ctx context.Context, id build.ID, why error) error {
	defer b.close(id)
	attempt, err := b.store.Claim(ctx, id)
	if err != nil {
		return err
	}
	b.eventLog(id).State(build.Errored, why.Error())
	return b.store.End(ctx, id, attempt, build.Errored, "", why.Error())
}

// Waiting implements queue.Backlog.
func (b *Builds) Waiting(ctx context.Context) ([]queue.Job, error) {
	records, err := b.store.Waiting(ctx)
	jobs := make([]queue.Job, 0, len(records))
	for _, r := range records {
		jobs = append(jobs, queue.Job{ID: r.ID, Run: r.Run, Needs: r.Needs, Parallel: r.Parallel})
	}
	return jobs, err
}

// Claim implements queue.Backlog.
func (b *Builds) Claim(ctx context.Context, id build.ID) (int, error) { return b.store.Claim(ctx, id) }

// Get implements api.Builds.
func (b *Builds) Get(ctx context.Context, id build.ID) (wire.BuildReply, error) {
	reply, err := b.get(ctx, id)
	if err != nil {
		return reply, err
	}
	f, err := b.foldOf(id)
	reply.Made = f.made()
	return reply, err
}

// get is a build with its steps.
func (b *Builds) get(ctx context.Context, id build.ID) (wire.BuildReply, error) {
	r, err := b.store.Get(ctx, id)
	if errors.Is(err, build.ErrNotFound) {
		return wire.BuildReply{}, wire.Errorf(wire.CodeNotFound, "%w %q; `boxkiln builds ls` shows those that are", err, string(id))
	}
	if err != nil {
		return wire.BuildReply{}, err
	}
	steps, err := b.store.Steps(ctx, id)
	return wire.BuildReply{Record: r, Steps: steps}, err
}

// List implements api.Builds.
func (b *Builds) List(ctx context.Context, f store.Filter) ([]build.Record, error) {
	return b.store.List(ctx, f)
}

// Cancel implements api.Builds.
func (b *Builds) Cancel(ctx context.Context, id build.ID) (build.State, error) {
	state, changed, err := b.store.RequestCancel(ctx, id)
	switch {
	case err != nil:
		return "", err
	case !changed: // it is ending, or has ended
	case state == build.Canceling:
		b.eventLog(id).State(state, "")
		b.queue.Cancel(id)
	case state == build.Canceled:
		b.endQueued(id)
	}
	return state, nil
}

func (b *Builds) endQueued(id build.ID) {
	b.mu.Lock()
	_, ok := b.live[id]
	b.mu.Unlock()
	if ok {
		b.eventLog(id).State(build.Canceled, "cancelled while it was queued")
		b.close(id)
		b.queue.Wake()
	}
}

// Follow implements api.Builds.
func (b *Builds) Follow(ctx context.Context, id build.ID, offset int64, fn func(eventlog.Line) error) error {
	dir, err := b.layout.Build(string(id))
	if err != nil {
		return err
	}
	return b.book.Follow(ctx, dir.Log(), offset, fn)
}

// Outputs implements api.Builds.
func (b *Builds) Outputs(ctx context.Context, id build.ID) ([]wire.Output, error) {
	files, err := b.staged(ctx, id)
	list := make([]wire.Output, 0, len(files))
	for _, f := range files {
		list = append(list, f.Output)
	}
	return list, err
}

// staged lists what the last attempt left to be fetched.
func (b *Builds) staged(ctx context.Context, id build.ID) ([]stagedFile, error) {
	r, err := b.store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	dir, err := b.layout.Build(string(id))
	if err != nil {
		return nil, err
	}
	return stagedFiles(dir.Attempt(r.Attempt).Outputs())
}

// OpenOutput implements api.Builds.
func (b *Builds) OpenOutput(ctx context.Context, id build.ID, n int) (io.ReadSeekCloser, wire.Output, error) {
	files, err := b.staged(ctx, id)
	if err != nil {
		return nil, wire.Output{}, err
	}
	if n < 0 || n >= len(files) {
		return nil, wire.Output{}, wire.Errorf(wire.CodeNotFound, "the build has %d outputs, and no number %d", len(files), n)
	}
	f, err := os.Open(files[n].local)
	if errors.Is(err, fs.ErrNotExist) {
		err = wire.Errorf(wire.CodeNotFound, "the output %s is gone", files[n].Path)
	}
	return f, files[n].Output, err
}
