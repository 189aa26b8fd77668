// Package pause holds a build up: for a time (Packer's sleep provisioner), or until somebody says go on (its breakpoint).
package pause

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/provisioners"
)

// SleepArgs are the arguments of sleep. Source: packer provisioner/sleep.
type SleepArgs struct {
	Duration schema.Duration `json:"duration" doc:"How long to wait." arg:"required" guest:"no"`
}

// BreakpointArgs are the arguments of breakpoint. Source: packer provisioner/breakpoint.
type BreakpointArgs struct {
	Disable bool   `json:"disable" doc:"Do not stop here." guest:"no"`
	Note    string `json:"note" doc:"Text to show." guest:"no"`
}

func decode(raw json.RawMessage, typ string, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", typ, err)
	}
	return nil
}

// CheckSleep finds all that is wrong with the arguments of sleep.
func CheckSleep(raw json.RawMessage) error {
	_, err := NewSleep(raw, provisioners.Env{})
	return err
}

// UncachedBreakpoint tells why a breakpoint is reached in every build, or "" if it is disabled.
func UncachedBreakpoint(raw json.RawMessage) string {
	var a BreakpointArgs
	if err := decode(raw, "breakpoint", &a); err != nil || a.Disable {
		return ""
	}
	return "stops for the user"
}

// CheckBreakpoint finds all that is wrong with the arguments of breakpoint.
func CheckBreakpoint(raw json.RawMessage) error {
	_, err := NewBreakpoint(raw, provisioners.Env{})
	return err
}

type sleep time.Duration

// NewSleep makes a sleep provisioner. It is a provisioners.Factory.
func NewSleep(raw json.RawMessage, _ provisioners.Env) (provisioners.Provisioner, error) {
	var a SleepArgs
	if err := decode(raw, "sleep", &a); err != nil {
		return nil, err
	}
	if a.Duration <= 0 {
		return nil, errors.New("sleep: duration is missing; write it like \"10s\"")
	}
	return sleep(a.Duration), nil
}

// Provision waits.
func (s sleep) Provision(ctx context.Context, _ provisioners.Guest, out io.Writer) error {
	if _, err := fmt.Fprintf(out, "Pausing %v...\n", time.Duration(s)); err != nil {
		return err
	}
	t := time.NewTimer(time.Duration(s))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type breakpoint struct {
	args BreakpointArgs
	wait func(ctx context.Context, note string) error
}

// NewBreakpoint makes a breakpoint that waits for the user by env.Pause. Without that there is nobody to ask, and it says
// so and goes on, as a build in a queue must.
func NewBreakpoint(raw json.RawMessage, env provisioners.Env) (provisioners.Provisioner, error) {
	b := breakpoint{wait: env.Pause}
	if err := decode(raw, "breakpoint", &b.args); err != nil {
		return nil, err
	}
	return b, nil
}

// Provision waits for the user.
func (b breakpoint) Provision(ctx context.Context, _ provisioners.Guest, out io.Writer) error {
	text := "Pausing at breakpoint provisioner."
	switch {
	case b.args.Disable:
		text = "Breakpoint provisioner is disabled; continuing."
	case b.wait == nil:
		text = "Breakpoint provisioner: nobody can be asked in this build; continuing."
	}
	if b.args.Note != "" && !b.args.Disable {
		text = fmt.Sprintf("Breakpoint provisioner with note %q.\n%s", b.args.Note, text)
	}
	if _, err := fmt.Fprintln(out, text); err != nil {
		return err
	}
	if b.args.Disable || b.wait == nil {
		return nil
	}
	if err := b.wait(ctx, b.args.Note); err != nil {
		return fmt.Errorf("breakpoint: %w", err)
	}
	return nil
}
