package netx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/netx/netxtest"
)

func TestBackoffGrowsToALimit(t *testing.T) {
	t.Parallel()
	for attempt, want := range map[int]time.Duration{0: 500 * time.Millisecond, 1: time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 1000: 10 * time.Second} {
		if got := Backoff(attempt); got != want {
			t.Errorf("attempt %d: %v, want %v", attempt, got, want)
		}
	}
}

func TestPauseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := Pause(ctx, time.Hour); !errors.Is(err, gone) {
		t.Error(err)
	}
	if err := Pause(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func TestRestOfFile(t *testing.T) {
	t.Parallel()
	if start, total, err := RestOfFile("bytes 5-9/10"); err != nil || start != 5 || total != 10 {
		t.Error(start, total, err)
	}
	for _, bad := range []string{"", "bytes 5-8/10", "bytes 9-5/6", "bytes -1-9/10", "bytes 5-9/*"} {
		if _, _, err := RestOfFile(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestWhatIsTemporary(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]bool{429: true, 503: true, 500: true, 416: true, 404: false, 501: false, 403: false} {
		if TemporaryStatus(code) != want {
			t.Errorf("%d: want %v", code, want)
		}
	}
}

func TestWithoutURL(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	if got := WithoutURL(&url.Error{Op: "Get", URL: "http://h?secret", Err: cause}); !errors.Is(got, cause) || got.Error() != "cause" {
		t.Error(got)
	}
}

func TestImpatientWithSilentSenders(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(netxtest.Hasty(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := Impatient(w, r.Body)
		text, err := io.ReadAll(body)
		_, again := body.Read(make([]byte, 1))
		fmt.Fprintf(w, "%s, %t, %t", text, errors.Is(err, ErrSilent), errors.Is(again, ErrSilent))
	})))
	t.Cleanup(server.Close)
	if _, got := netxtest.Stall(t, http.MethodPut, server.URL, "half", nil); got != "half, true, true" {
		t.Errorf("a silent sender: %s", got)
	}
	res, err := http.Post(server.URL, "text/plain", strings.NewReader("whole"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); string(got) != "whole, false, false" || err != nil {
		t.Errorf("a good one: %s, %v", got, err)
	}
}
