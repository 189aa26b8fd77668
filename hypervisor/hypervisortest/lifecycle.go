package hypervisortest

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

func testProbe(t *testing.T, r run) {
	caps, err := r.driver.Probe(r.ctx)
	if err != nil || !caps.Available {
		t.Fatalf("Probe = %+v, %v; want an available driver", caps, err)
	}
	for _, p := range caps.Problems {
		if p.What == "" || p.Remedy == "" {
			t.Errorf("problem without text or remedy: %+v", p)
		}
	}
}

func testCreateTwice(t *testing.T, r run) {
	spec := r.Ending(t)
	first := r.create(t, spec)
	second, err := r.driver.Create(r.ctx, spec)
	if err != nil {
		t.Fatalf("second Create: %v", err)
	}
	if diff := cmp.Diff(first.Handle(), second.Handle()); diff != "" {
		t.Errorf("the second Create made another machine (-first +second):\n%s", diff)
	}
	h := first.Handle()
	if h.Driver != r.driver.Name() || h.Name != spec.Name || h.Tag != spec.Tag || h.Dir != spec.Dir {
		t.Errorf("handle %+v does not name the spec's machine", h)
	}
	r.wantState(t, first, hypervisor.Off)
}

func testCreateForeign(t *testing.T, r run) {
	spec := r.Ending(t)
	m := r.create(t, spec)
	other := r.ForeignTag(spec)
	_, err := r.Foreign(t).Create(r.ctx, other)
	wantError(t, "Create under another installation's tag", err, hypervisor.ErrForeign)
	next := spec
	next.Tag.Attempt++
	_, err = r.driver.Create(r.ctx, next)
	wantError(t, "Create for another attempt", err, hypervisor.ErrForeign)
	r.wantState(t, m, hypervisor.Off)
}

func testOpen(t *testing.T, r run) {
	m := r.create(t, r.Ending(t))
	again, err := r.New(t).Open(r.ctx, m.Handle())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if diff := cmp.Diff(m.Handle(), again.Handle()); diff != "" {
		t.Errorf("Open found another machine (-made +opened):\n%s", diff)
	}
	if _, err := r.Foreign(t).Open(r.ctx, m.Handle()); err == nil {
		t.Error("another installation opened our machine")
	}
	gone := m.Handle()
	gone.Name += "-not-there"
	gone.UUID = ""
	_, err = r.driver.Open(r.ctx, gone)
	wantError(t, "Open of a name that does not exist", err, hypervisor.ErrNotFound)
}

func testList(t *testing.T, r run) {
	mine := r.create(t, r.Ending(t)).Handle()
	foreign := r.Foreign(t)
	m, err := foreign.Create(r.ctx, r.ForeignTag(r.Ending(t)))
	if err != nil {
		t.Fatalf("Create of a foreign machine: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Destroy(context.WithoutCancel(r.ctx)); err != nil {
			t.Error(err)
		}
	})
	got, err := r.New(t).List(r.ctx)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	if !slices.Contains(got, mine) {
		t.Errorf("List = %+v; our machine %+v is missing", got, mine)
	}
	if slices.ContainsFunc(got, func(h hypervisor.Handle) bool { return h.Tag.Install != mine.Tag.Install }) {
		t.Errorf("List = %+v; it holds another installation's machine", got)
	}
}

func testStates(t *testing.T, r run) {
	m := r.create(t, r.Lasting(t))
	r.wantState(t, m, hypervisor.Off)
	if err := m.Start(r.ctx); err != nil {
		t.Fatalf("Start: %v", err)
	}
	r.wantState(t, m, hypervisor.Running)
	if err := m.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	r.wantState(t, m, hypervisor.Absent)
}

func testStartTwice(t *testing.T, r run) {
	m := r.started(t, r.Lasting(t))
	if err := m.Start(r.ctx); err != nil {
		t.Fatalf("Start of a running machine: %v", err)
	}
	r.wantState(t, m, hypervisor.Running)
}

func testWaitClean(t *testing.T, r run) {
	m := r.started(t, r.Ending(t))
	if err := m.Wait(r.ctx); err != nil {
		t.Fatalf("Wait: %v", err)
	}
	r.wantState(t, m, hypervisor.Off)
	again, err := r.New(t).Open(r.ctx, m.Handle())
	if err != nil {
		t.Fatalf("Open after power-off: %v", err)
	}
	if err := again.Wait(r.ctx); err != nil {
		t.Errorf("Wait of a machine that powered itself off before: %v", err)
	}
}

func testWaitCrash(t *testing.T, r run) {
	if r.Crash == nil {
		t.Skip("no way to crash a guest of this driver")
	}
	m := r.started(t, r.Lasting(t))
	done := make(chan error, 1)
	go func() { done <- m.Wait(r.ctx) }()
	r.Crash(t, m)
	wantError(t, "Wait for a machine that crashed", <-done, hypervisor.ErrCrashed)
	wantError(t, "second Wait", m.Wait(r.ctx), hypervisor.ErrCrashed)
	state, err := m.State(r.ctx)
	if err != nil || state != hypervisor.Crashed && state != hypervisor.Off {
		t.Errorf("State after a crash = %q, %v; want %q or %q", state, err, hypervisor.Crashed, hypervisor.Off)
	}
}

func testWaitDestroyed(t *testing.T, r run) {
	m := r.started(t, r.Lasting(t))
	done := make(chan error, 1)
	go func() { done <- m.Wait(r.ctx) }()
	if err := m.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	wantError(t, "Wait for a machine that was destroyed", <-done, hypervisor.ErrCrashed)
}

func testWaitCancelled(t *testing.T, r run) {
	m := r.started(t, r.Lasting(t))
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(r.ctx)
	done := make(chan error, 1)
	go func() { done <- m.Wait(ctx) }()
	cancel(stop)
	select {
	case err := <-done:
		if !errors.Is(err, stop) && !errors.Is(err, context.Canceled) || errors.Is(err, hypervisor.ErrCrashed) {
			t.Errorf("cancelled Wait: %v; want the cause of the cancellation", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("a cancelled Wait did not return within a minute")
	}
	r.wantState(t, m, hypervisor.Running)
}

func testShutdown(t *testing.T, r run) {
	m := r.started(t, r.Lasting(t))
	if err := m.Shutdown(r.ctx); err != nil {
		t.Fatalf("Shutdown: %v", err)
	}
	if !r.ACPI {
		t.Skip("this guest does not answer to ACPI")
	}
	if err := m.Wait(r.ctx); err != nil {
		t.Errorf("Wait after Shutdown: %v", err)
	}
}

func testDestroy(t *testing.T, r run) {
	for name, start := range map[string]bool{"running": true, "never started": false} {
		t.Run(name, func(t *testing.T) {
			spec := r.Lasting(t)
			m := r.create(t, spec)
			if start {
				if err := m.Start(r.ctx); err != nil {
					t.Fatalf("Start: %v", err)
				}
			}
			for i := range 2 {
				if err := m.Destroy(r.ctx); err != nil {
					t.Fatalf("Destroy number %d: %v", i+1, err)
				}
			}
			r.wantGone(t, m.Handle())
		})
	}
}

func (r run) wantGone(t *testing.T, h hypervisor.Handle) {
	t.Helper()
	_, err := r.New(t).Open(r.ctx, h)
	wantError(t, "Open of a destroyed machine", err, hypervisor.ErrNotFound)
	left, err := os.ReadDir(h.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
		t.Errorf("the directory of a destroyed machine holds %v (%v); want nothing", left, err)
	}
	all, err := r.driver.List(r.ctx)
	if err != nil || slices.Contains(all, h) {
		t.Errorf("List = %v, %v; it still holds the destroyed machine", all, err)
	}
}
