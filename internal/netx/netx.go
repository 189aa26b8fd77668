// Package netx holds what every transfer needs: how long to wait before the next attempt, which faults pass, when the other
// side has fallen silent, and which part of a file an answer is.
package netx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Backoff is the pause before an attempt, counted from 0: half a second, doubled up to ten.
func Backoff(attempt int) time.Duration {
	return min(500*time.Millisecond<<min(attempt, 10), 10*time.Second)
}

// Pause waits for d, or until ctx ends, whose cause it then returns. When ctx has ended before, that comes first, however short d is.
func Pause(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// WithoutURL drops the URL that net/http puts into its errors: it may carry a credential in its query.
func WithoutURL(err error) error {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		return urlErr.Err
	}
	return err
}

// TemporaryStatus tells the answers that may be another one soon. A range that was refused counts: the whole may be had.
func TemporaryStatus(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusRequestedRangeNotSatisfiable:
		return true
	}
	return code >= 500 && code != http.StatusNotImplemented
}

// RestOfFile reads "bytes 5-9/10", the Content-Range of an answer with status 206; its end must be the end of the file.
func RestOfFile(contentRange string) (start, total int64, err error) {
	var end int64
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &start, &end, &total); err != nil {
		return 0, 0, fmt.Errorf("content-range %q: %w", contentRange, err)
	}
	if start < 0 || end != total-1 || start > end {
		return 0, 0, fmt.Errorf("content-range %q is not the rest of the file", contentRange)
	}
	return start, total, nil
}

// Watch runs the timer watchdog for at most stall while a read of body waits, and only then: a slow disk is not the
// server's silence. The timer must end the request when it fires.
func Watch(body io.ReadCloser, watchdog *time.Timer, stall time.Duration) io.ReadCloser {
	return &watched{ReadCloser: body, watchdog: watchdog, stall: stall}
}

type watched struct {
	io.ReadCloser
	watchdog *time.Timer
	stall    time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	w.watchdog.Reset(w.stall)
	defer w.watchdog.Stop()
	return w.ReadCloser.Read(p)
}

// silence is after how long without a byte the sender of a body is taken for dead, so that it does not keep a place from
// those who come again.
const silence = time.Minute

// ErrSilent is the end of a body of which nothing came any more.
var ErrSilent = errors.New("the sender has fallen silent")

// Impatient ends the body of a request with ErrSilent when nothing comes for a minute. Only a read waits: what the server
// does between two of them takes the time that it takes.
func Impatient(w http.ResponseWriter, body io.ReadCloser) io.ReadCloser {
	return &impatient{ReadCloser: body, control: http.NewResponseController(w)}
}

type impatient struct {
	io.ReadCloser
	control *http.ResponseController
	err     error // stays: whoever reads on does not wait again
}

func (b *impatient) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	// A body that comes from no connection keeps nobody waiting.
	if err := b.control.SetReadDeadline(time.Now().Add(silence)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.err = fmt.Errorf("%w: nothing came for %s", ErrSilent, silence)
		err = b.err
	case errors.Is(err, io.EOF):
		// What comes now is the disk's time. A connection that cannot be told so has gone.
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
