//go:build !linux

package sendfile

import (
	"io"
	"os"
)

// send sends what limit leaves of f, in the way of the system's connections.
func (c conn) send(_ *os.File, limit *io.LimitedReader) (int64, error) {
	return c.TCPConn.ReadFrom(limit)
}
