package fsx

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Free is how many bytes an unprivileged process may still write below dir.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(min(st.Bavail*uint64(st.Bsize), math.MaxInt64)), nil
}
