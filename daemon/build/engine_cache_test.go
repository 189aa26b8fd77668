package build

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// A cached step is told and not run, and one that is not needed leaves no trace.
func TestCachedAndUnneededSteps(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	never := func(context.Context, *Session) error { t.Error("a step ran that was not to"); return nil }
	r := k.Run(t.Context(), k.session, []Step{
		{Name: "install", Do: never, Cached: func(*Session) string { return "cached, made 3 h ago" }},
		{Name: "freeze", Do: never, Needed: func(*Session) bool { return false }},
		{Name: "web", Cached: func(*Session) string { return "" }, Needed: func(*Session) bool { return true },
			Do: func(context.Context, *Session) error { return nil }},
	})
	if r.State != Succeeded {
		t.Fatalf("%+v", r)
	}
	want := "say   install: cached, made 3 h ago\nstep install cached cached, made 3 h ago\nstep web began\nstep web done\n"
	if d := cmp.Diff(want, k.events.text()); d != "" {
		t.Error(d)
	}
}

// Before a step is tried again its machine is put back, and when that fails the build ends with that.
func TestRetryRewinds(t *testing.T) {
	t.Parallel()
	for _, broken := range []bool{false, true} {
		k := newKiln(t)
		k.session.Plan.Options.OnError = OnErrorAsk
		k.session.Ask = askerFunc(func(context.Context, Question) (string, error) { return answerRetry, nil })
		var did []string
		step := Step{Name: "web",
			Do: func(context.Context, *Session) error {
				did = append(did, "do")
				if len(did) == 1 {
					return errors.New("exit 1")
				}
				return nil
			},
			Rewind: func(context.Context, *Session) error {
				did = append(did, "rewind")
				if broken {
					return errors.New("the checkpoint is gone")
				}
				return nil
			}}
		r := k.Run(t.Context(), k.session, []Step{step})
		if broken {
			if r.State != Failed || r.Err.Error() != "the checkpoint is gone" || len(did) != 2 {
				t.Errorf("%+v after %v", r, did)
			}
			continue
		}
		if d := cmp.Diff([]string{"do", "rewind", "do"}, did); d != "" || r.State != Succeeded {
			t.Errorf("%+v: %s", r, d)
		}
	}
}

// --keep holds a failed build with its machine until an answer or a cancel; then it ends as it failed.
func TestKeepHoldsAFailedBuild(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"answer", "cancel", "no machine"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			k := newKiln(t)
			k.session.Plan.Options.Keep = true
			if how != "no machine" {
				k.session.Machine = machine{}
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			asked := 0
			k.session.Ask = askerFunc(func(ctx context.Context, q Question) (string, error) {
				asked++
				if !q.Hold || !strings.Contains(q.Text, "boxkiln ssh b1") {
					t.Errorf("%+v", q)
				}
				if len(k.reaped) > 0 {
					t.Error("the machine is gone already")
				}
				if how == "cancel" {
					cancel(ErrCanceled)
					return "", context.Cause(ctx)
				}
				return q.Choices[0], nil
			})
			r := k.Run(ctx, k.session, []Step{takes("vm"), fails(errors.New("exit 3"))})
			if r.State != Failed || r.Err.Error() != "exit 3" {
				t.Errorf("%+v", r)
			}
			if held := asked == 1; held != (how != "no machine") {
				t.Errorf("%d questions", asked)
			}
			if d := cmp.Diff([]string{"vm"}, k.reaped); d != "" {
				t.Error(d)
			}
		})
	}
}

// machine is there, and nothing else.
type machine struct{ hypervisor.Machine }
