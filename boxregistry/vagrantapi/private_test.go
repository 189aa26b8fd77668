package vagrantapi

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Ways in which a client may send its token.
func ways(token string) map[string]string {
	return map[string]string{
		"bearer": "Authorization: Bearer " + token, "atlas": "X-Atlas-Token: " + token,
		"basic": "Authorization: Basic " + basic("anybody", token),
	}
}

func basic(user, password string) string {
	r, _ := http.NewRequest("GET", "/", nil)
	r.SetBasicAuth(user, password)
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
}

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(c.at.Load(), 0) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d / time.Second)) }

// privateCloud has the released private box ops/shut.
func privateCloud(t *testing.T) (*cloud, *clock) {
	c := &clock{}
	c.at.Store(int64(signPeriod/time.Second)*700 + 1000)
	cl := newCloud(t, func(o *Options) { o.Now = c.now })
	cl.release("ops/shut", "1.0", "libvirt/amd64")
	cl.release("ops/open", "1.0", "libvirt/amd64")
	shut(t, cl, "ops/shut", true)
	return cl, c
}

func shut(t *testing.T, c *cloud, name string, private bool) {
	t.Helper()
	err := c.EditBox(t.Context(), must(boxregistry.ParseName(name)), func(b *boxregistry.Box) error { b.Private = private; return nil })
	if err != nil {
		t.Fatal(err)
	}
}

// A private box is to strangers, by status, body and headers, what a missing one is.
func TestPrivateBoxesLookMissing(t *testing.T) {
	t.Parallel()
	c, _ := privateCloud(t)
	file := "/boxes/shut/versions/1.0/providers/libvirt"
	for _, token := range []string{"", "stale", foreign} {
		for _, path := range []string{"/ops/shut", "/api/v2/vagrant/ops/shut", "/ops/shut~candidate", "/ops" + file + ".box", "/ops" + file + "/amd64/vagrant.box", "/api/v2/box/ops/shut", "/api/v1/box/ops/shut/version/1.0"} {
			for _, method := range reading {
				there := c.ask(method, path, "Authorization: Bearer "+token)
				gone := c.ask(method, strings.ReplaceAll(path, "shut", "none"), "Authorization: Bearer "+token)
				there.header.Del("Date")
				gone.header.Del("Date")
				if there.status != 404 || there.status != gone.status || there.body != gone.body || cmp.Diff(there.header, gone.header) != "" {
					t.Errorf("%s %s by %q: %d %s, and a missing one %d %s", method, path, token, there.status, there.body, gone.status, gone.body)
				}
			}
		}
	}
}

func TestPrivateCatalogs(t *testing.T) {
	t.Parallel()
	c, _ := privateCloud(t)
	for way, header := range ways(reader) {
		for _, path := range []string{"/ops/shut", "/api/v2/vagrant/ops/shut"} {
			get, head := c.ask("GET", path, header), c.ask("HEAD", path, header)
			get.header.Del("Date")
			head.header.Del("Date")
			if get.status != 200 || cmp.Diff(get.header, head.header) != "" || get.header.Get("Cache-Control") != "private, no-cache" {
				t.Errorf("%s: %d %v", way, get.status, get.header)
			}
			url := c.catalogOf(path, header).Versions[0].Providers[0].URL
			if !strings.HasPrefix(url, c.url+"/dl/3.700.") {
				t.Errorf("%s: the URL %s has no signature", way, url)
			}
			// Vagrant sends nothing with it.
			file := c.ask("GET", url)
			if file.status != 200 || file.body != "ops/shut 1.0 libvirt/amd64" || file.header.Get("Cache-Control") != "private, max-age=31536000, immutable" {
				t.Errorf("%s: %d %q %v", way, file.status, file.body, file.header)
			}
			if part := c.ask("GET", url, "Range: bytes=4-"); part.status != 206 || part.body != file.body[4:] {
				t.Errorf("%s: resumed %d %q", way, part.status, part.body)
			}
			if head := c.ask("HEAD", url); head.status != 200 {
				t.Errorf("%s: HEAD %d", way, head.status)
			}
		}
	}
	if a := c.ask("GET", "/ops/shut?access_token="+reader); a.status != 200 {
		t.Errorf("access_token: %d", a.status)
	}
	if url := c.catalogOf("/ops/open", "Authorization: Bearer "+reader).Versions[0].Providers[0].URL; strings.Contains(url, "/dl/") {
		t.Errorf("the URL %s of a public box is signed", url)
	}
	// The URL without a signature works for those who send their token.
	plain := "/ops/boxes/shut/versions/1.0/providers/libvirt.box"
	if a := c.ask("GET", plain, "Authorization: Bearer "+reader); a.status != 200 {
		t.Errorf("%s: %d", plain, a.status)
	}
}

// One person's catalog must not be answered with another's.
func TestKeptCatalogsAreForWhoAsked(t *testing.T) {
	t.Parallel()
	c, _ := privateCloud(t)
	for range 2 {
		for token, want := range map[string]string{reader: "/dl/3.", admin: "/dl/1.", writer: "/dl/2."} {
			if url := c.catalogOf("/ops/shut", "Authorization: Bearer "+token).Versions[0].Providers[0].URL; !strings.Contains(url, want) {
				t.Errorf("%s got %s", token, url)
			}
		}
		if a := c.ask("GET", "/ops/shut"); a.status != 404 {
			t.Errorf("a stranger got %d", a.status)
		}
	}
	c.people.revoke(3)
	if a := c.ask("GET", "/ops/shut", "Authorization: Bearer "+reader); a.status != 404 {
		t.Errorf("a revoked token got %d", a.status)
	}
}

func TestSignedURLs(t *testing.T) {
	t.Parallel()
	c, clock := privateCloud(t)
	url := func() string {
		return strings.TrimPrefix(c.catalogOf("/ops/shut", "Authorization: Bearer "+reader).Versions[0].Providers[0].URL, c.url)
	}
	first := url()
	clock.forward(48 * time.Hour)
	if again := url(); again != first {
		t.Errorf("after two days the URL is %s, and was %s: a download cannot be resumed", again, first)
	}
	parts := strings.SplitN(first, "/", 4) // "", "dl", signature, path
	for what, path := range map[string]string{
		"another token":      strings.Replace(first, "/dl/3.", "/dl/1.", 1),
		"another period":     strings.Replace(first, ".700.", ".701.", 1),
		"another box":        strings.Replace(first, "/ops/boxes/shut/", "/ops/boxes/none/", 1),
		"another path":       strings.Replace(first, "/amd64/", "/arm64/", 1),
		"another style":      "/dl/" + parts[2] + "/ops/boxes/shut/versions/1.0/providers/libvirt.box",
		"no mac":             "/dl/3.700./" + parts[3],
		"no number":          "/dl/x.700.abc/" + parts[3],
		"too many numbers":   "/dl/99999999999999999999.700.abc/" + parts[3],
		"nothing":            "/dl/x/" + parts[3],
		"a byte of the mac":  strings.Replace(first, parts[2], parts[2][:len(parts[2])-1]+"_", 1),
		"a longer signature": strings.Replace(first, parts[2], parts[2]+"A", 1),
	} {
		if a := c.ask("GET", path); a.status != 404 && path != first {
			t.Errorf("%s: %d", what, a.status)
		}
	}
	if a := c.ask("GET", "/dl/x/ops/boxes/open/versions/1.0/providers/libvirt.box"); a.status != 200 {
		t.Errorf("a signature that does not hold harms a public box: %d", a.status)
	}
	clock.forward(28 * 24 * time.Hour)
	second := url()
	if second == first {
		t.Error("the URL is for ever")
	}
	for _, path := range []string{first, second} {
		if a := c.ask("GET", path); a.status != 200 {
			t.Errorf("shortly after its period %s: %d", path, a.status)
		}
	}
	clock.forward(48 * time.Hour)
	if a := c.ask("GET", first); a.status != 404 {
		t.Errorf("long after its period: %d", a.status)
	}
	c.people.revoke(3)
	if a := c.ask("GET", second); a.status != 404 {
		t.Errorf("after its token was revoked: %d", a.status)
	}
	shut(t, c, "ops/shut", false)
	if a := c.ask("GET", second); a.status != 200 {
		t.Errorf("the box is public now: %d", a.status)
	}
}

func TestClosedRegistry(t *testing.T) {
	t.Parallel()
	c := newCloud(t, func(o *Options) { o.Closed = true })
	c.release("ops/open", "1.0", "libvirt/amd64")
	const file = "/ops/boxes/open/versions/1.0/providers/libvirt.box"
	for _, path := range []string{"/ops/open", "/api/v2/vagrant/ops/open", file, "/api/v2/box/ops/open", "/api/v2/user/ops"} {
		if a := c.ask("GET", path); a.status != 404 {
			t.Errorf("GET %s by nobody: %d", path, a.status)
		}
		for _, token := range []string{reader, foreign} { // the box itself is public: whoever may come in may have it
			if a := c.ask("GET", path, "Authorization: Bearer "+token); a.status != 200 {
				t.Errorf("GET %s by %s: %d %s", path, token, a.status, a.body)
			}
		}
	}
	if o := c.want("", "GET", "/api/v2/search", ""); len(o["boxes"].([]any)) != 0 {
		t.Errorf("search by nobody: %v", o)
	}
	url := c.catalogOf("/ops/open", "Authorization: Bearer "+foreign).Versions[0].Providers[0].URL
	if a := c.ask("GET", url); a.status != 200 || !strings.Contains(url, "/dl/4.") {
		t.Errorf("%s: %d", url, a.status)
	}
}

func TestWithoutAKeyURLsArePlain(t *testing.T) {
	t.Parallel()
	c := newCloud(t, func(o *Options) { o.SignKey = nil })
	c.release("ops/shut", "1.0", "libvirt/amd64")
	shut(t, c, "ops/shut", true)
	url := c.catalogOf("/ops/shut", "Authorization: Bearer "+reader).Versions[0].Providers[0].URL
	if strings.Contains(url, "/dl/") || c.ask("GET", url).status != 404 || c.ask("GET", url, "Authorization: Bearer "+reader).status != 200 {
		t.Errorf("%s", url)
	}
	forged := signer{key: nil, now: time.Now}.sign(1, 700, strings.TrimPrefix(url, c.url))
	if a := c.ask("GET", forged); a.status != 404 {
		t.Errorf("a signature with no key: %d", a.status)
	}
}
