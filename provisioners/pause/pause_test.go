package pause_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/pause"
)

func TestArgsCanBeDescribed(t *testing.T) {
	t.Parallel()
	schema.New("sleep", "", pause.SleepArgs{})
	schema.New("breakpoint", "", pause.BreakpointArgs{})
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, err := pause.NewSleep(json.RawMessage(`{"duration":"1h"}`), provisioners.Env{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var out bytes.Buffer
		if err := p.Provision(t.Context(), nil, &out); err != nil || time.Since(began) != time.Hour || out.String() != "Pausing 1h0m0s...\n" {
			t.Errorf("%v after %v: %q", err, time.Since(began), &out)
		}
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stop)
		if err := p.Provision(ctx, nil, &out); !errors.Is(err, stop) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestBreakpoint(t *testing.T) {
	t.Parallel()
	no := errors.New("the user cancelled")
	for name, tc := range map[string]struct {
		raw  string
		wait func(context.Context, string) error
		want error
		text string
	}{
		"asked":    {`{"note":"look"}`, func(_ context.Context, note string) error { return map[string]error{"look": no}[note] }, no, `note "look"`},
		"go on":    {`{}`, func(context.Context, string) error { return nil }, nil, "Pausing at breakpoint"},
		"disabled": {`{"disable":true,"note":"look"}`, func(context.Context, string) error { return no }, nil, "disabled"},
		"nobody":   {`{"note":"look"}`, nil, nil, "continuing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := pause.NewBreakpoint(json.RawMessage(tc.raw), provisioners.Env{Pause: tc.wait})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := p.Provision(t.Context(), nil, &out); !errors.Is(err, tc.want) || !strings.Contains(out.String(), tc.text) {
				t.Errorf("%v: %q", err, &out)
			}
		})
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`{}`, `{"duration":"soon"}`, `{"duration":"-1s"}`, `{"time":"1s"}`} {
		if pause.CheckSleep(json.RawMessage(bad)) == nil {
			t.Errorf("sleep took %s", bad)
		}
	}
	if pause.CheckBreakpoint(json.RawMessage(`{"nota":"x"}`)) == nil || pause.CheckBreakpoint(json.RawMessage(`{"note":"x"}`)) != nil {
		t.Error("breakpoint")
	}
}
