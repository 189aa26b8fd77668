package build

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRunDoesStepsInOrderAndCleansUp(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	var closed []string
	for _, name := range []string{"seed", "guest"} {
		k.session.CloseAtEnd(closerFunc(func() error { closed = append(closed, name); return nil }))
	}
	var phases []string
	k.StepChanged = func(_ context.Context, _ *Session, step string, phase StepPhase, _ time.Duration) {
		phases = append(phases, step+" "+string(phase))
	}
	if r := k.Run(t.Context(), k.session, []Step{takes("disk"), takes("vm")}); r.State != Succeeded || r.Err != nil || r.Step != "" {
		t.Fatalf("result %+v", r)
	}
	if d := cmp.Diff([]string{"vm", "disk"}, k.reaped); d != "" {
		t.Error("reaped, newest first:", d)
	}
	if d := cmp.Diff([]string{"guest", "seed"}, closed); d != "" {
		t.Error("closed, newest first:", d)
	}
	if d := cmp.Diff([]string{"take disk began", "take disk done", "take vm began", "take vm done"}, phases); d != "" {
		t.Error(d)
	}
	if len(k.ledger.rows) != 0 {
		t.Errorf("the ledger still holds %v", k.ledger.names())
	}
}

func TestOutcomeOfAFailure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		do      func(ctx context.Context, s *Session) error
		state   State
		message string
	}{
		{"the guest's fault", func(context.Context, *Session) error { return errors.New("script exited with 3") }, Failed, "script exited with 3"},
		{"our fault", func(context.Context, *Session) error { return OurFault(errors.New("no libvirt")) }, Errored, "no libvirt"},
		{"our fault, wrapped", func(context.Context, *Session) error {
			return fmt.Errorf("create: %w", OurFault(syscall.ENOSPC))
		}, Errored, "create: no space left on device"},
		{"a panic", func(context.Context, *Session) error { panic("index out of range") }, Errored, "step work panicked: index out of range"},
		{"a panic with an error", func(context.Context, *Session) error { panic(errors.New("nil map")) }, Errored, "step work panicked: nil map"},
		{"the machine is gone", func(ctx context.Context, s *Session) error {
			s.Abort(fmt.Errorf("%w: qemu died", ErrMachineGone))
			<-ctx.Done()
			return ctx.Err()
		}, Failed, "the machine is gone: qemu died"},
		{"a deadline of its own", func(context.Context, *Session) error {
			return fmt.Errorf("dial: %w", context.DeadlineExceeded)
		}, Failed, "dial: context deadline exceeded"},
	}
	for _, tt := range tests {
		for _, limit := range []time.Duration{0, time.Hour} { // a limit that is not reached changes nothing
			t.Run(fmt.Sprint(tt.name, " within ", limit), func(t *testing.T) {
				t.Parallel()
				k := newKiln(t)
				r := k.Run(t.Context(), k.session, []Step{takes("vm"), {Name: "work", Timeout: limit, Do: tt.do}, takes("never")})
				if r.State != tt.state || r.Step != "work" || r.Err == nil || r.Err.Error() != tt.message {
					t.Errorf("ended %s in %q with %v", r.State, r.Step, r.Err)
				}
				if d := cmp.Diff([]string{"vm"}, k.reaped); d != "" {
					t.Error("reaped:", d)
				}
				if want := "step work failed " + tt.message; !strings.Contains(k.events.text(), want) {
					t.Errorf("the log lacks %q:\n%s", want, k.events.text())
				}
			})
		}
	}
}

func TestTimeoutNamesStepAndLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newKiln(t)
		step := hangs("wait-guest", nil)
		step.Timeout = 30 * time.Minute
		began := time.Now()
		r := k.Run(t.Context(), k.session, []Step{takes("vm"), step})
		var late *TimeoutError
		if !errors.As(r.Err, &late) || late.Step != "wait-guest" || r.Err.Error() != "wait-guest took longer than 30m0s" {
			t.Errorf("error %v", r.Err)
		}
		if r.State != Failed || r.Step != "wait-guest" || time.Since(began) != step.Timeout {
			t.Errorf("%s in %q after %s", r.State, r.Step, time.Since(began))
		}
		if d := cmp.Diff([]string{"vm"}, k.reaped); d != "" {
			t.Error(d)
		}
	})
}

// A cancel reaches each step, at once, and what the steps before took is reaped.
func TestCancelAtEveryStep(t *testing.T) {
	t.Parallel()
	const steps = 6
	for at := range steps {
		for _, tt := range []struct {
			cause error
			state State
		}{{ErrCanceled, Canceled}, {ErrStopping, Interrupted}} {
			t.Run(fmt.Sprintf("step %d, %v", at, tt.cause), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					k := newKiln(t)
					k.session.Plan.Options.OnError = OnErrorAbort // who cancels wants nothing left
					k.session.Guest, k.session.Plan.ErrorCleanup = guest{}, &ProvisionPlan{}
					k.Diagnose = func(context.Context, *Session, error) error { t.Error("diagnosed a cancel"); return nil }
					k.ErrorCleanup = func(context.Context, *Session) error { t.Error("cleaned up in the guest"); return nil }
					ctx, cancel := context.WithCancelCause(t.Context())
					began := make(chan struct{})
					var list []Step
					var want []string
					for i := range steps {
						if i == at {
							list = append(list, hangs("hang", began))
							continue
						}
						list = append(list, takes(fmt.Sprint(i)))
						if i < at {
							want = append([]string{fmt.Sprint(i)}, want...)
						}
					}
					go func() { <-began; cancel(tt.cause) }()
					start := time.Now()
					r := k.Run(ctx, k.session, list)
					if r.State != tt.state || !errors.Is(r.Err, tt.cause) || r.Step != "hang" {
						t.Errorf("%s in %q: %v", r.State, r.Step, r.Err)
					}
					if d := cmp.Diff(want, k.reaped); d != "" {
						t.Error("reaped:", d)
					}
					if len(k.ledger.rows) != 0 || time.Since(start) != 0 {
						t.Errorf("left %v after %s", k.ledger.names(), time.Since(start))
					}
				})
			})
		}
	}
}

func TestCancelBetweenSteps(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	steps := []Step{{Name: "first", Do: func(context.Context, *Session) error { cancel(ErrCanceled); return nil }}, takes("never")}
	if r := k.Run(ctx, k.session, steps); r.State != Canceled || !errors.Is(r.Err, ErrCanceled) {
		t.Errorf("%+v", r)
	}
	if len(k.reaped) != 0 {
		t.Errorf("reaped %v: the second step ran", k.reaped)
	}
}

// A cancel that comes when the last step is through comes too late.
func TestCancelAfterTheLastStep(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	r := k.Run(ctx, k.session, []Step{{Name: "last", Do: func(context.Context, *Session) error { cancel(ErrCanceled); return nil }}})
	if r.State != Succeeded || r.Err != nil {
		t.Errorf("%+v", r)
	}
}

// Reapers that fail, panic or are missing are told in the log, stay in the ledger, and keep nothing else from being reaped.
func TestReaperFailures(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.stuck["stuck"] = errors.New("device busy")
	k.ledger.fail["release unreleased"] = syscall.ENOSPC
	k.Reapers["bomb"] = ReaperFunc(func(context.Context, Resource) error { panic("boom") })
	intend := func(kind ResourceKind, name string) Step {
		return Step{Name: name, Do: func(ctx context.Context, s *Session) error { return s.Ledger.Intend(ctx, s.Resource(kind, name)) }}
	}
	r := k.Run(t.Context(), k.session, []Step{takes("vm"), takes("stuck"), intend("bomb", "bomb"), intend("satellite", "moon"), takes("unreleased"), takes("disk")})
	if r.State != Succeeded || r.Err != nil {
		t.Errorf("%+v", r)
	}
	if d := cmp.Diff([]string{"stuck", "bomb", "moon", "unreleased"}, k.ledger.names()); d != "" {
		t.Error("still in the ledger:", d)
	}
	for _, want := range []string{
		"could not remove the machine stuck: device busy; it is tried again when the daemon starts",
		"could not remove the bomb bomb: the reaper panicked: boom",
		"could not remove the satellite moon: nothing knows how to remove a satellite",
		"could not remove the machine unreleased: no space left on device",
	} {
		if !strings.Contains(k.events.text(), want) {
			t.Errorf("the log lacks %q:\n%s", want, k.events.text())
		}
	}
	clear(k.stuck)
	clear(k.ledger.fail)
	k.Reapers["bomb"], k.Reapers["satellite"] = k.Reapers[KindDir], k.Reapers[KindDir]
	if err := k.Reapers.ReapAll(t.Context(), k.ledger, "", func(r Resource, err error) { t.Error(r, err) }); err != nil || len(k.ledger.rows) != 0 {
		t.Errorf("the next daemon: %v, left %v", err, k.ledger.names())
	}
}

func TestUnreadableLedgerIsTold(t *testing.T) {
	t.Parallel()
	for _, on := range []OnError{OnErrorCleanup, OnErrorAbort} {
		k := newKiln(t)
		k.session.Plan.Options.OnError = on
		k.ledger.fail["held"] = errors.New("database is locked")
		r := k.Run(t.Context(), k.session, []Step{takes("vm"), fails(errors.New("exit 3"))})
		if r.State != Failed || !strings.Contains(k.events.text(), "database is locked") {
			t.Errorf("%s: %+v\n%s", on, r, k.events.text())
		}
	}
}

// What runs at the end of a build cannot end the daemon either.
func TestPanicsAtTheEnd(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.session.Guest, k.session.Plan.ErrorCleanup = guest{}, &ProvisionPlan{}
	k.Diagnose = func(context.Context, *Session, error) error { panic("no screen") }
	k.ErrorCleanup = func(context.Context, *Session) error { panic("no shell") }
	closed := false
	k.session.CloseAtEnd(closerFunc(func() error { closed = true; return nil }))
	k.session.CloseAtEnd(closerFunc(func() error { panic("closed twice") }))
	r := k.Run(t.Context(), k.session, []Step{takes("vm"), fails(errors.New("exit 3"))})
	if r.State != Failed || r.Err.Error() != "exit 3" || !closed {
		t.Errorf("%+v, closed %v", r, closed)
	}
	if d := cmp.Diff([]string{"vm"}, k.reaped); d != "" {
		t.Error(d)
	}
	if text := k.events.text(); !strings.Contains(text, "no screen") || !strings.Contains(text, "no shell") {
		t.Error(text)
	}
}

func TestDiagnoseSeesTheMachineAndAddsToTheError(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.Diagnose = func(ctx context.Context, s *Session, err error) error {
		held, heldErr := s.Ledger.Held(ctx, s.Build)
		if len(held) != 1 || heldErr != nil || ctx.Err() != nil {
			t.Errorf("held %v, %v; context %v", held, heldErr, ctx.Err())
		}
		return fmt.Errorf("%w; the last screen is in screen.png", err)
	}
	gone := Step{Name: "wait", Do: func(ctx context.Context, s *Session) error { s.Abort(ErrMachineGone); return context.Cause(ctx) }}
	r := k.Run(t.Context(), k.session, []Step{takes("vm"), gone})
	if !errors.Is(r.Err, ErrMachineGone) || !strings.HasSuffix(r.Err.Error(), "screen.png") || r.Step != "wait" {
		t.Errorf("%+v", r)
	}
}

// The end of a cancelled build has a bound of its own, and its context is not the cancelled one.
func TestCleanUpIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newKiln(t)
		var calls atomic.Int32
		k.Reapers[KindMachine] = ReaperFunc(func(ctx context.Context, _ Resource) error {
			if calls.Add(1) == 1 && ctx.Err() != nil {
				t.Error("the reaper got a context that had ended")
			}
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(ErrCanceled)
		if err := k.ledger.Intend(t.Context(), k.session.Resource(KindMachine, "vm")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if r := k.Run(ctx, k.session, []Step{takes("never")}); r.State != Canceled {
			t.Errorf("%+v", r)
		}
		if took := time.Since(began); took != cleanupGrace || len(k.ledger.rows) != 1 {
			t.Errorf("took %s, ledger %v", took, k.ledger.names())
		}
	})
}
