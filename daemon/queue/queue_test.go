package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/queue"
)

// floor is where builds run until the test ends them.
type floor struct {
	backlog *memory
	mu      sync.Mutex
	running map[build.ID]chan struct{}
	causes  map[build.ID]error // why the context of a build ended, if it did
}

func newFloor(m *memory) *floor {
	return &floor{backlog: m, running: map[build.ID]chan struct{}{}, causes: map[build.ID]error{}}
}

func (f *floor) work(ctx context.Context, id build.ID, _ int) {
	end := make(chan struct{})
	f.mu.Lock()
	f.running[id] = end
	f.mu.Unlock()
	select {
	case <-end:
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, id)
	if ctx.Err() != nil {
		f.causes[id] = context.Cause(ctx)
	}
}

func (f *floor) end(id build.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.running[id])
}

// wantStarted waits until nothing moves and compares what was started, in order.
func (f *floor) wantStarted(t *testing.T, want ...build.ID) {
	t.Helper()
	synctest.Wait()
	f.backlog.mu.Lock()
	defer f.backlog.mu.Unlock()
	if d := cmp.Diff(want, f.backlog.claimed); d != "" {
		t.Fatal("started (-want +got):", d)
	}
}

var budget = queue.Budget{CPUs: 4, MemoryMiB: 4096, DiskBytes: 100 << 30}

// run starts a queue that ends with the test's bubble.
func run(t *testing.T, b queue.Backlog, worker queue.Worker) *queue.Queue {
	t.Helper()
	q := queue.New(b, budget, worker, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		if err := q.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); q.Stopped() })
	return q
}

func job(id build.ID, cpus, memory int) queue.Job {
	return queue.Job{ID: id, Run: "run-" + string(id), Needs: build.Needs{CPUs: cpus, MemoryMiB: memory, DiskBytes: 1 << 30}}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		needs build.Needs
		want  []string // parts of the refusal; none when it is admitted
	}{
		{build.Needs{CPUs: 1, MemoryMiB: 1, DiskBytes: 1}, nil},
		{build.Needs{CPUs: 4, MemoryMiB: 4096, DiskBytes: 100 << 30}, nil},
		{build.Needs{CPUs: 64, MemoryMiB: 1}, nil}, // CPUs are shared
		{build.Needs{MemoryMiB: 4097}, []string{"4097 MiB", "4096 MiB", "--memory-budget"}},
		{build.Needs{DiskBytes: 101 << 30}, []string{"103424 MiB", "102400 MiB", "--disk-budget"}},
	}
	for _, tt := range tests {
		err := budget.Admit(tt.needs)
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%+v: %v", tt.needs, err)
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %q", err, part)
			}
		}
	}
}

func TestLargeBuildIsNotOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(job("first", 1, 3000), job("large", 1, 4096), job("small", 1, 1))
		f := newFloor(m)
		run(t, m, f.work)
		f.wantStarted(t, "first") // there is room for the small one, but the large one came before
		f.end("first")
		f.wantStarted(t, "first", "large")
		f.end("large")
		f.wantStarted(t, "first", "large", "small")
	})
}

func TestBuildWithMoreCPUsThanTheBudgetRunsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(job("wide", 64, 1), job("next", 1, 1))
		f := newFloor(m)
		run(t, m, f.work)
		f.wantStarted(t, "wide")
		f.end("wide")
		f.wantStarted(t, "wide", "next")
	})
}

// -parallel-builds=N holds back the builds of one command only.
func TestParallelOfARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs := []queue.Job{job("a1", 1, 1), job("a2", 1, 1), job("b1", 1, 1)}
		for i := range 2 {
			jobs[i].Run, jobs[i].Parallel = "a", 1
		}
		m := newMemory(jobs...)
		f := newFloor(m)
		run(t, m, f.work)
		f.wantStarted(t, "a1", "b1")
		f.end("a1")
		f.wantStarted(t, "a1", "b1", "a2")
	})
}

// A build that was admitted under a larger budget, before a restart, does not hold up the others.
func TestInadmissibleBuildIsPassedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(job("huge", 1, 1<<20), job("small", 1, 1))
		f := newFloor(m)
		run(t, m, f.work)
		f.wantStarted(t, "small")
	})
}

func TestSubmissionWakesTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := newFloor(m)
		q := run(t, m, f.work)
		f.wantStarted(t)
		if err := m.Submit(t.Context(), job("a", 1, 1)); err != nil {
			t.Fatal(err)
		}
		q.Wake()
		q.Wake()
		f.wantStarted(t, "a")
	})
}

func TestCancelReachesOnlyThatBuild(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(job("a", 1, 1), job("b", 1, 1), job("waits", 4, 1))
		f := newFloor(m)
		q := run(t, m, f.work)
		f.wantStarted(t, "a", "b")
		q.Cancel("waits")
		q.Cancel("nobody")
		q.Cancel("a")
		q.Cancel("a")
		f.wantStarted(t, "a", "b")
		f.end("b")
		f.wantStarted(t, "a", "b", "waits")
		if d := cmp.Diff(1, len(f.causes)); d != "" || !errors.Is(f.causes["a"], build.ErrCanceled) {
			t.Errorf("cancelled: %v", f.causes)
		}
	})
}

func TestStopEndsRunningBuildsAndStartsNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(job("a", 4, 1), job("waits", 4, 1))
		f := newFloor(m)
		q := queue.New(m, budget, f.work, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- q.Run(ctx) }()
		f.wantStarted(t, "a")
		cancel()
		q.Stopped()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		f.wantStarted(t, "a")
		if !errors.Is(f.causes["a"], build.ErrStopping) || len(m.jobs) != 1 {
			t.Errorf("causes %v, %d wait", f.causes, len(m.jobs))
		}
	})
}

// Nothing may come to wake the queue after its backlog failed, so it tries again by itself.
func TestBacklogFailureIsNotForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(job("a", 1, 1))
		f := newFloor(m)
		m.failOnce(syscall.ENOSPC)
		run(t, m, f.work)
		f.wantStarted(t)
		time.Sleep(time.Minute)
		f.wantStarted(t, "a")
	})
}

func TestIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(job("a", 4, 1), job("b", 4, 1), job("c", 4, 1))
		f := newFloor(m)
		q := run(t, m, f.work)
		idle := make(chan error, 1)
		go func() { idle <- q.Idle(t.Context()) }()
		f.wantStarted(t, "a")
		if err := m.Cancel(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		f.end("a")
		f.wantStarted(t, "a", "c")
		select {
		case <-idle:
			t.Fatal("idle while c runs")
		default:
		}
		f.end("c")
		if err := <-idle; err != nil {
			t.Error(err)
		}
	})
}

// The last waiting build may be cancelled when nothing runs, so that no build ends that could tell of it.
func TestIdleAfterTheLastWaitingBuildWasCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(job("huge", 1, 1<<20))
		q := run(t, m, newFloor(m).work)
		idle := make(chan error, 1)
		go func() { idle <- q.Idle(t.Context()) }()
		synctest.Wait()
		if err := m.Cancel(t.Context(), "huge"); err != nil {
			t.Fatal(err)
		}
		q.Wake()
		synctest.Wait()
		select {
		case err := <-idle:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Fatal("nothing runs and nothing waits, yet the queue is not idle")
		}
	})
}

// between runs a function between the two looks of Idle: a build may leave the backlog and begin to run there.
type between struct {
	*memory
	looked atomic.Bool
	then   func()
}

func (b *between) Waiting(ctx context.Context) ([]queue.Job, error) {
	if b.looked.CompareAndSwap(false, true) {
		b.then()
	}
	return b.memory.Waiting(ctx)
}

func TestIdleIsNotFooledByAClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &between{memory: newMemory(job("a", 1, 1))}
		f := newFloor(m.memory)
		started := make(chan struct{})
		q := queue.New(m, budget, func(ctx context.Context, id build.ID, n int) { close(started); f.work(ctx, id, n) }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		m.then = func() { // Idle looks first; the queue starts in the middle of it
			go func() { _ = q.Run(ctx) }()
			<-started
		}
		idle, stop := context.WithCancelCause(t.Context())
		go func() { <-started; synctest.Wait(); stop(errors.New("still busy")) }()
		if err := q.Idle(idle); fmt.Sprint(err) != "still busy" {
			t.Errorf("idle with a running build: %v", err)
		}
		cancel()
		q.Stopped()
	})
}

func TestIdleEndsWithItsContextAndBacklog(t *testing.T) {
	t.Parallel()
	m := newMemory(job("a", 1, 1))
	q := queue.New(m, budget, newFloor(m).work, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(build.ErrStopping)
	if err := q.Idle(ctx); err == nil {
		t.Error("idle, with a build that waits")
	}
	m.failOnce(syscall.EIO)
	if err := q.Idle(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}
