package iso

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// digest is Digest that must not fail.
func digest(t *testing.T, c *Cache, src Source) (string, bool) {
	t.Helper()
	d, known, err := c.Digest(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	return d.String(), known
}

func TestDigestOfADownload(t *testing.T) {
	t.Parallel()
	m := newMirror(t, medium(5000))
	c := newTestCache(t)
	src := m.source()
	src.Checksum = "none"
	if got, known := digest(t, c, src); known {
		t.Errorf("%s is known before it was fetched", got)
	}
	f := mustFetch(t, c, src)
	asked := m.requests.Load()
	if got, known := digest(t, c, src); !known || got != f.Digest.String() || m.requests.Load() != asked {
		t.Errorf("%s, %v, %d requests more", got, known, m.requests.Load()-asked)
	}
	src.Checksum = sha([]byte("declared"))
	if got, known := digest(t, c, src); !known || got != sha([]byte("declared")) {
		t.Errorf("declared: %s, %v", got, known)
	}
}

func TestDigestOfALocalMedium(t *testing.T) {
	t.Parallel()
	c := newTestCache(t)
	path := filepath.Join(t.TempDir(), "x.iso")
	src := Source{URLs: []string{path}, Checksum: "none"}
	if _, known := digest(t, c, src); known {
		t.Error("a missing medium is known")
	}
	if err := os.WriteFile(path, medium(3000), 0o644); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	if got, known := digest(t, c, src); !known || got != sha(medium(3000)) {
		t.Errorf("%s, %v", got, known)
	}
	if _, sealed := c.seals.load(path); !sealed {
		t.Error("it would be read again")
	}
	sums := filepath.Join(filepath.Dir(path), "SHA256SUMS")
	if err := os.WriteFile(sums, []byte(strings.TrimPrefix(sha([]byte("listed")), "sha256:")+"  x.iso\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	src.Checksum = "file:" + sums
	if got, known := digest(t, c, src); !known || got != sha([]byte("listed")) {
		t.Errorf("listed: %s, %v", got, known)
	}
	src.Checksum = "file:" + sums + ".gone"
	if _, known, err := c.Digest(t.Context(), src); known || err == nil {
		t.Errorf("without its checksum file: %v, %v", known, err)
	}
}
