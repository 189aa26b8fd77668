// Package bootcmd turns a template's boot command into key events.
//
// A boot command is what a person would type at a machine that starts from its installation medium: text, special keys
// such as <enter> and <f10>, keys held down with <leftCtrlOn> and let go with <leftCtrlOff>, and pauses such as
// <wait5s>. [Parse] reads it, without any effect, into a [Program] of typed steps; [Play] performs a program on a
// [hypervisor.Keyboard]. The same tables serve the drivers that speak other codes ([Keysym], [Scancode]) and turn
// key events back into text ([Echo]). All keys are those of a US keyboard, which is what firmware and boot loaders assume.
//
// The grammar is Packer's (packer-plugin-sdk bootcommand/boot_command.pigeon), a PEG with ordered choice. What it types
// without a word, because nobody could have meant it, comes back as a [Warning].
package bootcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Program is a boot command ready to be played.
type Program []Op

// Op is one step of a program: a [Keys] or a [Wait] today. It is sealed, so that a new kind of step is added here and
// every player has it.
type Op interface {
	// Source is the part of the boot command that the step was made from.
	Source() string
	play(ctx context.Context, kb hypervisor.Keyboard, pace time.Duration) error
}

// Keys presses and releases keys, in order.
type Keys struct {
	Text   string // as written; empty for the keys that the program lets go of at its end
	Events []hypervisor.KeyEvent
}

// Source implements Op.
func (k Keys) Source() string { return k.Text }

func (k Keys) play(ctx context.Context, kb hypervisor.Keyboard, pace time.Duration) error {
	if err := kb.Type(ctx, k.Events, pace); err != nil {
		return fmt.Errorf("type %q: %w", k.Text, err)
	}
	return nil
}

// Wait pauses.
type Wait struct {
	Text string // as written
	For  time.Duration
}

// Source implements Op.
func (w Wait) Source() string { return w.Text }

func (w Wait) play(ctx context.Context, _ hypervisor.Keyboard, _ time.Duration) error {
	t := time.NewTimer(w.For)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Play performs the program on kb with no two key events closer than pace. Each step is told to on, which may be nil,
// before it begins. When ctx ends, Play returns its cause at once; keys may then still be down.
func Play(ctx context.Context, p Program, kb hypervisor.Keyboard, pace time.Duration, on func(Op)) error {
	for _, op := range p {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if on != nil {
			on(op)
		}
		if err := op.play(ctx, kb, pace); err != nil {
			return err
		}
	}
	return nil
}

// Events returns all key events of the program, without its pauses.
func (p Program) Events() []hypervisor.KeyEvent {
	var all []hypervisor.KeyEvent
	for _, op := range p {
		if k, ok := op.(Keys); ok {
			all = append(all, k.Events...)
		}
	}
	return all
}

// Duration is the least time that playing the program takes: its pauses, and pace after each key event.
func (p Program) Duration(pace time.Duration) time.Duration {
	var total time.Duration
	for _, op := range p {
		switch op := op.(type) {
		case Keys:
			total += time.Duration(len(op.Events)) * pace
		case Wait:
			total += op.For
		}
	}
	return total
}
