package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/queue"
)

// arrival is a job of the simulation: when it is submitted and how long it takes.
type arrival struct {
	job      queue.Job
	at, take time.Duration
}

const maxArrivals = 12

// arrivals draws jobs that fit into the budget. Each has its own bits of the nanoseconds, so that no two things of the
// simulation happen at the same instant.
func arrivals(t *rapid.T) []arrival {
	list := make([]arrival, rapid.IntRange(1, maxArrivals).Draw(t, "jobs"))
	for i := range list {
		run := rapid.IntRange(0, 2).Draw(t, "run")
		list[i] = arrival{
			job: queue.Job{
				ID: build.ID(fmt.Sprint("job-", i)), Run: fmt.Sprint(run), Parallel: run, // run 0 has no limit
				Needs: build.Needs{
					CPUs:      rapid.IntRange(1, 2*budget.CPUs).Draw(t, "cpus"),
					MemoryMiB: rapid.IntRange(1, budget.MemoryMiB).Draw(t, "memory"),
					DiskBytes: rapid.Int64Range(1, budget.DiskBytes).Draw(t, "disk"),
				},
			},
			at:   time.Duration(rapid.IntRange(0, 20).Draw(t, "at"))*time.Millisecond + 1<<i,
			take: time.Duration(rapid.IntRange(1, 20).Draw(t, "take"))*time.Millisecond + 1<<(i+maxArrivals)*time.Nanosecond,
		}
	}
	return list
}

// kiln watches what runs and keeps what is wrong with it.
type kiln struct {
	mu       sync.Mutex
	arrived  []queue.Job // in the order of submission
	running  map[build.ID]queue.Job
	ran      map[build.ID]int
	problems []string
}

func (k *kiln) submit(m *memory, j queue.Job) {
	k.mu.Lock()
	k.arrived = append(k.arrived, j)
	k.mu.Unlock()
	_ = m.Submit(context.Background(), j) // never fails
}

func (k *kiln) begin(id build.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, j := range k.arrived {
		if j.ID == id {
			k.running[id] = j
			break
		}
		if k.ran[j.ID] == 0 && !k.held(j) {
			k.problems = append(k.problems, fmt.Sprintf("%s overtook %s", id, j.ID))
		}
	}
	k.ran[id]++
	var used build.Needs
	same := 0
	for _, j := range k.running {
		used.CPUs += min(j.Needs.CPUs, budget.CPUs)
		used.MemoryMiB += j.Needs.MemoryMiB
		used.DiskBytes += j.Needs.DiskBytes
		if j.Run == k.running[id].Run {
			same++
		}
	}
	if used.CPUs > budget.CPUs || used.MemoryMiB > budget.MemoryMiB || used.DiskBytes > budget.DiskBytes {
		k.problems = append(k.problems, fmt.Sprintf("with %s running, %+v of %+v are used", id, used, budget))
	}
	if limit := k.running[id].Parallel; limit > 0 && same > limit {
		k.problems = append(k.problems, fmt.Sprintf("%d builds of the run of %s run, and %d may", same, id, limit))
	}
}

// held tells whether j waits for builds of its own run, which is when others may overtake it.
func (k *kiln) held(j queue.Job) bool {
	same := 0
	for _, r := range k.running {
		if r.Run == j.Run {
			same++
		}
	}
	return j.Parallel > 0 && same >= j.Parallel
}

func (k *kiln) end(id build.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.running, id)
}

// What runs never takes more than the budget, nothing is overtaken, and everything runs, once.
func TestBudgetIsKeptAndEverythingRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		list := arrivals(rt)
		k := &kiln{running: map[build.ID]queue.Job{}, ran: map[build.ID]int{}}
		synctest.Test(t, func(t *testing.T) { simulate(t, k, list) })
		if len(k.problems) > 0 {
			rt.Fatal(k.problems)
		}
		for _, a := range list {
			if k.ran[a.job.ID] != 1 {
				rt.Fatalf("%s ran %d times", a.job.ID, k.ran[a.job.ID])
			}
		}
	})
}

func simulate(t *testing.T, k *kiln, list []arrival) {
	m := newMemory()
	m.onClaim = k.begin
	takes := map[build.ID]time.Duration{}
	for _, a := range list {
		takes[a.job.ID] = a.take
	}
	q := queue.New(m, budget, func(_ context.Context, id build.ID, _ int) {
		time.Sleep(takes[id]) // the bubble's clock
		k.end(id)
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _ = q.Run(ctx) }()
	var submitters sync.WaitGroup
	for _, a := range list {
		submitters.Go(func() {
			time.Sleep(a.at)
			k.submit(m, a.job)
			q.Wake()
		})
	}
	submitters.Wait()
	idle, stop := context.WithTimeout(ctx, time.Hour)
	defer stop()
	if err := q.Idle(idle); err != nil {
		t.Errorf("after an hour builds still wait: %v", err)
	}
	cancel()
	q.Stopped()
}
