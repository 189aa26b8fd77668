package bootcmd_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
)

func TestParseWaitsThatLook(t *testing.T) {
	t.Parallel()
	screen := func(text string, d time.Duration) bootcmd.Op { return bootcmd.WaitScreen{Text: text, Limit: d} }
	seed := func(text string, d time.Duration) bootcmd.Op { return bootcmd.WaitSeed{Text: text, Limit: d} }
	tests := map[string]bootcmd.Program{
		"<waitScreen>":          {screen("<waitScreen>", bootcmd.DefaultLimit)},
		"<WAITSCREEN>":          {screen("<WAITSCREEN>", bootcmd.DefaultLimit)},
		"<waitscreen30>":        {screen("<waitscreen30>", 30*time.Second)},
		"<waitScreen1m20s>":     {screen("<waitScreen1m20s>", 80*time.Second)},
		"<waitSeed>":            {seed("<waitSeed>", bootcmd.DefaultLimit)},
		"<WaitSeed90s>":         {seed("<WaitSeed90s>", 90*time.Second)},
		"a<waitSeed>b<wait>":    {keys("a", "a"), seed("<waitSeed>", bootcmd.DefaultLimit), keys("b", "b"), bootcmd.Wait{Text: "<wait>", For: time.Second}},
		"<waitScreen><enter>":   {screen("<waitScreen>", bootcmd.DefaultLimit), keys("<enter>", "ret")},
		"<aOn><waitSeed><aOff>": {keys("<aOn>", "+a"), seed("<waitSeed>", bootcmd.DefaultLimit), keys("<aOff>", "-a")},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, warnings, err := bootcmd.Parse(text)
			if err != nil || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseMistakesInWaitsThatLook(t *testing.T) {
	t.Parallel()
	for text, message := range map[string]string{
		"<waitScreen0>":           "write for example <waitScreen2m>",
		"<waitSeed-5s>":           "longer than zero",
		"<waitSeed99999999h>":     "is not a time",
		"<waitscreen1m-30s>":      "is not a time",
		"<waitScreen99999999999>": "is not a time",
	} {
		p, _, err := bootcmd.Parse(text)
		var e *bootcmd.Error
		if !errors.As(err, &e) || p != nil || !strings.Contains(e.Message, message) {
			t.Errorf("%s: %v, %v; want %q", text, p, err, message)
		}
	}
	for text, near := range map[string]string{
		"<waitScren>": "<waitScreen>?", "<waitSeeds>": "<waitSeed>?", "<waitSeed5x>": "<waitSeed>?", "<waitSeed05>": "<waitSeed>?",
	} {
		p, warnings, err := bootcmd.Parse(text)
		if err != nil || echo(p) != text || len(warnings) != 1 || !strings.Contains(warnings[0].Message, near) {
			t.Errorf("%s: types %q, warns %v, %v", text, echo(p), warnings, err)
		}
	}
}

func TestLooks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]bool{
		"ab<wait>": {}, "<waitScreen>": {true, false}, "a<waitSeed3>": {false, true}, "<waitSeed><waitScreen>": {true, true},
	} {
		screen, seed := parse(t, text).Looks()
		if got := [2]bool{screen, seed}; got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if d := parse(t, "a<waitScreen><waitSeed>").Duration(0); d != bootcmd.Stillness {
		t.Errorf("lasts %s", d)
	}
}

// watcher is a pair of eyes that see after a while.
type watcher struct {
	still, fetched time.Duration
	fail           error
	asked          []string
}

func (w *watcher) see(ctx context.Context, what string, after time.Duration) error {
	w.asked = append(w.asked, what)
	select {
	case <-time.After(after):
		return w.fail
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *watcher) Still(ctx context.Context, d time.Duration) error {
	return w.see(ctx, "still for "+d.String(), w.still)
}

func (w *watcher) Fetched(ctx context.Context) error { return w.see(ctx, "fetched", w.fetched) }

func TestPlayLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kb, began := &recorder{}, time.Now()
		eyes := &watcher{still: 7 * time.Second, fetched: time.Minute}
		err := bootcmd.Player{Keyboard: kb, Eyes: eyes}.Play(t.Context(), parse(t, "<waitScreen>a<waitSeed>b"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"still for 1s", "fetched"}, eyes.asked); diff != "" {
			t.Error(diff)
		}
		at := []time.Duration{kb.at[0].Sub(began), kb.at[1].Sub(began)}
		if diff := cmp.Diff([]time.Duration{7 * time.Second, 67 * time.Second}, at); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPlayGivesUpLooking(t *testing.T) {
	t.Parallel()
	broken, gone := errors.New("no picture"), errors.New("the machine is gone")
	for name, tc := range map[string]struct {
		text string
		eyes *watcher
		stop time.Duration
		want error
		says []string
		took time.Duration
	}{
		"screen":       {"<waitScreen>a", &watcher{still: time.Hour}, 0, bootcmd.ErrNotSeen, []string{"<waitScreen>: ", "picture did not stand still for 5m0s", "<waitScreen15m>"}, 5 * time.Minute},
		"seed":         {"<waitseed20s>a", &watcher{fetched: time.Hour}, 0, bootcmd.ErrNotSeen, []string{"<waitseed20s>: ", "fetched nothing from the seed server for 20s", "<waitseed15m>"}, 20 * time.Second},
		"eyes fail":    {"<waitScreen>a", &watcher{fail: broken}, 0, broken, []string{"<waitScreen>: no picture"}, 0},
		"build's end":  {"<waitSeed>a", &watcher{fetched: time.Hour}, time.Second, gone, []string{"the machine is gone"}, time.Second},
		"just in time": {"<waitSeed5>", &watcher{fetched: 4 * time.Second}, 0, nil, nil, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tc.stop > 0 {
					time.AfterFunc(tc.stop, func() { cancel(gone) })
				}
				kb, began := &recorder{}, time.Now()
				err := bootcmd.Player{Keyboard: kb, Eyes: tc.eyes}.Play(ctx, parse(t, tc.text))
				if !errors.Is(err, tc.want) || len(kb.calls) > 0 || time.Since(began) != tc.took {
					t.Fatalf("%v after %s, typed %v", err, time.Since(began), kb.calls)
				}
				for _, part := range tc.says {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q does not say %q", err, part)
					}
				}
			})
		})
	}
}

func TestPlayWithoutEyes(t *testing.T) {
	t.Parallel()
	kb := &recorder{}
	err := bootcmd.Play(t.Context(), parse(t, "<waitSeed>a"), kb, 0, nil)
	if err == nil || !strings.Contains(err.Error(), "<waitSeed>: nobody looks") || len(kb.calls) > 0 {
		t.Errorf("%v, typed %v", err, kb.calls)
	}
}
