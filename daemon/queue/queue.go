// Package queue decides which queued build starts next.
//
// Builds wait in the store in the order of their submission. [Queue.Run] claims the first one that fits into what the
// [Budget] has left and hands it to the worker; it never lets a later build overtake one that waits for room, so a large
// build cannot starve. [Queue.Cancel] reaches a running build through its context. A build that could never fit is
// refused at submission ([Budget.Admit]), with the numbers; one that was admitted by an earlier daemon with a larger
// budget is passed over, so that it does not hold up the others.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// Budget is what running builds may take together.
type Budget struct {
	CPUs      int
	MemoryMiB int
	DiskBytes int64
}

// Admit returns an error if a build that needs n could never run within the budget. More CPUs than the budget has are
// no reason: the guest's CPUs share them.
func (b Budget) Admit(n build.Needs) error {
	if n.MemoryMiB > b.MemoryMiB {
		return fmt.Errorf("the build needs %d MiB of memory and the budget is %d MiB: lower memory in the template or raise serve --memory-budget", n.MemoryMiB, b.MemoryMiB)
	}
	if n.DiskBytes > b.DiskBytes {
		return fmt.Errorf("the build may need %d MiB of disk and the budget is %d MiB: free some space or raise serve --disk-budget", n.DiskBytes>>20, b.DiskBytes>>20)
	}
	return nil
}

func (b Budget) fits(used, n build.Needs) bool {
	return used.CPUs+min(n.CPUs, b.CPUs) <= b.CPUs &&
		used.MemoryMiB+n.MemoryMiB <= b.MemoryMiB &&
		used.DiskBytes+n.DiskBytes <= b.DiskBytes
}

// Job is a build as the queue sees it.
type Job struct {
	ID    build.ID
	Run   string
	Needs build.Needs
	// Parallel is how many builds of the same run may run at once; 0 means any number.
	Parallel int
}

// Backlog is where builds wait. Claim returns build.ErrFenced when somebody else was faster.
type Backlog interface {
	Waiting(ctx context.Context) ([]Job, error)
	Claim(ctx context.Context, id build.ID) (attempt int, err error)
}

// Worker runs one attempt to its end. Its context is cancelled with build.ErrCanceled or build.ErrStopping.
type Worker func(ctx context.Context, id build.ID, attempt int)

// Queue hands waiting builds to workers.
type Queue struct {
	backlog Backlog
	budget  Budget
	worker  Worker
	log     *slog.Logger
	wake    chan struct{}

	mu      sync.Mutex
	running map[build.ID]*run
	changed chan struct{} // closed and replaced after each look at the backlog, and when a build ends
	stopped chan struct{} // closed when Run returns
}

type run struct {
	job    Job
	cancel context.CancelCauseFunc
}

// New makes a queue; Run starts it.
func New(backlog Backlog, budget Budget, worker Worker, log *slog.Logger) *Queue {
	return &Queue{backlog: backlog, budget: budget, worker: worker, log: log,
		wake: make(chan struct{}, 1), running: map[build.ID]*run{}, changed: make(chan struct{}), stopped: make(chan struct{})}
}

// Budget returns what running builds may take together.
func (q *Queue) Budget() Budget { return q.budget }

// Wake makes Run look at the backlog: call it after a submission.
func (q *Queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// retryPause is how long the queue waits after its backlog failed: a full disk or a locked database is not for ever, and
// nothing else may come to wake it.
const retryPause = 5 * time.Second

// Run starts builds until ctx is cancelled, then cancels the running ones with build.ErrStopping and returns when they
// have ended. It is called once.
func (q *Queue) Run(ctx context.Context) error {
	defer close(q.stopped)
	var workers sync.WaitGroup
	builds, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	q.Wake()
	var retry <-chan time.Time
	for {
		select {
		case <-q.wake:
		case <-retry:
		case <-ctx.Done():
			stop(build.ErrStopping)
			workers.Wait()
			return nil
		}
		retry = nil
		if err := q.start(ctx, builds, &workers); err != nil && ctx.Err() == nil {
			q.log.Error("the queue cannot read its backlog; it tries again", "err", err, "after", retryPause)
			retry = time.After(retryPause)
		}
		q.tellChanged()
	}
}

func (q *Queue) start(ctx, builds context.Context, workers *sync.WaitGroup) error {
	jobs, err := q.backlog.Waiting(ctx)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if q.budget.Admit(job.Needs) != nil {
			continue
		}
		switch q.room(job) {
		case fullBudget:
			return nil
		case fullRun:
			continue
		}
		if err := q.launch(ctx, builds, job, workers); err != nil && !errors.Is(err, build.ErrFenced) {
			return err
		}
	}
	return nil
}

func (q *Queue) launch(ctx, builds context.Context, job Job, workers *sync.WaitGroup) error {
	jobCtx, cancel := context.WithCancelCause(builds)
	q.mu.Lock() // held over the claim, so that a cancel finds either a queued build or a running one
	attempt, err := q.backlog.Claim(ctx, job.ID)
	if err != nil {
		q.mu.Unlock()
		cancel(nil)
		return err
	}
	q.running[job.ID] = &run{job, cancel}
	q.mu.Unlock()
	workers.Go(func() {
		defer q.finished(job.ID)
		defer cancel(nil)
		q.worker(jobCtx, job.ID, attempt)
	})
	return nil
}

func (q *Queue) finished(id build.ID) {
	q.mu.Lock()
	delete(q.running, id)
	q.mu.Unlock()
	q.tellChanged()
	q.Wake()
}

// tellChanged makes everybody in Idle look again.
func (q *Queue) tellChanged() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.changed)
	q.changed = make(chan struct{})
}

type room int

const (
	fits room = iota
	fullRun
	fullBudget
)

func (q *Queue) room(job Job) room {
	q.mu.Lock()
	defer q.mu.Unlock()
	var used build.Needs
	same := 0
	for _, r := range q.running {
		used.CPUs += min(r.job.Needs.CPUs, q.budget.CPUs)
		used.MemoryMiB += r.job.Needs.MemoryMiB
		used.DiskBytes += r.job.Needs.DiskBytes
		if r.job.Run == job.Run {
			same++
		}
	}
	switch {
	case job.Parallel > 0 && same >= job.Parallel:
		return fullRun
	case !q.budget.fits(used, job.Needs):
		return fullBudget
	}
	return fits
}

// Stopped waits until Run has returned.
func (q *Queue) Stopped() { <-q.stopped }

// Cancel cancels a running build with build.ErrCanceled. Builds that do not run are left alone.
func (q *Queue) Cancel(id build.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r, ok := q.running[id]; ok {
		r.cancel(build.ErrCanceled)
	}
}

// Idle waits until no build runs and none waits.
func (q *Queue) Idle(ctx context.Context) error {
	for {
		q.mu.Lock()
		changed := q.changed // taken before looking, so that no change is missed
		q.mu.Unlock()
		idle, err := q.idle(ctx)
		if err != nil || idle {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// idle looks at the backlog first: a build goes from there to the running ones, never back.
func (q *Queue) idle(ctx context.Context) (bool, error) {
	waiting, err := q.backlog.Waiting(ctx)
	if err != nil || len(waiting) > 0 {
		return false, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.running) == 0, nil
}
