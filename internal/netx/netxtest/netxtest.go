// Package netxtest plays the clients of a server that fall silent.
package netxtest

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Hasty makes every deadline for reading come at once, so that no test waits for a minute.
func Hasty(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(hasty{w}, r) })
}

type hasty struct{ http.ResponseWriter }

// soon is long enough for bytes that are here already; for others it does not matter.
const soon = 100 * time.Millisecond

// SetReadDeadline is what http.ResponseController calls.
func (w hasty) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		t = time.Now().Add(soon)
	}
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
}

// Unwrap lets the controller find what else the connection can do.
func (w hasty) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Stall sends a request of which only half comes, and twice as much is announced. It returns what the server answers.
func Stall(t *testing.T, method, url, half string, header http.Header) (status int, body string) {
	t.Helper()
	never, end := io.Pipe()
	defer end.Close()
	req, err := http.NewRequestWithContext(t.Context(), method, url, io.MultiReader(strings.NewReader(half), never))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 2 * int64(len(half))
	for name, values := range header {
		req.Header[name] = values
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}
