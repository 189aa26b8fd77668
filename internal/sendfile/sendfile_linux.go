package sendfile

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// send sends what limit leaves of f, from where f is.
func (c conn) send(f *os.File, limit *io.LimitedReader) (written int64, err error) {
	to, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	from, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	for err == nil && limit.N > 0 {
		var n int
		var sendErr error
		writeErr := to.Write(func(socket uintptr) (done bool) {
			n, sendErr = c.turn(int(socket), from, int(min(limit.N, chunk)))
			return sendErr != unix.EAGAIN // else wait until the client has read something
		})
		written += int64(n)
		limit.N -= int64(n)
		switch {
		case writeErr != nil:
			return written, writeErr
		case sendErr != nil:
			return written, os.NewSyscallError("sendfile", sendErr)
		case n == 0: // the end of the file
			return written, nil
		}
	}
	return written, err
}

// raw is a file's side of syscall.RawConn.
type raw interface {
	Control(func(fd uintptr)) error
}

// turn sends one chunk, or what of it the socket takes.
func (c conn) turn(socket int, from raw, size int) (n int, err error) {
	defer c.turns.take()()
	controlErr := from.Control(func(file uintptr) {
		for {
			if n, err = unix.Sendfile(socket, int(file), nil, size); err != unix.EINTR {
				return
			}
		}
	})
	if controlErr != nil {
		return 0, controlErr
	}
	return max(n, 0), err
}
