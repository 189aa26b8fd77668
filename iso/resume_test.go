package iso

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFetchResumesWithinOneFetch(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	m.hook = func(w http.ResponseWriter, _ *http.Request, n int64) bool {
		if n == 1 {
			m.cutAfter(w, 120_000)
		}
		return false
	}
	retries := 0
	c := newTestCache(t)
	f, err := c.Fetch(t.Context(), m.source(), func(s Status) {
		if s.Phase == PhaseRetry {
			retries++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, f, m.content)
	if m.partial.Load() != 1 || m.full.Load() != 0 || retries != 1 {
		t.Errorf("%d partial and %d full answers, %d retries", m.partial.Load(), m.full.Load(), retries)
	}
}

func interrupted(t *testing.T, c *Cache, m *mirror, n int) {
	t.Helper()
	m.hook = func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
		m.cutAfter(w, n)
		return true
	}
	retries := c.cfg.Retries
	c.cfg.Retries = 1
	if _, err := c.Fetch(t.Context(), m.source(), nil); err == nil {
		t.Fatal("the cut download succeeded")
	}
	c.cfg.Retries = retries
	m.hook = nil
}

func TestFetchResumesAfterRestart(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	c := newTestCache(t)
	interrupted(t, c, m, 120_000)
	second := newTestCache(t, func(cfg *Config) { cfg.Dir = c.cfg.Dir })
	wantContent(t, mustFetch(t, second, m.source()), m.content)
	if m.partial.Load() != 1 || m.full.Load() != 0 {
		t.Errorf("%d partial and %d full answers", m.partial.Load(), m.full.Load())
	}
}

func TestFetchStartsOverWhenTheServerHasAnotherVersion(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	c := newTestCache(t)
	interrupted(t, c, m, 120_000)
	m.content, m.etag = bytes.ToUpper(medium(180_000)), `"v2"`
	wantContent(t, mustFetch(t, c, m.source()), m.content)
	if m.full.Load() != 1 {
		t.Errorf("%d full answers", m.full.Load())
	}
}

func TestFetchMendsADamagedPartial(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	c := newTestCache(t)
	interrupted(t, c, m, 120_000)
	partials, _ := filepath.Glob(c.cfg.Dir + "/*.partial")
	if len(partials) != 1 {
		t.Fatalf("partials: %v", partials)
	}
	if err := os.WriteFile(partials[0], make([]byte, 120_000), 0o644); err != nil {
		t.Fatal(err)
	}
	wantContent(t, mustFetch(t, c, m.source()), m.content)
}

func TestFetchStall(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	m.hook = func(w http.ResponseWriter, r *http.Request, n int64) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("ETag", m.etag)
		w.Header().Set("Content-Length", fmt.Sprint(len(m.content)))
		_, _ = w.Write(m.content[:1000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
	c := newTestCache(t, func(cfg *Config) { cfg.Stall = 100 * time.Millisecond })
	c.cfg.Backoff = func(int) time.Duration {
		c.cfg.Stall = time.Hour // for the server that answers, however slowly
		return 0
	}
	var why error
	f, err := c.Fetch(t.Context(), m.source(), func(s Status) { why = errors.Join(why, s.Err) })
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, f, m.content)
	if !errors.Is(why, errStalled) {
		t.Errorf("retried because of %v", why)
	}
}

func TestFetchCancel(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the user pressed ctrl-C")
	m.hook = func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		cancel(reason)
		<-r.Context().Done()
		return true
	}
	if _, err := newTestCache(t).Fetch(ctx, m.source(), nil); !errors.Is(err, reason) {
		t.Errorf("ended with %v", err)
	}
}

func TestFetchWithoutChecksumTrustsNoEarlierBytes(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	c := newTestCache(t)
	src := m.source()
	src.Checksum = "none"
	loc, _ := parseLocation(src.URLs[0], "")
	d := download{remote: remote{cache: c, loc: loc, target: c.target(src, loc, Digest{})}}
	if err := errors.Join(os.WriteFile(d.partialPath(), make([]byte, 1000), 0o644),
		d.saveState(partialState{validators{ETag: m.etag}, 200_000})); err != nil {
		t.Fatal(err)
	}
	wantContent(t, mustFetch(t, c, src), m.content)
}

func TestSweepRemovesOldPartials(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	c := newTestCache(t)
	interrupted(t, c, m, 120_000)
	for before, want := range map[time.Time]int{time.Now().Add(-time.Hour): 2, time.Now().Add(time.Hour): 0} {
		dir := newTestCache(t)
		if err := os.CopyFS(dir.cfg.Dir+"/x", os.DirFS(c.cfg.Dir)); err != nil {
			t.Fatal(err)
		}
		dir.cfg.Dir += "/x"
		if err := dir.Sweep(before); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(dir.cfg.Dir + "/*.partial*"); len(left) != want {
			t.Errorf("left %v, want %d", left, want)
		}
	}
}
