package vagrantapi

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

func TestCacheKeepsWithinItsBudget(t *testing.T) {
	t.Parallel()
	c := newCache[int, string](10 * (entrySize + 100))
	load := func(k int, revision uint64) (made bool) {
		v, err := c.load(t.Context(), k, revision, true, func(context.Context) (string, int, error) {
			made = true
			return fmt.Sprint(k, revision), 100, nil
		})
		if want := fmt.Sprint(k, revision); err != nil || v != want {
			t.Fatalf("%q, %v, want %q", v, err, want)
		}
		return made
	}
	for k := range 20 {
		if !load(k, 1) {
			t.Errorf("%d was there", k)
		}
	}
	if c.used > c.budget || len(c.kept) != 10 || c.order.Len() != 10 {
		t.Errorf("%d of %d bytes, %d entries", c.used, c.budget, len(c.kept))
	}
	if load(15, 1) || !load(5, 1) {
		t.Error("what was asked for last is not what is kept")
	}
	if load(15, 1) || !load(15, 2) || load(15, 2) {
		t.Error("a new revision must be made once")
	}
	if len(c.kept) != 10 || c.used > c.budget {
		t.Errorf("%d entries, %d bytes", len(c.kept), c.used)
	}
}

func TestCacheDoesNotKeepWhatIsTooLargeOrWrong(t *testing.T) {
	t.Parallel()
	c := newCache[int, string](entrySize)
	fault := errors.New("a fault")
	for range 2 {
		if v, err := c.load(t.Context(), 1, 1, true, func(context.Context) (string, int, error) { return "large", 1, nil }); v != "large" || err != nil {
			t.Errorf("%q, %v", v, err)
		}
		if _, err := c.load(t.Context(), 2, 1, true, func(context.Context) (string, int, error) { return "", 0, fault }); !errors.Is(err, fault) {
			t.Errorf("%v", err)
		}
	}
	if len(c.kept) != 0 || c.used != 0 {
		t.Errorf("%d entries, %d bytes", len(c.kept), c.used)
	}
	made := 0
	for range 2 {
		_, _ = c.load(t.Context(), 3, 1, false, func(context.Context) (string, int, error) { made++; return "", 0, nil })
	}
	if made != 2 {
		t.Error("kept what must not be kept")
	}
}

// Many that ask at once wait for one answer, and the one that began it may go.
func TestCacheMakesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache[int, string](1 << 20)
		made := 0
		release := make(chan struct{})
		first, cancel := context.WithCancel(t.Context())
		ask := func(ctx context.Context) {
			go func() {
				v, err := c.load(ctx, 1, 1, true, func(ctx context.Context) (string, int, error) {
					made++
					<-release
					return "v", 1, ctx.Err()
				})
				if v != "v" || err != nil {
					t.Errorf("%q, %v", v, err)
				}
			}()
			synctest.Wait()
		}
		ask(first)
		for range 20 {
			ask(t.Context())
		}
		cancel()
		close(release)
		synctest.Wait()
		if made != 1 {
			t.Errorf("made %d times", made)
		}
	})
}
