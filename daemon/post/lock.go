package post

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockRetry is how often a lock that somebody else holds is tried again; it is held for the time of one small write.
const lockRetry = 20 * time.Millisecond

// lockDir takes the lock of a directory, for a file in it that several builds change: the file itself is replaced and so
// cannot carry the lock. The kernel frees it when a process dies.
func lockDir(ctx context.Context, dir string) (unlock func() error, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = lock(ctx, d)
	if errors.Is(err, unix.EBADF) || errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EOPNOTSUPP) {
		// NFS locks only what is open for writing, which a directory cannot be.
		if err := d.Close(); err != nil {
			return nil, err
		}
		if d, err = os.OpenFile(filepath.Join(dir, ".boxkiln.lock"), os.O_RDWR|os.O_CREATE, 0o666); err != nil {
			return nil, err
		}
		err = lock(ctx, d)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %q: %w", dir, err), d.Close())
	}
	return d.Close, nil
}

func lock(ctx context.Context, f *os.File) error {
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-retry.C:
		}
	}
}
