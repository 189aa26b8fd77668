package netx

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"
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
