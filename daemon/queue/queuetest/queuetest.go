// Package queuetest is the conformance suite of queue.Backlog: whatever keeps waiting builds must pass it.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/queue"
)

// Backlog is what the suite needs: the port, and ways to put builds into it and to cancel them.
type Backlog interface {
	queue.Backlog
	// Submit adds a waiting build.
	Submit(ctx context.Context, job queue.Job) error
	// Cancel cancels a waiting build.
	Cancel(ctx context.Context, id build.ID) error
}

// Run runs the suite. open returns an empty backlog that ends with its test.
func Run(t *testing.T, open func(t *testing.T) Backlog) {
	for name, test := range map[string]func(*testing.T, Backlog){
		"waiting builds are in the order of their submission": order,
		"a job comes back as it was submitted":                roundTrip,
		"a claimed build waits no longer":                     claimed,
		"one of many claims wins":                             race,
		"a cancelled build is neither waiting nor claimed":    cancelled,
		"an unknown build cannot be claimed":                  unknown,
		"a cancelled context ends both calls":                 ended,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func submit(t *testing.T, b Backlog, jobs ...queue.Job) {
	t.Helper()
	for _, j := range jobs {
		if err := b.Submit(t.Context(), j); err != nil {
			t.Fatalf("submit %s: %v", j.ID, err)
		}
	}
}

func waiting(t *testing.T, b Backlog) []queue.Job {
	t.Helper()
	jobs, err := b.Waiting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func ids(jobs []queue.Job) []build.ID {
	var list []build.ID
	for _, j := range jobs {
		list = append(list, j.ID)
	}
	return list
}

func wantWaiting(t *testing.T, b Backlog, want ...build.ID) {
	t.Helper()
	if d := cmp.Diff(want, ids(waiting(t, b))); d != "" {
		t.Error("waiting (-want +got):", d)
	}
}

func order(t *testing.T, b Backlog) {
	wantWaiting(t, b)
	submit(t, b, queue.Job{ID: "z"}, queue.Job{ID: "a"}, queue.Job{ID: "m"})
	wantWaiting(t, b, "z", "a", "m")
}

func roundTrip(t *testing.T, b Backlog) {
	job := queue.Job{ID: "one", Run: "r-1", Parallel: 3, Needs: build.Needs{CPUs: 4, MemoryMiB: 8192, DiskBytes: 1 << 40}}
	submit(t, b, job)
	if d := cmp.Diff([]queue.Job{job}, waiting(t, b)); d != "" {
		t.Error(d)
	}
}

func claimed(t *testing.T, b Backlog) {
	submit(t, b, queue.Job{ID: "a"}, queue.Job{ID: "b"}, queue.Job{ID: "c"})
	if attempt, err := b.Claim(t.Context(), "b"); attempt != 1 || err != nil {
		t.Errorf("the first attempt is number %d, %v", attempt, err)
	}
	wantWaiting(t, b, "a", "c")
	if _, err := b.Claim(t.Context(), "b"); !errors.Is(err, build.ErrFenced) {
		t.Errorf("the second claim: %v", err)
	}
}

func race(t *testing.T, b Backlog) {
	const claims = 20
	submit(t, b, queue.Job{ID: "a"})
	errs := make([]error, claims)
	var all sync.WaitGroup
	for i := range claims {
		all.Go(func() { _, errs[i] = b.Claim(t.Context(), "a") })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, build.ErrFenced):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d claims won", won)
	}
}

func cancelled(t *testing.T, b Backlog) {
	submit(t, b, queue.Job{ID: "a"}, queue.Job{ID: "b"})
	if err := b.Cancel(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	wantWaiting(t, b, "b")
	if _, err := b.Claim(t.Context(), "a"); !errors.Is(err, build.ErrFenced) {
		t.Errorf("claimed a cancelled build: %v", err)
	}
}

func unknown(t *testing.T, b Backlog) {
	if _, err := b.Claim(t.Context(), "nobody"); !errors.Is(err, build.ErrFenced) {
		t.Errorf("%v", err)
	}
}

func ended(t *testing.T, b Backlog) {
	submit(t, b, queue.Job{ID: "a"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Waiting(ctx); err == nil {
		t.Error("Waiting did not look at its context")
	}
	if _, err := b.Claim(ctx, "a"); err == nil {
		t.Error("Claim did not look at its context")
	}
	if got := fmt.Sprint(ids(waiting(t, b))); got != "[a]" {
		t.Errorf("a claim that failed took the build: %s wait", got)
	}
}
