package iso

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

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
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	c := newTestCache(t, func(cfg *Config) { cfg.Now = info.ModTime })
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
