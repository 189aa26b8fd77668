package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
)

// defaultBootWait is Packer's.
const defaultBootWait = 10 * time.Second

// typeBoot waits for the boot prompt and types the boot command.
func (t *Set) typeBoot(ctx context.Context, s *build.Session) error {
	boot := s.Plan.Boot
	text := bootText(boot)
	if text == "" || boot.DisableVNC {
		return nil
	}
	rendered, err := t.renderer(s)(text, nil)
	if err != nil {
		return fmt.Errorf("boot_command: %w", err)
	}
	program, warnings, err := bootcmd.Parse(rendered)
	if err != nil {
		return fmt.Errorf("boot_command: %w", err)
	}
	for _, w := range warnings {
		s.Log.Message("warning: boot_command: %s", w)
	}
	keyboard, ok := s.Machine.(hypervisor.Keyboard)
	if !ok {
		return fmt.Errorf("boot_command: driver %s cannot type: %w", s.Driver.Name(), hypervisor.ErrUnsupported)
	}
	player := bootcmd.Player{Keyboard: keyboard, Pace: boot.BootKeyInterval.Or(0), On: tellLooks(s)}
	look := newEyes(s)
	if err := look.ready(program); err != nil {
		return fmt.Errorf("boot_command: %w", err)
	}
	player.Eyes = look
	if err := bootWait(ctx, s, boot.BootWait.Or(defaultBootWait)); err != nil {
		return err
	}
	return t.play(ctx, s, player, program)
}

// play types the boot command. What the guest fetches counts from here.
func (t *Set) play(ctx context.Context, s *build.Session, player bootcmd.Player, program bootcmd.Program) error {
	s.Log.Say("Typing the boot command...")
	if f := seedFetches(s); f != nil {
		f.start()
	}
	began := t.Now()
	if err := player.Play(ctx, program); err != nil {
		return fmt.Errorf("boot_command: %w", err)
	}
	typed := fmt.Sprintf("%d key events in %.1f s", len(program.Events()), t.Now().Sub(began).Seconds())
	s.Log.Message("typed %s", typed)
	s.Log.Mark(build.MarkTyped, typed)
	return nil
}

// tellLooks tells of waits that take as long as the machine does.
func tellLooks(s *build.Session) func(bootcmd.Op) {
	return func(op bootcmd.Op) {
		switch op := op.(type) {
		case bootcmd.WaitScreen:
			s.Log.Message("waiting until the screen stands still, for %s at most", op.Limit)
		case bootcmd.WaitSeed:
			s.Log.Message("waiting until the guest fetches something, for %s at most", op.Limit)
		}
	}
}

func bootText(boot hypervisor.BootArgs) string {
	var b strings.Builder
	for _, line := range boot.BootCommand {
		b.WriteString(line)
	}
	for _, step := range boot.BootSteps {
		if len(step) > 0 {
			b.WriteString(step[0])
		}
	}
	return b.String()
}

func bootWait(ctx context.Context, s *build.Session, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	s.Log.Say("Waiting %s for boot...", d)
	return sleep(ctx, d)
}

// sleep waits for d or the end of ctx, whose cause it returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errNoGuest = errors.New("no guest is connected")
