package build

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The table of packer build -on-error: which of the two clean-ups run when a step fails.
func TestOnError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		on               OnError
		answer           string
		provisioner      bool // the error-cleanup-provisioner runs
		reaped, released []string
	}{
		{on: "", provisioner: true, reaped: []string{"vm"}},
		{on: OnErrorCleanup, provisioner: true, reaped: []string{"vm"}},
		{on: OnErrorAbort, released: []string{"vm"}},
		{on: OnErrorRunCleanup, provisioner: true, released: []string{"vm"}},
		{on: OnErrorAsk, answer: answerCleanup, provisioner: true, reaped: []string{"vm"}},
		{on: OnErrorAsk, answer: answerAbort, released: []string{"vm"}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %s", tt.on, tt.answer), func(t *testing.T) {
			t.Parallel()
			k := newKiln(t)
			k.session.Plan.Options.OnError = tt.on
			k.session.Plan.ErrorCleanup, k.session.Guest = &ProvisionPlan{Type: "shell"}, guest{}
			cleaned := false
			k.ErrorCleanup = func(context.Context, *Session) error { cleaned = true; return nil }
			if tt.answer != "" {
				k.session.Ask = askerFunc(func(_ context.Context, q Question) (string, error) {
					step, choices := q.Step, q.Choices
					if d := cmp.Diff([]string{answerCleanup, answerAbort, answerRetry}, choices); d != "" || step != "fail" {
						t.Errorf("asked at %q: %s", step, d)
					}
					return tt.answer, nil
				})
			}
			r := k.Run(t.Context(), k.session, []Step{takes("vm"), fails(errors.New("exit 3"))})
			if r.State != Failed || r.Err.Error() != "exit 3" {
				t.Errorf("%+v", r)
			}
			if cleaned != tt.provisioner {
				t.Errorf("the error-cleanup-provisioner ran: %v", cleaned)
			}
			if d := cmp.Diff(tt.reaped, k.reaped); d != "" {
				t.Error("reaped:", d)
			}
			if len(k.ledger.rows) != 0 {
				t.Errorf("what is left to the user is not ours any more, yet the ledger holds %v", k.ledger.names())
			}
			for _, name := range tt.released {
				if !strings.Contains(k.events.text(), "Leaving the machine "+name) {
					t.Error("the log does not say what was left:\n", k.events.text())
				}
			}
		})
	}
}

func TestRetryRunsTheStepAgain(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.session.Plan.Options.OnError = OnErrorAsk
	asked := 0
	k.session.Ask = askerFunc(func(context.Context, Question) (string, error) { asked++; return answerRetry, nil })
	tries := 0
	flaky := Step{Name: "flaky", Do: func(context.Context, *Session) error {
		tries++
		switch tries {
		case 1:
			return errors.New("mirror is down")
		case 2:
			panic("half open")
		}
		return nil
	}}
	if r := k.Run(t.Context(), k.session, []Step{takes("vm"), flaky, takes("later")}); r.State != Succeeded || asked != 2 || tries != 3 {
		t.Errorf("%+v after %d tries and %d questions", r, tries, asked)
	}
	if d := cmp.Diff([]string{"later", "vm"}, k.reaped); d != "" {
		t.Error(d)
	}
}

func TestNobodyIsAskedAboutACancelledStep(t *testing.T) {
	t.Parallel()
	k := newKiln(t) // its asker fails the test
	k.session.Plan.Options.OnError = OnErrorAsk
	ctx, cancel := context.WithCancelCause(t.Context())
	began := make(chan struct{})
	go func() { <-began; cancel(ErrCanceled) }()
	if r := k.Run(ctx, k.session, []Step{takes("vm"), hangs("hang", began)}); r.State != Canceled {
		t.Errorf("%+v", r)
	}
}

// A question that ends without an answer, because the build is cancelled or nobody listens, is answered by cleaning up.
func TestUnansweredQuestionCleansUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		cancel bool
		state  State
	}{{"nobody listens", false, Failed}, {"cancelled", true, Canceled}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newKiln(t)
			k.session.Plan.Options.OnError = OnErrorAsk
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			k.session.Ask = askerFunc(func(context.Context, Question) (string, error) {
				if tt.cancel {
					cancel(ErrCanceled)
				}
				return "", errors.New("no answer")
			})
			r := k.Run(ctx, k.session, []Step{takes("vm"), fails(errors.New("exit 3"))})
			if r.Err.Error() != "exit 3" || r.State != tt.state {
				t.Errorf("%+v", r)
			}
			if d := cmp.Diff([]string{"vm"}, k.reaped); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDebugPausesBetweenSteps(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.session.Plan.Options.Debug = true
	var paused []string
	k.session.Ask = askerFunc(func(_ context.Context, q Question) (string, error) {
		step, choices := q.Step, q.Choices
		paused = append(paused, step)
		return choices[0], nil
	})
	if r := k.Run(t.Context(), k.session, []Step{takes("a"), takes("b"), takes("c")}); r.State != Succeeded {
		t.Errorf("%+v", r)
	}
	if d := cmp.Diff([]string{"take a", "take b"}, paused); d != "" {
		t.Error(d)
	}
}

func TestCancelDuringADebugPause(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.session.Plan.Options.Debug = true
	ctx, cancel := context.WithCancelCause(t.Context())
	k.session.Ask = askerFunc(func(ctx context.Context, _ Question) (string, error) {
		cancel(ErrCanceled)
		<-ctx.Done()
		return "", ctx.Err()
	})
	r := k.Run(ctx, k.session, []Step{takes("a"), takes("b")})
	if r.State != Canceled || !errors.Is(r.Err, ErrCanceled) || r.Step != "take a" {
		t.Errorf("%+v", r)
	}
}

// The error-cleanup-provisioner needs a guest, and a cancel reaches it.
func TestErrorCleanupProvisioner(t *testing.T) {
	t.Parallel()
	t.Run("without a guest", func(t *testing.T) {
		t.Parallel()
		k := newKiln(t)
		k.session.Plan.ErrorCleanup = &ProvisionPlan{}
		k.ErrorCleanup = func(context.Context, *Session) error { t.Error("ran without a guest"); return nil }
		k.Run(t.Context(), k.session, []Step{fails(errors.New("exit 3"))})
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		k := newKiln(t)
		k.session.Plan.ErrorCleanup, k.session.Guest = &ProvisionPlan{}, guest{}
		ctx, cancel := context.WithCancelCause(t.Context())
		k.ErrorCleanup = func(ctx context.Context, _ *Session) error {
			cancel(ErrCanceled)
			<-ctx.Done()
			return context.Cause(ctx)
		}
		r := k.Run(ctx, k.session, []Step{takes("vm"), fails(errors.New("exit 3"))})
		if r.State != Failed || !strings.Contains(k.events.text(), ErrCanceled.Error()) || len(k.reaped) != 1 {
			t.Errorf("%+v, reaped %v\n%s", r, k.reaped, k.events.text())
		}
	})
}
