// Package pipe widens pipes. A memory of half a gigabyte goes through two on its way out of a checkpoint, and with the 64 KiB that
// Linux gives a pipe each of its thousands of fillings is a change of process.
package pipe

import (
	"os"

	"golang.org/x/sys/unix"
)

// size is what anybody may ask for: /proc/sys/fs/pipe-max-size is 1 MiB unless somebody lowered it (pipe(7)).
const size = 1 << 20

// Widen makes a pipe as wide as may be. Where that is not permitted it stays as it was, and works.
func Widen(f *os.File) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size) })
}
