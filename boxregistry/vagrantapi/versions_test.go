package vagrantapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// draftCloud has the box ops/deb with the draft 1.0, which has a file.
func draftCloud(t *testing.T) *cloud {
	c := newCloud(t)
	c.want(writer, "POST", "/api/v2/boxes", `{"box":{"username":"ops","name":"deb","is_private":false}}`)
	c.want(writer, "POST", ops+"/versions", `{"version":{"version":"1.0"}}`)
	c.upload(writer, ops+"/version/1.0", "libvirt", "one")
	return c
}

func TestVersionLife(t *testing.T) {
	t.Parallel()
	c := draftCloud(t)
	const one = ops + "/version/1.0"
	if o := c.want(writer, "GET", one, ""); o["status"] != "unreleased" {
		t.Errorf("status %v", o["status"])
	}
	c.refused(422, "never released", writer, "PUT", one+"/revoke", "")
	if o := c.want(writer, "PUT", one, `{"version":{"version":"1.0","description":"notes"}}`); o["description"] != "notes" {
		t.Errorf("%v", o)
	}
	if o := c.want(writer, "PUT", one+"/release", ""); o["status"] != "active" {
		t.Errorf("released: %v", o)
	}
	// Packer looks for these words and goes on.
	c.refused(422, "already been released", writer, "PUT", one+"/release", "")
	if o := c.want(writer, "PUT", one, `{"version":{"description":"better notes"}}`); o["description"] != "better notes" {
		t.Errorf("notes of a released version: %v", o)
	}
	c.refused(422, "never change", writer, "PUT", one, `{"version":{"version":"1.1"}}`)
	if o := c.want(writer, "PUT", one+"/revoke", ""); o["status"] != "revoked" {
		t.Errorf("revoked: %v", o)
	}
	if o := c.want(writer, "PUT", one+"/revoke", ""); o["status"] != "revoked" {
		t.Errorf("revoked again: %v", o)
	}
	c.refused(422, "cannot be released again; publish under another number", writer, "PUT", one+"/release", "")
	c.refused(422, "above 1.0", writer, "POST", ops+"/versions", `{"version":{"version":"1.0"}}`)
	c.refused(404, "no version", reader, "GET", one, "")
	if o := c.want(writer, "DELETE", one, ""); o["version"] != "1.0" {
		t.Errorf("%v", o)
	}
	c.refused(404, "no version", writer, "GET", one, "")
}

func TestVersionNumbers(t *testing.T) {
	t.Parallel()
	c := draftCloud(t)
	for number, says := range map[string]string{
		"1.0": "already", "1.0.0": "the same", "v2.0": "no \\\"v\\\"", "2.0+b1": "no", "2.0_1": "no", "latest": "number first", "": "number", "../2": "number",
	} {
		_, o := c.do(writer, "POST", ops+"/versions", fmt.Sprintf(`{"version":{"version":%q}}`, number))
		if o["success"] != false || !strings.Contains(fmt.Sprint(o["errors"]), strings.ReplaceAll(says, `\"`, `"`)) {
			t.Errorf("version %q: %v", number, o)
		}
	}
	for _, number := range []string{"1", "20261120.1.0", "1.2.3.4", "1.0.0-rc1"} {
		if number == "1" {
			continue // the same as 1.0
		}
		c.want(writer, "POST", "/api/v1/box/ops/deb/versions", fmt.Sprintf(`{"version":{"version":%q,"description":null}}`, number))
	}
	if o := c.want(writer, "PUT", ops+"/version/1.2.3.4", `{"version":{"version":"1.3","description":"d"}}`); o["version"] != "1.3" || o["description"] != "d" {
		t.Errorf("renumbered: %v", o)
	}
	c.refused(400, "no JSON", writer, "POST", ops+"/versions", `"1.0"`)
	c.refused(400, "cannot be a", writer, "POST", ops+"/versions", `{"version":{"version":1}}`)
	c.refused(422, "number", writer, "POST", ops+"/versions", `{"version":null}`)
	c.refused(404, missing, writer, "GET", ops+"/version/v1", "")
	c.refused(422, "the version has no file", writer, "PUT", ops+"/version/1.3/release", "")
}

// What a draft promises and does not have is not released, and does not hold up the rest.
func TestReleaseNeedsWholeFiles(t *testing.T) {
	t.Parallel()
	c := draftCloud(t)
	c.want(writer, "POST", ops+"/version/1.0/providers", `{"provider":{"name":"virtualbox","architecture":"amd64"}}`)
	o := c.want(writer, "PUT", ops+"/version/1.0/release", "")
	if len(o["providers"].([]any)) != 1 {
		t.Errorf("released %v", o["providers"])
	}
	c.want(writer, "POST", ops+"/versions", `{"version":{"version":"1.1"}}`)
	c.want(writer, "POST", ops+"/version/1.1/providers", `{"provider":{"name":"libvirt","architecture":"amd64"}}`)
	c.refused(422, "no file", writer, "PUT", ops+"/version/1.1/release", "")
}

// A channel is in the name of the box, so that clients that know of none can publish into it and follow it.
func TestChannels(t *testing.T) {
	t.Parallel()
	c := draftCloud(t)
	const candidate = "/api/v2/box/ops/deb~candidate"
	if o := c.want(writer, "GET", candidate, ""); o["tag"] != "ops/deb~candidate" || o["name"] != "deb~candidate" || o.get("versions.0.release_url") != c.url+candidate+"/version/1.0/release" {
		t.Errorf("%v", o)
	}
	c.want(writer, "PUT", candidate+"/version/1.0/release", "")
	c.refused(422, "already been released", writer, "PUT", candidate+"/version/1.0/release", "")
	for path, want := range map[string]string{
		"/ops/deb": "", "/ops/deb~candidate": "1.0: libvirt/amd64*", "/ops/deb?channel=candidate": "1.0: libvirt/amd64*",
		"/api/v2/vagrant/ops/deb~candidate": "1.0: libvirt/amd64*", "/ops/deb~other": "", "/ops/deb?channel=": "", "/ops/deb~stable": "",
	} {
		catalog := c.catalogOf(path)
		name := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/api/v2/vagrant"), "/"), "?")[0]
		if name == "ops/deb~stable" {
			name = "ops/deb"
		}
		if got := inShort(catalog); got != want || catalog.Name != name {
			t.Errorf("%s: %s %q, want %q", path, catalog.Name, got, want)
		}
	}
	// Promoted without being built again, as a release of the box itself.
	if o := c.want(writer, "PUT", ops+"/version/1.0/release", ""); o["status"] != "active" {
		t.Errorf("%v", o)
	}
	if got := inShort(c.catalogOf("/ops/deb")); got != "1.0: libvirt/amd64*" {
		t.Errorf("after the promotion stable has %q", got)
	}
	if got := inShort(c.catalogOf("/ops/deb~candidate")); got != "1.0: libvirt/amd64*" {
		t.Errorf("after the promotion the candidates are %q: stable ones are among them", got)
	}
	for _, path := range []string{"/ops/deb~", "/ops/deb~A", "/ops/deb~a/b", "/ops/deb~a~b", "/ops/deb@candidate", "/ops/deb?channel=..%2f"} {
		if a := c.ask("GET", path); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestCatalogsAreKeptUntilSomethingChanges(t *testing.T) {
	t.Parallel()
	c := draftCloud(t)
	c.want(writer, "PUT", ops+"/version/1.0/release", "")
	for _, change := range []struct {
		method, path, body, want string
	}{
		{"POST", ops + "/versions", `{"version":{"version":"1.1"}}`, "1.0: libvirt/amd64*"},
		{"PUT", ops + "/version/1.0/revoke", "", ""},
	} {
		c.catalogOf("/ops/deb")
		c.want(writer, change.method, change.path, change.body)
		if got := inShort(c.catalogOf("/ops/deb")); got != change.want {
			t.Errorf("after %s %s: %q, want %q", change.method, change.path, got, change.want)
		}
	}
	c.want(writer, "PUT", ops, `{"is_private":true}`)
	if a := c.ask("GET", "/ops/deb"); a.status != 404 {
		t.Errorf("the catalog of a box that became private: %d", a.status)
	}
	c.want(writer, "PUT", ops, `{"is_private":false}`)
	if a := c.ask("GET", "/ops/deb"); a.status != 200 {
		t.Errorf("the catalog of a box that became public: %d", a.status)
	}
	// The host is the client's to choose, and must not end up in the answers to others.
	c.ask("GET", "/ops/deb", "Host: evil.example")
	if a := c.ask("GET", "/ops/deb"); strings.Contains(a.body, "evil") {
		t.Errorf("somebody else's host: %s", a.body)
	}
}

// A box whose only version has no entry for old clients is not offered to them with an empty list.
func TestNoEmptyVersions(t *testing.T) {
	t.Parallel()
	box := boxregistry.Box{Name: must(boxregistry.ParseName("ops/deb")), Releases: []boxregistry.Release{{
		Version: must(boxregistry.ParseVersion("1.0")), State: boxregistry.Released, Channels: []boxregistry.Channel{boxregistry.Stable}, Created: time.Now(),
		Files: []boxregistry.File{{Provider: "libvirt", Architecture: "arm64", Digest: "d0"}, {Provider: "virtualbox", Architecture: "arm64", Default: true}},
	}}}
	k := catalogKey{name: box.Name, channel: boxregistry.Stable, oneEach: true}
	if c := newCatalog(box, k, func(path string) string { return path }); len(c.Versions) != 0 {
		t.Errorf("%+v", c.Versions)
	}
	k.oneEach = false
	if c := newCatalog(box, k, func(path string) string { return path }); inShort(c) != "1.0: libvirt/arm64" {
		t.Errorf("%+v", c.Versions)
	}
}
