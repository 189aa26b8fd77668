package iso

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/boxkiln/boxkiln/internal/netx"
)

// lockPoll is how often a lock that another process holds is tried again; flock has no wait that ends with a context.
const lockPoll = 200 * time.Millisecond

// lockFile takes the lock of that path, waiting for other processes, and calls waiting each time it is found taken.
// The file stays: removing it would let two processes hold locks on two files of one name.
func lockFile(ctx context.Context, path string, waiting func()) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f.Close, nil // closing the file gives the lock back
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		waiting()
		if err := netx.Pause(ctx, lockPoll); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
}
