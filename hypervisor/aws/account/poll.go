package account

import (
	"context"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/internal/netx"
)

// Poll asks for a state until it is reached.
type Poll struct {
	First, Last time.Duration // pauses between questions: they grow from one to the other
	Attempts    int           // questions, 0 for any number
	Grace       time.Duration // how long what was just made may be unknown
}

// Until asks until the answer is yes, ask fails, the attempts are used up or the context ends. what names the thing and the state,
// for errors: "ami-1 to be available". The first question is asked at once.
func (p Poll) Until(ctx context.Context, what string, ask func(ctx context.Context) (yes bool, err error)) error {
	return p.until(ctx, what, 0, ask)
}

// UntilSeen is Until for what was just made: for the time of Grace, errors for which [IsNotFound] holds mean "not yet".
func (p Poll) UntilSeen(ctx context.Context, what string, ask func(ctx context.Context) (yes bool, err error)) error {
	return p.until(ctx, what, p.Grace, ask)
}

func (p Poll) until(ctx context.Context, what string, grace time.Duration, ask func(ctx context.Context) (bool, error)) error {
	begin, pause := time.Now(), p.First
	for n := 1; ; n++ {
		yes, err := ask(ctx)
		switch {
		case ctx.Err() != nil && err != nil:
			return context.Cause(ctx)
		case err != nil && !(IsNotFound(err) && time.Since(begin) < grace):
			return err
		case yes && err == nil:
			return nil
		case n == p.Attempts:
			return fmt.Errorf("waited for %s, and asked %d times: raise max_attempts or delay_seconds of aws_polling", what, n)
		}
		if err := netx.Pause(ctx, pause); err != nil {
			return err
		}
		pause = min(pause*5/4+time.Millisecond, p.Last)
	}
}

// Settle does something that AWS refuses as long as something else is on its way, and does it again until it is accepted. waits tells
// which errors mean that; it is tried for the time of Grace, and then the error is returned.
func (p Poll) Settle(ctx context.Context, waits func(error) bool, do func(ctx context.Context) error) error {
	begin, pause := time.Now(), p.First
	for {
		err := do(ctx)
		if err == nil || !waits(err) || time.Since(begin) >= p.Grace {
			return err
		}
		if err := netx.Pause(ctx, pause); err != nil {
			return err
		}
		pause = min(pause*5/4+time.Millisecond, p.Last)
	}
}
