package vagrantapi

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry"
)

const content = "0123456789abcdefghij"

// withFile serves one file and returns its path with the digest and the two older ones.
func withFile(t *testing.T, wrap func(http.Handler) http.Handler) (b *bundle, forever string, old []string) {
	b = setup(t, Options{}, wrap)
	d := b.put("ops/deb", "1.0", "libvirt", "amd64", content)
	if err := b.Release(t.Context(), must(boxregistry.ParseName("ops/deb")), must(boxregistry.ParseVersion("1.0"))); err != nil {
		t.Fatal(err)
	}
	const base = "/ops/boxes/deb/versions/1.0/providers/libvirt"
	return b, base + "/amd64/" + d.Short() + "/vagrant.box", []string{base + ".box", base + "/amd64/vagrant.box"}
}

func TestDownloadHeaders(t *testing.T) {
	t.Parallel()
	b, forever, old := withFile(t, nil)
	for _, path := range append(old, forever, "/"+forever) {
		get, head := b.ask("GET", path, "Accept-Encoding: gzip, br"), b.ask("HEAD", path, "Accept-Encoding: gzip, br")
		if get.status != http.StatusOK || get.body != content || head.status != http.StatusOK || head.body != "" {
			t.Errorf("%s: GET %d %q, HEAD %d %q", path, get.status, get.body, head.status, head.body)
		}
		get.header.Del("Date")
		head.header.Del("Date")
		if diff := cmp.Diff(get.header, head.header); diff != "" {
			t.Errorf("%s: HEAD has other headers than GET: %s", path, diff)
		}
		cache := "no-cache"
		if strings.HasSuffix(path, forever) {
			cache = "public, max-age=31536000, immutable"
		}
		for name, want := range map[string]string{
			"Content-Type": "application/octet-stream", "Content-Length": "20", "Accept-Ranges": "bytes", "Content-Encoding": "",
			"X-Content-Type-Options": "nosniff", "Cache-Control": cache,
			"Content-Disposition": `attachment; filename="ops-deb-1.0-libvirt-amd64.box"`,
		} {
			if got := get.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if etag := get.header.Get("ETag"); len(etag) != 66 || b.ask("GET", path, "If-None-Match: "+etag).status != http.StatusNotModified {
			t.Errorf("%s: ETag %s does not work", path, etag)
		}
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	b, path, _ := withFile(t, nil)
	const vagrant, curl = "User-Agent: Vagrant/2.3.4 (+https://www.vagrantup.com; ruby3.1.2)", "User-Agent: curl/7.88.1"
	for _, c := range []struct {
		agent, rng   string
		status       int
		contentRange string
		body         string
	}{
		{vagrant, "bytes=0-", 206, "bytes 0-19/20", content},
		{vagrant, "bytes=5-", 206, "bytes 5-19/20", content[5:]},
		{vagrant, "bytes=19-", 206, "bytes 19-19/20", "j"},
		{curl, "bytes=3-6", 206, "bytes 3-6/20", "3456"},
		{curl, "bytes=-4", 206, "bytes 16-19/20", "ghij"},
		{vagrant, "bytes=20-", 206, "bytes 20-19/20", ""}, // the cure
		{curl, "bytes=20-", 416, "bytes */20", "invalid range: failed to overlap\n"},
		{vagrant, "bytes=21-", 416, "bytes */20", "invalid range: failed to overlap\n"}, // more than the whole: not this file
		{vagrant, "lines=1-", 416, "", "invalid range\n"},
	} {
		a := b.ask("GET", path, c.agent, "Range: "+c.rng)
		if a.status != c.status || a.header.Get("Content-Range") != c.contentRange || a.body != c.body {
			t.Errorf("%s by %s: %d %q %q, want %+v", c.rng, c.agent, a.status, a.header.Get("Content-Range"), a.body, c)
		}
		head := b.ask("HEAD", path, c.agent, "Range: "+c.rng)
		if head.status != a.status || head.header.Get("Content-Range") != a.header.Get("Content-Range") {
			t.Errorf("HEAD %s by %s: %d %q", c.rng, c.agent, head.status, head.header.Get("Content-Range"))
		}
	}
	stale := b.ask("GET", path, curl, "Range: bytes=5-", `If-Range: "another"`)
	if stale.status != http.StatusOK || stale.body != content {
		t.Errorf("If-Range of other bytes: %d %q", stale.status, stale.body)
	}
}

func TestMissingFiles(t *testing.T) {
	t.Parallel()
	b, forever, _ := withFile(t, nil)
	b.draft("ops/deb", "2.0", "libvirt/amd64")
	b.release("ops/deb", "3.0", "libvirt/amd64")
	if err := b.Revoke(t.Context(), must(boxregistry.ParseName("ops/deb")), must(boxregistry.ParseVersion("3.0")), ""); err != nil {
		t.Fatal(err)
	}
	digest := filepath.Base(filepath.Dir(forever))
	for _, path := range []string{
		strings.Replace(forever, digest, "000000000000", 1),
		strings.Replace(forever, digest, "..%2f..%2f", 1),
		strings.Replace(forever, "1.0", "1.1", 1),
		strings.Replace(forever, "1.0", "latest", 1),
		strings.Replace(forever, "amd64", "arm64", 1),
		strings.Replace(forever, "/amd64/"+digest, "/unknown", 1),
		strings.Replace(forever, "libvirt", "virtualbox", 1),
		strings.Replace(forever, "deb", "fed", 1),
		"/ops/boxes/deb/versions/1.0/providers/libvirt",
		"/ops/boxes/deb/versions/1.0/providers/virtualbox.box",
		"/ops/boxes/deb/versions/2.0/providers/libvirt.box",
		"/ops/boxes/deb/versions/3.0/providers/libvirt.box",
	} {
		if a := b.ask("GET", path); a.status != http.StatusNotFound || a.header.Get("Cache-Control") != "" {
			t.Errorf("GET %s: %d, %s", path, a.status, a.header.Get("Cache-Control"))
		}
	}
}

func TestLostBytesAreOurFault(t *testing.T) {
	t.Parallel()
	b, path, _ := withFile(t, nil)
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	if a := b.ask("GET", path); a.status != http.StatusGone || strings.Contains(a.body, b.dir) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !strings.Contains(b.log.String(), "blob not found") {
		t.Errorf("the log does not say why: %s", b.log)
	}
}

// spy stands where the server's own writer stands and sees what would reach the kernel.
type spy struct {
	http.ResponseWriter
	files *atomic.Int64
}

func (s spy) ReadFrom(src io.Reader) (int64, error) {
	if limited, ok := src.(*io.LimitedReader); ok {
		if _, ok := limited.R.(*os.File); ok {
			s.files.Add(1)
		}
	}
	return s.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
}

func TestFilesReachTheConnectionBare(t *testing.T) {
	t.Parallel()
	var files atomic.Int64
	b, path, _ := withFile(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(spy{w, &files}, r) })
	})
	if a := b.ask("GET", path); a.status != 200 || a.body != content {
		t.Errorf("%d %q", a.status, a.body)
	}
	if a := b.ask("GET", path, "Range: bytes=4-"); a.status != 206 || a.body != content[4:] {
		t.Errorf("%d %q", a.status, a.body)
	}
	if files.Load() != 2 {
		t.Errorf("%d of 2 answers could be copied by the kernel", files.Load())
	}
}

// A connection that cannot read from a file, such as one wrapped by a test or by HTTP/2, gets the bytes all the same.
func TestFilesReachOtherWriters(t *testing.T) {
	t.Parallel()
	b, path, _ := withFile(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})
	})
	if a := b.ask("GET", path); a.status != 200 || a.body != content {
		t.Errorf("%d %q", a.status, a.body)
	}
}

func TestCollapse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "/": "/", "//": "/", "/a/b": "/a/b", "//a///b//": "/a/b/", "/a/../b": "/a/../b"} {
		if got := collapse(in); got != want {
			t.Errorf("collapse(%q) = %q, want %q", in, got, want)
		}
	}
	var got string
	h := CollapseSlashes(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = fmt.Sprint(r.Method, " ", r.URL, " ", string(body))
	}))
	r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://h//up//x%2Fy?q=a//b", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(nil, r)
	if got != "PUT http://h/up/x%2Fy?q=a//b body" || r.URL.Path != "//up//x/y" {
		t.Errorf("got %s; the caller's request became %s", got, r.URL)
	}
}
