package vagrantapi

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
)

// meter knows how much of a body was sent.
type meter struct {
	gin.ResponseWriter
	sent int64
}

// Write implements io.Writer.
func (m *meter) Write(p []byte) (int, error) {
	n, err := m.ResponseWriter.Write(p)
	m.sent += int64(n)
	return n, err
}

// span is the stretch of a file of a size that was sent. It reports false for answers that were no stretch.
func (m *meter) span(size int64) (span, bool) {
	switch m.Status() {
	case http.StatusOK:
		return span{0, m.sent}, true
	case http.StatusPartialContent:
		// "bytes 5-19/20"; an answer of several stretches has none of it.
		text, ok := strings.CutPrefix(m.Header().Get("Content-Range"), "bytes ")
		first, _, _ := strings.Cut(text, "-")
		from, err := strconv.ParseInt(first, 10, 64)
		return span{from, min(from+m.sent, size)}, ok && err == nil
	}
	return span{}, false
}

// kernelWriter lets the kernel copy a file to the socket. Gin's writer hides the connection's ReadFrom, and without it
// every byte passes through our memory; headers and status still go through gin, so that it knows what was sent.
type kernelWriter struct {
	*meter
	raw io.ReaderFrom
}

// newKernelWriter unwraps w down to the writer that the server made.
func newKernelWriter(w gin.ResponseWriter) (http.ResponseWriter, *meter) {
	m := &meter{ResponseWriter: w}
	var raw http.ResponseWriter = w
	for {
		u, ok := raw.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		raw = u.Unwrap()
	}
	if rf, ok := raw.(io.ReaderFrom); ok {
		return kernelWriter{m, rf}, m
	}
	return m, m
}

// ReadFrom implements io.ReaderFrom. src must reach the connection as it is: a *os.File, limited or not.
func (w kernelWriter) ReadFrom(src io.Reader) (int64, error) {
	w.WriteHeaderNow()
	n, err := w.raw.ReadFrom(src)
	w.sent += n
	return n, err
}
