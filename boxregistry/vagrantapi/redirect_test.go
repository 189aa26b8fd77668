package vagrantapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// elsewhere links to another server, or fails.
type elsewhere struct{ err error }

func (e elsewhere) LinkBlob(_ context.Context, d blob.Digest, o blob.LinkOptions) (string, error) {
	return "https://bucket.example.org/" + string(d) + "?as=" + o.ContentDisposition + "&ttl=" + o.TTL.String(), e.err
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Links: elsewhere{}}, nil)
	b.release("ops/deb", "1.0", "libvirt/amd64")
	const path = "/ops/boxes/deb/versions/1.0/providers/libvirt/amd64/vagrant.box"
	a := b.ask("GET", path, "Range: bytes=3-")
	if l := a.header.Get("Location"); a.status != http.StatusFound || a.header.Get("Cache-Control") != "no-store" ||
		!strings.HasPrefix(l, "https://bucket.example.org/") || !strings.Contains(l, "ops-deb-1.0-libvirt-amd64.box") {
		t.Errorf("GET: %d %v", a.status, a.header)
	}
	if a := b.ask("HEAD", path); a.status != http.StatusOK || a.header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	size := b.ask("HEAD", path).header.Get("Content-Length")
	if a := b.ask("GET", path, "Range: bytes="+size+"-"); a.status != http.StatusPartialContent || a.body != "" {
		t.Errorf("past the end: %d %q", a.status, a.body)
	}
}

func TestRedirectsFail(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{
		errors.ErrUnsupported: http.StatusOK, blob.ErrNotFound: http.StatusGone, errors.New("no route"): http.StatusInternalServerError,
	} {
		b := setup(t, Options{Links: elsewhere{err}}, nil)
		b.release("ops/deb", "1.0", "libvirt/amd64")
		if a := b.ask("GET", "/ops/boxes/deb/versions/1.0/providers/libvirt/amd64/vagrant.box"); a.status != want {
			t.Errorf("%v: %d, want %d", err, a.status, want)
		}
	}
}
