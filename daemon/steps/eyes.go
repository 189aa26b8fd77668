package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
)

// glance is the time between two pictures: a few a second, as under emulation each costs the guest time.
const glance = 200 * time.Millisecond

// eyes see for the boot command what a machine shows and fetches.
type eyes struct {
	screen  hypervisor.Screen // nil if the driver shows none
	fetches *fetches          // nil without a seed server
	driver  string
}

func newEyes(s *build.Session) eyes {
	screen, _ := s.Machine.(hypervisor.Screen)
	return eyes{screen: screen, fetches: seedFetches(s), driver: s.Driver.Name()}
}

// ready tells, before anything is typed, whether all that a program looks for can be seen.
func (e eyes) ready(p bootcmd.Program) error {
	screen, seed := p.Looks()
	if screen && e.screen == nil {
		return fmt.Errorf("<waitScreen>: driver %s shows no screen: %w; use a plain <wait10s>", e.driver, hypervisor.ErrUnsupported)
	}
	if seed && e.fetches == nil {
		return build.ErrNothingServed
	}
	return nil
}

// Fetched implements bootcmd.Eyes.
func (e eyes) Fetched(ctx context.Context) error { return e.fetches.Fetched(ctx) }

// Still implements bootcmd.Eyes. Pictures that cannot be taken for a while, as when the guest changes its video mode,
// count as a change.
func (e eyes) Still(ctx context.Context, d time.Duration) error {
	var view still
	var failed error // why there is no last picture
	for {
		began := time.Now()
		img, err := e.screen.Capture(ctx)
		switch {
		case ctx.Err() != nil:
			return ended(ctx, failed)
		case errors.Is(err, hypervisor.ErrUnsupported):
			return err
		case err != nil:
			view = still{}
		case view.show(img, began, time.Now()) >= d:
			return nil
		}
		failed = err
		if sleep(ctx, glance) != nil {
			return ended(ctx, failed)
		}
	}
}

// ended is why ctx ended, and what was in the way until then, if anything.
func ended(ctx context.Context, failed error) error {
	if failed == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w; the last picture could not be taken: %w", context.Cause(ctx), failed)
}
