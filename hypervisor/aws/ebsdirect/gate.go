package ebsdirect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// gate lets as many calls through at once as the service takes. It is halved when calls are throttled, once for all that were on
// their way then, and grows by one with every limit's worth of calls that went well: as TCP finds the rate of a path.
type gate struct {
	mu    sync.Mutex
	limit float64
	most  float64
	busy  int
	// generation counts the halvings: a call that began before the last one says nothing new.
	generation int
	free       chan struct{} // closed, and made anew, when a call ends or the limit grows
}

func newGate(most int) *gate {
	return &gate{limit: float64(most), most: float64(most), free: make(chan struct{})}
}

// enter waits for room. The generation is for leave.
func (g *gate) enter(ctx context.Context) (generation int, err error) {
	for {
		g.mu.Lock()
		if float64(g.busy) < g.limit {
			g.busy++
			generation = g.generation
			g.mu.Unlock()
			return generation, nil
		}
		free := g.free
		g.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// leave ends a call, which was throttled or not.
func (g *gate) leave(generation int, throttled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	switch {
	case throttled && generation == g.generation:
		g.generation++
		g.limit = max(1, g.limit/2)
	case !throttled:
		g.limit = min(g.most, g.limit+1/g.limit)
	}
	close(g.free)
	g.free = make(chan struct{})
}

// again does something until it succeeds, is refused for good, or was tried often enough. With a gate each try passes through it.
func (w *writer) again(ctx context.Context, g *gate, do func() error) error {
	pause := w.FirstPause
	for n := 1; ; n++ {
		err := through(ctx, g, do)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !passing(err):
			return err
		case n == w.Tries:
			return fmt.Errorf("tried %d times: %w", n, err)
		}
		// Between half of the pause and all of it, so that those who were throttled together do not come back together.
		if err := netx.Pause(ctx, pause/2+rand.N(pause/2+1)); err != nil {
			return err
		}
		pause = min(2*pause, w.LastPause)
	}
}

func through(ctx context.Context, g *gate, do func() error) error {
	if g == nil {
		return do()
	}
	generation, err := g.enter(ctx)
	if err != nil {
		return err
	}
	err = do()
	g.leave(generation, account.IsThrottled(err))
	return err
}

// retryable is the SDK's judgement: connections that break, answers of 500 and up, throttling.
var retryable = retry.IsErrorRetryables(retry.DefaultRetryables)

// momentary are reasons for which a block may be refused and be taken the next time.
var momentary = []ebstypes.ValidationExceptionReason{
	ebstypes.ValidationExceptionReasonConflictingBlockUpdate, ebstypes.ValidationExceptionReasonWriteRequestTimeout,
}

// passing tells an error that may be gone the next time.
func passing(err error) bool {
	if v, ok := errors.AsType[*ebstypes.ValidationException](err); ok {
		return slices.Contains(momentary, v.Reason)
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, errTransit) || account.IsThrottled(err) || retryable.IsErrorRetryable(err) == aws.TrueTernary
}

// errTransit says that a block did not arrive as it was sent.
var errTransit = errors.New("the service has received other bytes than were sent")
