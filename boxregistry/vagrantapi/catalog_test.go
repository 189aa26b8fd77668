package vagrantapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry"
)

var paths = []string{"/ops/deb", "/api/v2/vagrant/ops/deb"}

// The fields by their names on the wire: what Vagrant reads, and what Vagrant Cloud adds.
func TestCatalogDocument(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{BaseURL: "https://boxes.example.org"}, nil)
	b.release("ops/deb", "1.2.0", "libvirt/amd64")
	digest := string(must(b.Box(t.Context(), must(boxregistry.ParseName("ops/deb")))).Releases[0].Files[0].Digest)
	want := `{"name":"ops/deb","description":"about <ops/deb>","short_description":"","versions":[
		{"version":"1.2.0","status":"active","description_html":"<p>notes <em>b</em></p>\n","description_markdown":"notes *b*","providers":[
		{"name":"libvirt","url":"https://boxes.example.org/ops/boxes/deb/versions/1.2.0/providers/libvirt/amd64/` + digest[:12] + `/vagrant.box",
		"checksum_type":"sha256","checksum":"` + digest + `","architecture":"amd64","default_architecture":true}]}]}`
	for _, path := range paths {
		var got, expected any
		if err := json.Unmarshal([]byte(b.ask("GET", path).body), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(want), &expected); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestCatalogHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{}, nil)
	b.release("ops/deb", "1.0", "libvirt/amd64")
	for _, path := range append(paths, "//ops//deb", "/api/v2//vagrant/ops/deb") {
		get, head := b.ask("GET", path), b.ask("HEAD", path)
		get.header.Del("Date")
		head.header.Del("Date")
		if diff := cmp.Diff(get.header, head.header); diff != "" || head.status != http.StatusOK || head.body != "" {
			t.Errorf("HEAD %s: %d, body %q, other headers than GET: %s", path, head.status, head.body, diff)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json; charset=utf-8", "Vary": "Accept, User-Agent", "X-Content-Type-Options": "nosniff",
		} {
			if got := get.header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestCatalogNeverAnswersInPart(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{}, nil)
	b.release("ops/deb", "1.0", "libvirt/amd64")
	whole := b.ask("GET", "/ops/deb").body
	for _, r := range []string{"bytes=0-", "bytes=5-", "bytes=100000-", "bytes=0-1,3-4"} {
		if a := b.ask("GET", "/ops/deb", "Range: "+r); a.status != http.StatusOK || a.body != whole {
			t.Errorf("Range %s: %d with %d bytes, want all %d", r, a.status, len(a.body), len(whole))
		}
	}
}

func TestAcceptNegotiation(t *testing.T) {
	t.Parallel()
	page := func(c *gin.Context) { c.Data(http.StatusOK, "text/html; charset=utf-8", []byte("<p>page")) }
	b := setup(t, Options{Page: page}, nil)
	b.release("ops/deb", "1.0", "libvirt/amd64")
	for accept, html := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "text/plain": false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true,
		"TEXT/HTML":                                true,
		"application/json, text/html":              false,
		"text/html;q=0.9, application/json;q=0.5":  true,
		"text/html;level=1;q=0.2,application/json": false,
		"text/html;q=0":                            false,
		"text/html;q=x":                            false,
		"text/htmlx":                               false,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := b.ask(method, "/ops/deb", "Accept: "+accept)
			if got := strings.HasPrefix(a.header.Get("Content-Type"), "text/html"); got != html || !strings.Contains(a.header.Get("Vary"), "Accept") {
				t.Errorf("%s with Accept %q: %s, Vary %q", method, accept, a.header.Get("Content-Type"), a.header.Get("Vary"))
			}
		}
		if a := b.ask("GET", "/api/v2/vagrant/ops/deb", "Accept: "+accept); !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			t.Errorf("API with Accept %q: %s", accept, a.header.Get("Content-Type"))
		}
	}
}

func TestCatalogShowsReleasedVersionsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{}, nil)
	b.draft("ops/deb", "0.9", "libvirt/amd64")
	if c := b.catalogOf("/ops/deb"); c.Versions == nil || len(c.Versions) != 0 {
		t.Errorf("a box of drafts: %+v, want an empty list", c)
	}
	b.release("ops/deb", "1.9", "libvirt/amd64")
	b.release("ops/deb", "1.10", "virtualbox/amd64", "libvirt/amd64")
	b.release("ops/deb", "2.0", "libvirt/amd64")
	if err := b.Revoke(t.Context(), must(boxregistry.ParseName("ops/deb")), must(boxregistry.ParseVersion("2.0")), ""); err != nil {
		t.Fatal(err)
	}
	if got, want := inShort(b.catalogOf("/ops/deb")), "1.10: libvirt/amd64* virtualbox/amd64* | 1.9: libvirt/amd64*"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestArchitectures(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{}, nil)
	b.release("ops/deb", "1.0", "libvirt/amd64", "libvirt/arm64", "libvirt/ppc64le", "virtualbox/arm64")
	const all = "1.0: libvirt/arm64 libvirt/ppc64le libvirt/amd64* virtualbox/arm64*"
	const one = "1.0: libvirt/amd64* virtualbox/arm64*"
	for agent, want := range map[string]string{
		"Vagrant/2.4.0 (+https://www.vagrantup.com; ruby3.1.4)": all,
		"Vagrant/2.4.9": all, "Vagrant/2.10.0": all, "Vagrant/3.0.0": all, "curl/7.88.1": all, "": all,
		"Vagrant/2.3.4 (+https://www.vagrantup.com; ruby3.1.2)": one,
		"Vagrant/2.2.18": one, "Vagrant/1.9.1": one, "Vagrant/2.0.0": one,
	} {
		for _, path := range paths {
			if got := inShort(b.catalogOf(path, "User-Agent: "+agent)); got != want {
				t.Errorf("%s by %q: %s, want %s", path, agent, got, want)
			}
		}
	}
	var raw struct {
		Versions []struct{ Providers []map[string]any }
	}
	if err := json.Unmarshal([]byte(b.ask("GET", "/ops/deb").body), &raw); err != nil {
		t.Fatal(err)
	}
	for _, p := range raw.Versions[0].Providers {
		if _, ok := p["default_architecture"].(bool); !ok || p["architecture"] == "" || p["architecture"] == nil {
			t.Errorf("entry without both architecture fields: %v", p)
		}
	}
}

func TestURLsComeFromTheRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{}, nil)
	b.release("ops/deb", "1.0", "libvirt/amd64")
	url := b.catalogOf("/ops/deb", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "Forwarded: host=evil.example").Versions[0].Providers[0].URL
	if !strings.HasPrefix(url, b.url+"/ops/boxes/deb/") {
		t.Errorf("URL %s, want one below %s", url, b.url)
	}
	if a := b.ask("GET", url); a.status != http.StatusOK || a.body != "ops/deb 1.0 libvirt/amd64" {
		t.Errorf("GET %s: %d %q", url, a.status, a.body)
	}
}

func TestUnknownTokensDoNotBreakReads(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{}, nil)
	b.release("ops/deb", "1.0", "libvirt/amd64")
	box := strings.TrimPrefix(b.catalogOf("/ops/deb").Versions[0].Providers[0].URL, b.url)
	for _, path := range append(paths, box) {
		for _, h := range []string{"Authorization: Bearer stale", "Authorization: Basic dTpw", "Authorization: \x7f garbage", "X-Atlas-Token: old"} {
			for _, method := range []string{"GET", "HEAD"} {
				if a := b.ask(method, path, strings.ReplaceAll(h, "\x7f", "?")); a.status != http.StatusOK {
					t.Errorf("%s %s with %q: %d", method, path, h, a.status)
				}
			}
		}
		if a := b.ask("GET", path+"?access_token=x"); a.status != http.StatusOK {
			t.Errorf("%s with access_token: %d", path, a.status)
		}
	}
}

func TestMissingBoxes(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{}, nil)
	b.release("ops/boxes", "1.0", "libvirt/amd64") // the word of our own paths is a fine name for a box
	if a := b.ask("GET", "/ops/boxes"); a.status != http.StatusOK {
		t.Errorf("GET /ops/boxes: %d", a.status)
	}
	if a := b.ask("GET", "/builds/7"); a.body != "a build" {
		t.Errorf("GET /builds/7: %q", a.body)
	}
	for _, path := range []string{"/no/box", "/api/v2/vagrant/no/box", "/ops/%2e%2e", "/-x/y", "/ops/a%2fb", "/ops/%00", "/ops/<script>"} {
		a := b.ask("GET", path)
		if a.status != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, a.status)
		}
		if strings.Contains(a.body, "script") {
			t.Errorf("GET %s repeats what it was asked: %s", path, a.body)
		}
	}
	if a := b.ask("GET", "/no/box"); a.body != `{"errors":["Resource not found! If it is private, ask with a token that may read it."],"success":false}` {
		t.Errorf("body %s", a.body)
	}
	if b.log.Len() != 0 {
		t.Errorf("missing boxes were logged as faults: %s", b.log)
	}
}
