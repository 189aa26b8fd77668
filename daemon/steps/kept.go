package steps

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// kept is what one attempt has of the checkpoint store: the stages that are in hand, what its machine stands on, and the
// checkpoints that are being written while the build goes on.
//
// Stages are counted as in build.Plan.Stages: 0 is the installed machine, i the machine after provisioner i, and the last
// one the artifact.
type kept struct {
	set    *Set
	stages []build.Stage
	// done is how many stages of the machine lie behind this attempt because a checkpoint was taken.
	done int
	from *checkpoint.Lease // the machine's checkpoint, or the artifact; nil when everything runs
	age  string            // of what is taken: "made 3 h ago"
	// base is the checkpoint on whose disks the machine stands.
	base checkpoint.ID
	// at says which checkpoint holds the machine after a stage, as far as this attempt knows.
	at map[int]checkpoint.ID
	// ran tells when each stage was run, however often it was kept and taken since.
	ran []build.Stamp

	began   time.Time     // of this attempt
	took    time.Duration // what the stages in hand took to make
	restart time.Duration // how long the last power cycle for a disk checkpoint took
	last    time.Time     // when the newest checkpoint of this attempt was made
	watch   *watch

	commits  sync.WaitGroup
	mu       sync.Mutex
	over     string    // why this attempt keeps nothing any more; guarded by mu, as the rest
	all      []*commit // every checkpoint of this attempt
	waiting  []*commit // of them, those that are put off
	detached bool      // the build has ended without waiting for them
}

// find computes the stages and looks for the latest one that need not be run.
func (k *kept) find(ctx context.Context, s *build.Session) error {
	k.began = k.set.Now()
	if k.set.Checkpoints == nil {
		return nil
	}
	for i, d := range s.Plan.Machine.Disks {
		if d.Backing {
			s.Log.Message("nothing is cached: disk %d is an overlay of an image that belongs to somebody else", i+1)
			return nil
		}
	}
	stages, err := s.Plan.Stages(k.set.Parts, build.StageOptions{Media: s.Media.Fingerprint(), Source: s.Source.Fingerprint(), SecretKey: k.set.SecretKey, DefaultMaxAge: k.set.MaxAge})
	if err != nil {
		return fmt.Errorf("compute the fingerprints: %w", err)
	}
	if stages[0].Never != "" {
		s.Log.Message("nothing is cached: %s", stages[0].Never)
		return nil
	}
	// Before any lease or draft, so that what a crash leaves is given back.
	if err := s.Ledger.Intend(ctx, s.Resource(build.KindCheckpoint, string(s.Build))); err != nil {
		return build.OurFault(fmt.Errorf("write the ledger: %w", err))
	}
	s.CloseAtEnd(k)
	k.stages, k.at = stages, map[int]checkpoint.ID{}
	for i := len(stages) - 1; i >= 0 && k.from == nil; i-- {
		if err := k.take(ctx, s, i); err != nil {
			return err
		}
	}
	return k.tellWhy(ctx, s)
}

// tellWhy says why the first stage that runs is not cached, unless it was never built.
func (k *kept) tellWhy(ctx context.Context, s *build.Session) error {
	all, err := build.Explain(ctx, s.Plan, k.stages, shelf{k, s}, k.set.Now())
	if err != nil {
		return build.OurFault(err)
	}
	for _, st := range all[min(k.done, len(all)):] {
		if st.Why != "" && st.Why != build.NeverBuilt {
			s.Log.Message("%s is run: %s", st.Name, st.Why)
		}
	}
	return nil
}

// take tries to have stage i out of the store.
func (k *kept) take(ctx context.Context, s *build.Session, i int) error {
	stage := k.stages[i]
	if stage.Never != "" || stage.Fresh {
		return nil
	}
	entries, err := k.set.Checkpoints.Lookup(ctx, stage.Fingerprint)
	if err != nil {
		return build.OurFault(err)
	}
	for _, e := range entries {
		if why := k.unfit(ctx, s, e); why != "" {
			s.Log.Message("the checkpoint of %s, made %s, is not used: %s", stage.Name, Ago(k.set.Now().Sub(e.Created.Time())), why)
			continue
		}
		lease, err := k.lease(ctx, s, e)
		if err != nil {
			return err
		}
		if lease != nil {
			k.use(i, lease)
			s.Log.Message("%s: cached, %s (%s)", stage.Name, k.age, e.ID)
			return nil
		}
	}
	return nil
}

// lease keeps a checkpoint from being evicted and looks whether it is whole. It returns nil for one that is not to be had:
// then the stage is simply run.
func (k *kept) lease(ctx context.Context, s *build.Session, e checkpoint.Entry) (*checkpoint.Lease, error) {
	lease, err := k.set.Checkpoints.Acquire(ctx, e.ID, s.Build)
	if err == nil {
		err = lease.Verify(ctx)
	}
	switch {
	case err == nil:
		return lease, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, checkpoint.ErrGone):
		return nil, nil
	}
	s.Log.Error("the checkpoint %s cannot be used: %v", e.ID, err)
	return nil, nil
}

// unfit says why an entry cannot stand in for its stage here and now; nothing if it can.
func (k *kept) unfit(ctx context.Context, s *build.Session, e checkpoint.Entry) string {
	if old := build.TooOld(k.stages, e.Ran, k.set.Now()); old != "" {
		return old
	}
	if why := k.gone(ctx, s, e.Artifact); why != "" {
		return why
	}
	return k.misfit(ctx, s, e)
}

// misfit says why the machine in an entry cannot be thawed here; nothing if it can, or if there is none.
func (k *kept) misfit(ctx context.Context, s *build.Session, e checkpoint.Entry) string {
	if e.Machine == nil {
		return ""
	}
	thawer, ok := s.Driver.(hypervisor.Thawer)
	if !ok {
		return fmt.Sprintf("driver %s cannot thaw machines", s.Driver.Name())
	}
	if err := thawer.Fits(ctx, *e.Machine, k.set.spec(s)); err != nil {
		return err.Error()
	}
	return ""
}

// use makes a leased checkpoint the one that the attempt goes on from.
func (k *kept) use(i int, lease *checkpoint.Lease) {
	e := lease.Entry
	k.from, k.done, k.took = lease, i+1, e.Took
	k.ran = append([]build.Stamp(nil), e.Ran...)
	k.age = "made " + Ago(k.set.Now().Sub(e.Created.Time()))
	if e.Machine != nil {
		k.base, k.at[i] = e.ID, e.ID
	}
}

// leave forgets what was taken: everything runs.
func (k *kept) leave() {
	k.from, k.done, k.took, k.ran, k.base, k.age = nil, 0, 0, nil, "", ""
	clear(k.at)
}

// artifact tells whether the whole artifact is in hand, so that no machine is needed.
func (k *kept) artifact() bool { return k.from != nil && k.from.Entry.Artifact != nil }

// machineNeeded is the negation of artifact for build.Step.Needed.
func (k *kept) machineNeeded(*build.Session) bool { return !k.artifact() }

// artifactCached is the Cached of the steps that make the artifact.
func (k *kept) artifactCached(*build.Session) string {
	if k.artifact() {
		return "cached, " + k.age
	}
	return ""
}

// cached makes the Cached of the step that stage i consists of.
func (k *kept) cached(i int) func(*build.Session) string {
	return func(*build.Session) string {
		if i < k.done {
			return "cached, " + k.age
		}
		return ""
	}
}

// spoil makes this attempt keep nothing any more: a provisioner failed and the build goes on, and the next one may want it to
// be tried again.
func (k *kept) spoil() {
	for i := k.done; i < len(k.stages); i++ {
		k.stages[i].Never = "a provisioner failed"
	}
}

// stop ends the keeping of checkpoints for this attempt; the build goes on without. It says so once.
func (k *kept) stop(s *build.Session, format string, args ...any) {
	k.mu.Lock()
	first := k.over == ""
	k.over = fmt.Sprintf(format, args...)
	why := k.over
	k.mu.Unlock()
	if first {
		s.Log.Error("No further checkpoint is kept of this build: %s", why)
	}
}

func (k *kept) stopped() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over != ""
}

// Ago says how long ago something was, in one unit: "just now", "40 s ago", "3 h ago".
func Ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
