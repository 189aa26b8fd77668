package bootcmd

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Eyes look at the machine for the waits that end when something is seen. When ctx ends, they return its cause.
type Eyes interface {
	// Still returns nil when the machine's picture has not changed for d.
	Still(ctx context.Context, d time.Duration) error
	// Fetched returns nil when the guest fetched something from the seed server since the boot command began, or since
	// the last call that returned nil.
	Fetched(ctx context.Context) error
}

const (
	// Stillness is how long a picture has to stand still for <waitScreen>.
	Stillness = time.Second
	// DefaultLimit is how long <waitScreen> and <waitSeed> wait unless they name a time themselves.
	DefaultLimit = 5 * time.Minute
)

// ErrNotSeen says that what a wait looks for was not seen in time.
var ErrNotSeen = errors.New("not seen in time")

// errNoEyes is the error of waits that look when nobody can.
var errNoEyes = errors.New("nobody looks at the machine here; use a plain <wait5s>")

// WaitScreen waits until the machine's picture stands still.
type WaitScreen struct {
	Text  string // as written
	Limit time.Duration
}

// Source implements Op.
func (w WaitScreen) Source() string { return w.Text }

func (w WaitScreen) play(ctx context.Context, p Player) error {
	return look(ctx, p, w.Text, w.Limit, "the picture did not stand still", func(ctx context.Context) error {
		return p.Eyes.Still(ctx, Stillness)
	})
}

// WaitSeed waits until the guest has fetched something from the seed server.
type WaitSeed struct {
	Text  string // as written
	Limit time.Duration
}

// Source implements Op.
func (w WaitSeed) Source() string { return w.Text }

func (w WaitSeed) play(ctx context.Context, p Player) error {
	return look(ctx, p, w.Text, w.Limit, "the guest fetched nothing from the seed server", func(ctx context.Context) error {
		return p.Eyes.Fetched(ctx)
	})
}

// look calls see for at most limit. An error names the token, and missing if time ran out.
func look(ctx context.Context, p Player, token string, limit time.Duration, missing string, see func(context.Context) error) error {
	if p.Eyes == nil {
		return fmt.Errorf("%s: %w", token, errNoEyes)
	}
	late := fmt.Errorf("%w: %s for %s; look at the last screen, or name a longer time as in %s", ErrNotSeen, missing, limit, longer(token))
	limited, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	err := see(limited)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() != nil && !errors.Is(err, late):
		err = late
	}
	return fmt.Errorf("%s: %w", token, err)
}

// longer is an example of a token with a time of its own.
func longer(token string) string { return token[:lookLen(token)] + "15m>" }

// Looks tells which waits that look at the machine a program has.
func (p Program) Looks() (screen, seed bool) {
	for _, op := range p {
		switch op.(type) {
		case WaitScreen:
			screen = true
		case WaitSeed:
			seed = true
		}
	}
	return screen, seed
}
