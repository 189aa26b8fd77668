package iso

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mirror serves one medium and counts what it sends.
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

// cutAfter sends the headers of the whole medium and only the first n bytes.
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

func TestFetchDownloadsOnceAndSeals(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(300_000))
	c := newTestCache(t)
	sum := md5.Sum(m.content)
	src := m.source()
	src.Checksum = "MD5:" + strings.ToUpper(hex.EncodeToString(sum[:]))
	var last Status
	first, err := c.Fetch(t.Context(), src, func(s Status) { last = s })
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, first, m.content)
	if last.Phase != PhaseDownload || last.Done != 300_000 || last.Total != 300_000 {
		t.Errorf("last progress %+v", last)
	}
	again := mustFetch(t, c, src)
	if first.Cached || !again.Cached || m.requests.Load() != 1 {
		t.Errorf("cached %v then %v, %d requests", first.Cached, again.Cached, m.requests.Load())
	}
	if diff := cmp.Diff(Digest{MD5, hex.EncodeToString(sum[:])}, again.Digest); diff != "" {
		t.Error(diff)
	}
	entries, _ := filepath.Glob(c.cfg.Dir + "/*")
	if len(entries) != 2 { // the medium and the seals
		t.Errorf("left behind: %v", entries)
	}
}

func TestFetchRepairsDamagedCache(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(5000))
	c := newTestCache(t)
	f := mustFetch(t, c, m.source())
	damaged := bytes.Clone(m.content)
	damaged[77] ^= 1
	if err := os.WriteFile(f.Path, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	f = mustFetch(t, c, m.source())
	wantContent(t, f, m.content)
	if f.Cached || m.full.Load() != 2 {
		t.Errorf("cached %v after damage, %d downloads", f.Cached, m.full.Load())
	}
}

func TestFetchUnsealedFileIsHashedNotDownloaded(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(5000))
	c := newTestCache(t)
	src := m.source()
	src.TargetPath, src.Cwd = "kept/my.iso", t.TempDir()
	if err := os.MkdirAll(filepath.Join(src.Cwd, "kept"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(src.Cwd, src.TargetPath), m.content, 0o644); err != nil {
		t.Fatal(err)
	}
	f := mustFetch(t, c, src)
	if f.Path != filepath.Join(src.Cwd, "kept/my.iso") || m.requests.Load() != 0 {
		t.Errorf("%s after %d requests", f.Path, m.requests.Load())
	}
}

func TestTargetPathRules(t *testing.T) {
	t.Parallel()
	c := newTestCache(t)
	loc, _ := parseLocation("http://h/x.img", "")
	d := Digest{SHA256, strings.Repeat("a", 64)}
	name := nameFor(d.String())
	for _, tc := range []struct {
		src  Source
		want string
	}{
		{Source{}, c.cfg.Dir + "/" + name + ".iso"},
		{Source{TargetExtension: "IMG"}, c.cfg.Dir + "/" + name + ".img"},
		{Source{TargetPath: "/a/b.iso"}, "/a/b.iso"},
		{Source{TargetPath: "/a/b"}, "/a/b/" + name + ".iso"},
		{Source{TargetPath: "b.iso", Cwd: "/w"}, "/w/b.iso"},
	} {
		if got := c.target(tc.src, loc, d); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.src, got, tc.want)
		}
	}
}

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

// interrupted leaves a partial download of n bytes behind.
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

func TestFetchWithoutChecksumAsksTheServer(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(5000))
	c := newTestCache(t)
	src := m.source()
	src.Checksum = "none"
	mustFetch(t, c, src)
	if f := mustFetch(t, c, src); !f.Cached || m.requests.Load() != 2 || m.full.Load() != 1 {
		t.Errorf("cached %v after %d requests", f.Cached, m.requests.Load())
	}
	m.content, m.etag = medium(7000), `"v2"`
	if f := mustFetch(t, c, src); f.Cached || f.Size != 7000 {
		t.Errorf("the old version is still there: %+v", f)
	}
}

func TestFetchFallsBackAndJoinsErrors(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(5000))
	wrong := newMirror(t, medium(5001))
	gone := newMirror(t, nil)
	gone.hook = func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
		http.Error(w, "", http.StatusNotFound)
		return true
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	c := newTestCache(t)
	src := m.source()
	bad := []string{"/no/such.iso", gone.URL + "/x.iso", wrong.URL + "/x.iso", strings.Replace(dead.URL, "http://", "http://user:hunter2@", 1) + "/x.iso?sig=s3cr3t"}
	src.URLs = append(bad, m.URL+"/debian.iso")
	f := mustFetch(t, c, src)
	wantContent(t, f, m.content)
	if f.URL != m.URL+"/debian.iso" {
		t.Errorf("came from %s", f.URL)
	}

	c = newTestCache(t)
	src.URLs = bad
	_, err := c.Fetch(t.Context(), src, nil)
	var sum *ChecksumError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &sum) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("not all errors are there: %v", err)
	}
	for _, want := range []string{"/no/such.iso", "404 Not Found", src.Checksum, sha(wrong.content), "iso_urls", "connection refused"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	for _, secret := range []string{"hunter2", "s3cr3t"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows %q: %v", secret, err)
		}
	}
	if left, _ := filepath.Glob(c.cfg.Dir + "/*.partial*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if gone.requests.Load() != 2 {
		t.Errorf("a 404 was asked for %d times", gone.requests.Load())
	}
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

func TestConcurrentFetchesShareOneDownload(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	started, release := make(chan struct{}), make(chan struct{})
	m.hook = func(_ http.ResponseWriter, _ *http.Request, n int64) bool {
		if n == 1 {
			close(started)
			<-release
		}
		return false
	}
	c := newTestCache(t)
	firstCtx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.Fetch(firstCtx, m.source(), nil)
		first <- err
	}()
	<-started
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			f, err := c.Fetch(t.Context(), m.source(), nil)
			if err != nil || f.Size != 200_000 {
				t.Errorf("%+v, %v", f, err)
			}
		})
	}
	waitFor(t, func() bool { return c.waiting() == 9 })
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first waiter ended with %v", err)
	}
	close(release)
	wg.Wait()
	if m.requests.Load() != 1 {
		t.Errorf("%d requests for one medium", m.requests.Load())
	}
}

// waiting counts the fetches that wait for a flight.
func (c *Cache) waiting() int {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	n := 0
	for _, f := range c.flights.flights {
		n += f.waiting
	}
	return n
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

func TestTwoCachesShareOneDownload(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	started, release := make(chan struct{}), make(chan struct{})
	m.hook = func(_ http.ResponseWriter, _ *http.Request, n int64) bool {
		if n == 1 {
			close(started)
			<-release
		}
		return false
	}
	one := newTestCache(t)
	two := newTestCache(t, func(cfg *Config) { cfg.Dir = one.cfg.Dir })
	var wg sync.WaitGroup
	wg.Go(func() { mustFetch(t, one, m.source()) })
	<-started
	var once sync.Once
	wg.Go(func() {
		f, err := two.Fetch(t.Context(), m.source(), func(s Status) {
			if s.Phase == PhaseWait {
				once.Do(func() { close(release) })
			}
		})
		if err != nil || !f.Cached {
			t.Errorf("%+v, %v", f, err)
		}
	})
	wg.Wait()
	if m.requests.Load() != 1 {
		t.Errorf("%d requests for one medium", m.requests.Load())
	}
}

func TestDiskFullIsFoundBeforeDownloading(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(200_000))
	c := newTestCache(t, func(cfg *Config) { cfg.Free = func(string) (int64, error) { return 1234, nil } })
	src := m.source()
	src.URLs = append(src.URLs, src.URLs[0]+"2")
	_, err := c.Fetch(t.Context(), src, nil)
	var full *DiskFullError
	if !errors.As(err, &full) || !errors.Is(err, ErrDiskFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if full.Dir != c.cfg.Dir || full.Need != 200_000 || full.Free != 1234 || m.requests.Load() != 1 {
		t.Errorf("%+v after %d requests", full, m.requests.Load())
	}
	if left, _ := filepath.Glob(c.cfg.Dir + "/*.partial*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDiskFullWhileWriting(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(5000))
	c := newTestCache(t)
	loc, _ := parseLocation(m.URL+"/x.iso", "")
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	d := download{remote: remote{cache: c, loc: loc, target: filepath.Join(c.cfg.Dir, "x.iso")}, tell: func(Status) {}, sum: newHashes(""), file: full}
	err = d.copy(t.Context(), bytes.NewReader(m.content), 0, partialState{Size: 5000})
	if !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), c.cfg.Dir) || !strings.Contains(err.Error(), "5000") || retryable(err) {
		t.Errorf("got %v", err)
	}
}

func TestLocalMedium(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "my disk.iso")
	content := medium(5000)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	c := newTestCache(t)
	for i, u := range []string{path, "my disk.iso", "file://" + path, "file://./my%20disk.iso", "FILE:my disk.iso", "file://localhost" + path} {
		f := mustFetch(t, c, Source{URLs: []string{u}, Checksum: sha(content), Cwd: dir})
		if f.Path != path || f.Cached != (i > 0) {
			t.Errorf("%s: %+v", u, f)
		}
	}
	if err := os.Chtimes(path, old, old.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if f := mustFetch(t, c, Source{URLs: []string{path}, Checksum: "none"}); f.Cached {
		t.Error("a touched file is still sealed")
	}
	_, err := c.Fetch(t.Context(), Source{URLs: []string{path}, Checksum: sha(nil)}, nil)
	var sum *ChecksumError
	if !errors.As(err, &sum) || sum.Got.String() != sha(content) {
		t.Errorf("wrong bytes: %v", err)
	}
	if _, err := c.Fetch(t.Context(), Source{URLs: []string{dir}, Checksum: "none"}, nil); err == nil {
		t.Error("a directory was taken for a medium")
	}
}

func TestFreshLocalMediumIsNotSealed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.iso")
	if err := os.WriteFile(path, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := newTestCache(t)
	src := Source{URLs: []string{path}, Checksum: "none"}
	mustFetch(t, c, src)
	if f := mustFetch(t, c, src); f.Cached {
		t.Error("a file was sealed in the moment of its last change")
	}
}

func TestChecksumFile(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(5000))
	digest := strings.TrimPrefix(sha(m.content), "sha256:")
	var sums string
	var sumRequests atomic.Int64
	m.hook = func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		if !strings.HasSuffix(r.URL.Path, "SUMS") {
			return false
		}
		sumRequests.Add(1)
		_, _ = io.WriteString(w, sums)
		return true
	}
	src := Source{URLs: []string{"/no/such/debian.iso", m.URL + "/debian.iso"}, Checksum: "file:" + m.URL + "/SUMS"}
	sums = digest + " *debian.iso\n"
	wantContent(t, mustFetch(t, newTestCache(t), src), m.content)
	if sumRequests.Load() != 1 {
		t.Errorf("the checksum file was fetched %d times", sumRequests.Load())
	}
	sums = digest + "  other.iso\n"
	_, err := newTestCache(t).Fetch(t.Context(), src, nil)
	if err == nil || !strings.Contains(err.Error(), `has no entry for "debian.iso"`) {
		t.Errorf("no entry: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "my.sums"), []byte(digest+"  ./debian.iso\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"file:my.sums", "file:./my.sums", "file:file://./my.sums", "file:" + dir + "/my.sums"} {
		wantContent(t, mustFetch(t, newTestCache(t), Source{URLs: []string{m.URL + "/debian.iso"}, Checksum: ref, Cwd: dir}), m.content)
	}
	_, err = newTestCache(t).Fetch(t.Context(), Source{URLs: []string{m.URL + "/debian.iso"}, Checksum: "file:none.sums", Cwd: dir}, nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir+"/none.sums") {
		t.Errorf("missing checksum file: %v", err)
	}
}
