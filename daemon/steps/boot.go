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
	if err := bootWait(ctx, s, boot.BootWait.Or(defaultBootWait)); err != nil {
		return err
	}
	s.Log.Say("Typing the boot command...")
	began := t.Now()
	if err := bootcmd.Play(ctx, program, keyboard, boot.BootKeyInterval.Or(0), nil); err != nil {
		return err
	}
	s.Log.Message("typed %d key events in %.1f s", len(program.Events()), t.Now().Sub(began).Seconds())
	return nil
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
