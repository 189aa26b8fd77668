// Package bootcmd turns a template's boot command into key events.
//
// A boot command is what a person would type at a machine that starts from its installation medium: text, special keys
// such as <enter> and <f10>, keys held down with <leftCtrlOn> and let go with <leftCtrlOff>, pauses such as <wait5s>,
// and waits that look at the machine: <waitScreen>, <waitSeed>. [Parse] reads it, without any effect, into a [Program]
// of typed steps; a [Player] performs a program on a [hypervisor.Keyboard] and sees with [Eyes]. The same tables serve
// the drivers that speak other codes ([Keysym], [Scancode]) and turn key events back into text ([Echo]). All keys are
// those of a US keyboard, which is what firmware and boot loaders assume.
//
// The grammar is Packer's (packer-plugin-sdk bootcommand/boot_command.pigeon), a PEG with ordered choice, and the waits
// that look, which Packer types as they stand. What is typed without a word, because nobody could have meant it, comes
// back as a [Warning].
package bootcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Program is a boot command ready to be played.
type Program []Op

// Op is one step of a program: [Keys], [Wait], [WaitScreen] or [WaitSeed]. It is sealed, so that a new kind of step is
// added here and every player has it.
type Op interface {
	// Source is the part of the boot command that the step was made from.
	Source() string
	play(ctx context.Context, p Player) error
}

// Keys presses and releases keys, in order.
type Keys struct {
	Text   string // as written; empty for the keys that the program lets go of at its end
	Events []hypervisor.KeyEvent
}

// Source implements Op.
func (k Keys) Source() string { return k.Text }

func (k Keys) play(ctx context.Context, p Player) error {
	if err := p.Keyboard.Type(ctx, k.Events, p.Pace); err != nil {
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

func (w Wait) play(ctx context.Context, _ Player) error {
	t := time.NewTimer(w.For)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Player performs programs on one machine.
type Player struct {
	Keyboard hypervisor.Keyboard
	Pace     time.Duration // no two key events are closer than this
	Eyes     Eyes          // for waits that look at the machine; nil if nobody can
	On       func(Op)      // told each step before it begins; may be nil
}

// Play performs a program. When ctx ends, it returns the cause at once; keys may then still be down.
func (p Player) Play(ctx context.Context, prog Program) error {
	for _, op := range prog {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if p.On != nil {
			p.On(op)
		}
		if err := op.play(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// Play performs a program that needs no eyes on kb with no two key events closer than pace; see [Player.Play]. Each step
// is told to on, which may be nil, before it begins.
func Play(ctx context.Context, p Program, kb hypervisor.Keyboard, pace time.Duration, on func(Op)) error {
	return Player{Keyboard: kb, Pace: pace, On: on}.Play(ctx, p)
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

// Duration is the least time that playing the program takes: its pauses, the moment that a picture has to stand still,
// and pace after each key event.
func (p Program) Duration(pace time.Duration) time.Duration {
	var total time.Duration
	for _, op := range p {
		switch op := op.(type) {
		case Keys:
			total += time.Duration(len(op.Events)) * pace
		case Wait:
			total += op.For
		case WaitScreen:
			total += Stillness
		}
	}
	return total
}
