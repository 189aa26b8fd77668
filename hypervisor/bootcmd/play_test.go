package bootcmd_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
)

// recorder is a keyboard that remembers what was typed and when.
type recorder struct {
	calls [][]hypervisor.KeyEvent
	at    []time.Time
	pace  time.Duration
	fail  error
}

func (r *recorder) Type(ctx context.Context, keys []hypervisor.KeyEvent, pace time.Duration) error {
	r.calls, r.at, r.pace = append(r.calls, keys), append(r.at, time.Now()), pace
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.fail
}

func parse(t *testing.T, text string) bootcmd.Program {
	t.Helper()
	p, _, err := bootcmd.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kb, began := &recorder{}, time.Now()
		var told []string
		err := bootcmd.Play(t.Context(), parse(t, "ab<wait5>c<wait2m>"), kb, 7*time.Millisecond, func(op bootcmd.Op) {
			told = append(told, op.Source())
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"ab", "<wait5>", "c", "<wait2m>"}, told); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([][]hypervisor.KeyEvent{events("a b"), events("c")}, kb.calls); diff != "" {
			t.Error(diff)
		}
		if kb.pace != 7*time.Millisecond {
			t.Errorf("pace %s", kb.pace)
		}
		if got := kb.at[1].Sub(began); got != 5*time.Second {
			t.Errorf("c was typed after %s", got)
		}
		if got := time.Since(began); got != 125*time.Second {
			t.Errorf("the program took %s", got)
		}
	})
}

func TestPlayStops(t *testing.T) {
	t.Parallel()
	gone := errors.New("the machine is gone")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		began := time.Now()
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if err := bootcmd.Play(ctx, parse(t, "a<wait1h>b"), &recorder{}, 0, nil); !errors.Is(err, gone) {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("stopped after %s", took)
		}
		kb := &recorder{}
		if err := bootcmd.Play(ctx, parse(t, "a"), kb, 0, nil); !errors.Is(err, gone) || len(kb.calls) != 0 {
			t.Errorf("err = %v, typed %v after the end", err, kb.calls)
		}
	})
}

func TestPlayReportsTheKeyboard(t *testing.T) {
	t.Parallel()
	broken := errors.New("monitor closed")
	err := bootcmd.Play(t.Context(), parse(t, "ls<enter>"), &recorder{fail: broken}, 0, nil)
	if !errors.Is(err, broken) || err.Error() != `type "ls<enter>": monitor closed` {
		t.Errorf("err = %v", err)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	if got := parse(t, "aB<wait3>").Duration(10 * time.Millisecond); got != 3*time.Second+60*time.Millisecond {
		t.Errorf("%s", got)
	}
}
