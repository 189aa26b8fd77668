package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/layout"
	"github.com/boxkiln/boxkiln/internal/redact"
)

// outputs is what the worker needs of both kinds of outputs.
type outputs interface {
	build.Outputs
	// handOver ends the daemon's claim on what was placed, after the build succeeded.
	handOver(ctx context.Context) error
}

// work runs one attempt of a build to its end and writes down how it ended. It is the queue's worker.
func (b *Builds) work(ctx context.Context, id build.ID, attempt int) {
	b.eventLog(id).Began(attempt)
	result := b.attempt(ctx, id, attempt)
	message := ""
	if result.Err != nil {
		message = b.withTimeline(id, attempt, result)
	}
	// The end is written even if the daemon is being stopped.
	ctx = context.WithoutCancel(ctx)
	err := b.store.End(ctx, id, attempt, result.State, result.Step, message)
	if err != nil && !errors.Is(err, build.ErrFenced) {
		b.log.Error("the end of a build could not be written; it will read interrupted", "build", id, "state", result.State, "err", err)
	}
	if err == nil && result.State == build.Succeeded {
		b.forgetSecrets(id)
	}
	b.gate.ended(id)
	b.eventLog(id).State(result.State, message)
	b.keepTimeline(id, attempt)
	b.close(id)
}

func (b *Builds) attempt(ctx context.Context, id build.ID, attempt int) build.Result {
	fail := func(err error) build.Result { return build.Result{State: build.Errored, Err: err} }
	plan, err := b.loadPlan(id)
	if err != nil {
		return fail(fmt.Errorf("read the plan: %w", err))
	}
	b.redactLog(id, plan.Hidden())
	steps, err := b.steps(plan)
	if err != nil {
		return fail(err)
	}
	s, out, err := b.session(ctx, id, attempt, plan)
	if err != nil {
		b.reap(context.WithoutCancel(ctx), id)
		return fail(err)
	}
	defer b.showSession(s)()
	return b.engine.Run(auth.WithPrincipal(ctx, author(id, plan)), s, append(steps, handOver(out)))
}

// author is who changes the registry when a build does, long after whoever submitted it has gone.
func author(id build.ID, p *build.Plan) auth.Principal {
	who := auth.Principal{Name: "build " + string(id), Scope: auth.Write, Local: true}
	if p.Options.Founds {
		who.Scope = auth.Admin
	}
	return who
}

// reap removes what an attempt holds that never came to its first step.
func (b *Builds) reap(ctx context.Context, id build.ID) {
	tell := func(r build.Resource, err error) {
		b.log.Error("could not be removed; the next start tries again", "kind", r.Kind, "name", r.Name, "build", id, "err", err)
	}
	if err := b.engine.Reapers.ReapAll(ctx, b.store, id, tell); err != nil {
		b.log.Error("clean-up", "build", id, "err", err)
	}
}

// handOver is the last step of every build: from then on its outputs are the user's. It is a step because what the ledger
// still holds after the last one is removed. Images are handed over after files: when those cannot be, the build has failed, and
// its images go too.
func handOver(out outputs) build.Step {
	return build.Step{Name: "hand-over", Do: func(ctx context.Context, s *build.Session) error {
		if err := out.handOver(ctx); err != nil {
			return build.OurFault(err)
		}
		var err error
		for _, row := range s.HandedOver() {
			err = errors.Join(err, s.Ledger.Release(ctx, row))
		}
		return build.OurFault(err)
	}}
}

// redactLog hides the secrets of a plan from the log of its build.
func (b *Builds) redactLog(id build.ID, secrets []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.live[id]; l != nil && len(secrets) > 0 {
		l.log.Redact(redact.New(secrets...).String)
	}
}

func (b *Builds) session(ctx context.Context, id build.ID, attempt int, plan *build.Plan) (*build.Session, outputs, error) {
	view, err := b.inputs.View(plan.Inputs, plan.Cwd)
	if err != nil {
		return nil, nil, err
	}
	dir, err := b.layout.Build(string(id))
	if err != nil {
		return nil, nil, err
	}
	home := dir.Attempt(attempt)
	s := &build.Session{
		Build: id, Attempt: attempt, Plan: plan,
		Tag:    hypervisor.Tag{Install: b.install, Build: string(id), Attempt: attempt},
		Ledger: b.store, Log: b.eventLog(id), Files: view, Driver: b.drivers[plan.Driver],
		Debug: b.log.With("build", id, "attempt", attempt),
		Ask:   asker{b, id},
	}
	if err := b.makeDirs(ctx, s, home); err != nil {
		return nil, nil, err
	}
	var out outputs
	if plan.Options.Direct {
		out = &direct{cwd: plan.Cwd, ledger: b.store, row: func(path string) build.Resource {
			return s.Resource(build.KindOutput, path)
		}}
	} else {
		out = &staged{dir: home.Outputs(), cwd: plan.Cwd}
	}
	s.Outputs = out
	return s, out, nil
}

// makeDirs makes the directories of an attempt. Those that go when it ends are in the ledger first.
func (b *Builds) makeDirs(ctx context.Context, s *build.Session, home layout.Attempt) error {
	s.Dirs = build.Dirs{Machine: home.Work(), Scratch: home.Scratch(), Logs: home.Path()}
	for _, dir := range []string{s.Dirs.Scratch, s.Dirs.Machine} {
		if err := b.store.Intend(ctx, s.Resource(build.KindDir, dir)); err != nil {
			return fmt.Errorf("write the ledger: %w", err)
		}
	}
	if err := home.Make(); err != nil {
		return fmt.Errorf("make the directories of the build: %w", err)
	}
	return nil
}

// reapers says how each kind of resource is undone. They serve the end of a build and the start of a daemon alike.
func reapers(drivers map[string]hypervisor.Driver, data layout.Dir, kept *checkpoint.Store, secrets secretsOf) build.Reapers {
	return build.Reapers{
		build.KindMachine: build.ReaperFunc(func(ctx context.Context, r build.Resource) error {
			return reapMachine(ctx, drivers, secrets, r)
		}),
		build.KindImage: build.ReaperFunc(func(ctx context.Context, r build.Resource) error {
			return reapImage(ctx, drivers, secrets, r)
		}),
		build.KindImport: build.ReaperFunc(func(ctx context.Context, r build.Resource) error {
			return reapImport(ctx, drivers, secrets, r)
		}),
		build.KindDir: build.ReaperFunc(func(_ context.Context, r build.Resource) error {
			if !data.Holds(r.Name) {
				return fmt.Errorf("%s is not below the data directory", r.Name)
			}
			return os.RemoveAll(r.Name)
		}),
		build.KindCheckpoint: build.ReaperFunc(func(ctx context.Context, r build.Resource) error {
			return kept.Release(ctx, r.Build)
		}),
		build.KindOutput: build.ReaperFunc(func(_ context.Context, r build.Resource) error {
			if !filepath.IsAbs(r.Name) {
				return fmt.Errorf("%q is not an absolute path", r.Name)
			}
			return os.RemoveAll(r.Name)
		}),
	}
}

// secretsOf tells the sealed secrets of a build.
type secretsOf func(id build.ID) ([]string, error)

func sealedIn(data layout.Dir, v *vault) secretsOf {
	return func(id build.ID) ([]string, error) {
		dir, err := data.Build(string(id))
		if err != nil {
			return nil, err
		}
		secrets, err := v.read(dir.Secrets())
		if errors.Is(err, fs.ErrNotExist) { // a build that has succeeded has none left
			return nil, nil
		}
		return secrets, err
	}
}

// rowData reads the data of a row. It may need the build's secrets: those are kept as long as the build has not succeeded.
func rowData(secrets secretsOf, r build.Resource, into any) error {
	values, err := secrets(r.Build)
	if err != nil {
		return fmt.Errorf("the secrets of build %s: %w", r.Build, err)
	}
	data, err := build.UnsealData(r.Data, values)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("the ledger's row of %s: %w", r.Name, err)
	}
	return nil
}

// reapImport removes an image that was not handed over.
func reapImport(ctx context.Context, drivers map[string]hypervisor.Driver, secrets secretsOf, r build.Resource) error {
	var h hypervisor.ImportHandle
	if err := rowData(secrets, r, &h); err != nil {
		return err
	}
	importer, ok := drivers[h.Driver].(hypervisor.Importer)
	if !ok {
		return fmt.Errorf("this daemon has no driver %q that imports images", h.Driver)
	}
	return importer.RemoveImport(ctx, h)
}

// reapImage removes what a machine became in a cloud and nobody was given.
func reapImage(ctx context.Context, drivers map[string]hypervisor.Driver, secrets secretsOf, r build.Resource) error {
	var h hypervisor.Handle
	if err := rowData(secrets, r, &h); err != nil {
		return err
	}
	imager, ok := drivers[h.Driver].(hypervisor.Imager)
	if !ok {
		return fmt.Errorf("this daemon has no driver %q that makes images", h.Driver)
	}
	ctx, cancel := context.WithTimeout(ctx, imager.Patience())
	defer cancel()
	return imager.RemoveImages(ctx, h)
}

// reapTimeout bounds how long one machine may take to go.
const reapTimeout = time.Minute

func reapMachine(ctx context.Context, drivers map[string]hypervisor.Driver, secrets secretsOf, r build.Resource) error {
	var h hypervisor.Handle
	if err := rowData(secrets, r, &h); err != nil {
		return err
	}
	driver, ok := drivers[h.Driver]
	if !ok {
		return fmt.Errorf("this daemon has no driver %q", h.Driver)
	}
	patience := reapTimeout
	if i, ok := driver.(hypervisor.Imager); ok {
		patience = i.Patience()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	machine, err := driver.Open(ctx, h)
	if errors.Is(err, hypervisor.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return machine.Destroy(ctx)
}
