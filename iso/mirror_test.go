package iso

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

type mirror struct {
	*httptest.Server
	content  []byte
	etag     string
	requests atomic.Int64
	full     atomic.Int64 // answers with status 200
	partial  atomic.Int64 // answers with status 206

	// hook may answer a request itself; it returns true if it did.
	hook func(w http.ResponseWriter, r *http.Request, n int64) bool
}

func newMirror(t *testing.T, content []byte) *mirror {
	m := &mirror{content: content, etag: `"v1"`}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := m.requests.Add(1)
	if m.hook != nil && m.hook(w, r, n) {
		return
	}
	w.Header().Set("ETag", m.etag)
	rec := &statusRecorder{ResponseWriter: w}
	http.ServeContent(rec, r, "", time.Time{}, bytes.NewReader(m.content))
	switch rec.status {
	case http.StatusOK:
		m.full.Add(1)
	case http.StatusPartialContent:
		m.partial.Add(1)
	}
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (m *mirror) cutAfter(w http.ResponseWriter, n int) {
	w.Header().Set("ETag", m.etag)
	w.Header().Set("Content-Length", fmt.Sprint(len(m.content)))
	_, _ = w.Write(m.content[:n])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func (m *mirror) source() Source {
	return Source{URLs: []string{m.URL + "/debian.iso"}, Checksum: sha(m.content)}
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func medium(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	return b
}

func newTestCache(t *testing.T, mend ...func(*Config)) *Cache {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := Config{
		Dir:     filepath.Join(t.TempDir(), "media"),
		Client:  &http.Client{Transport: transport},
		Backoff: func(int) time.Duration { return time.Microsecond },
		Stall:   time.Hour,
	}
	for _, f := range mend {
		f(&cfg)
	}
	c, err := NewCache(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustFetch(t *testing.T, c *Cache, src Source) File {
	t.Helper()
	f, err := c.Fetch(t.Context(), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantContent(t *testing.T, f File, content []byte) {
	t.Helper()
	got, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Errorf("%s holds %d bytes that differ from the medium", f.Path, len(got))
	}
	if f.SHA256.String() != sha(content) || f.Size != int64(len(content)) {
		t.Errorf("described as %s of %d bytes", f.SHA256, f.Size)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("never happened")
		}
	}
}
