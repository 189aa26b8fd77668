package iso

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mirror serves one medium and counts what it sends.

// cutAfter sends the headers of the whole medium and only the first n bytes.

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

// interrupted leaves a partial download of n bytes behind.

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

// waiting counts the fetches that wait for a flight.

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
