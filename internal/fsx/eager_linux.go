package fsx

import (
	"os"

	"golang.org/x/sys/unix"
)

// beginWrite has the pages of a range written, and does not wait for it. It is only advice: the sync that follows tells what
// went wrong.
func beginWrite(f *os.File, offset, length int64) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), offset, length, unix.SYNC_FILE_RANGE_WRITE)
	})
}
