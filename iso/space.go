package iso

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrDiskFull is matched by every error that says that a medium did not fit on the disk.
var ErrDiskFull = errors.New("disk full")

// DiskFullError tells where space was missing and how much.
type DiskFullError struct {
	Dir  string
	Need int64 // bytes that still had to be written; 0 if the server did not say
	Free int64 // bytes that the directory had left
}

// Error names the directory, the bytes and the remedy.
func (e *DiskFullError) Error() string {
	need := "more space than there is"
	if e.Need > 0 {
		need = fmt.Sprintf("%d more bytes", e.Need)
	}
	return fmt.Sprintf("disk full: directory %s needs %s and has %d free: free some space, or keep the medium elsewhere with iso_target_path",
		e.Dir, need, e.Free)
}

// Unwrap makes the error match ErrDiskFull and the system's own number.
func (e *DiskFullError) Unwrap() []error { return []error{ErrDiskFull, syscall.ENOSPC} }

// isDiskFull recognises the ways in which a file system says that it takes no more.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
