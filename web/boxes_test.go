package web

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

const versionPage = "/boxes/ops/debian12/versions/20261120.1.0"

func TestBoxPage(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	page := b.page("/ops/debian12")
	digest := string(sample().Releases[2].Files[1].Digest)
	path := "/ops/boxes/debian12/versions/20261120.1.0/providers/libvirt/amd64/" + digest[:12] + "/vagrant.box"
	says(t, html.UnescapeString(page),
		`ENV["VAGRANT_SERVER_URL"] ||= "http://reg.example:8099"`, `config.vm.box = "ops/debian12"`, `config.vm.box_version = "20261120.1.0"`,
		"vagrant box add --provider libvirt \\\n  http://reg.example:8099/ops/debian12",
		"vagrant box add --provider vmware_desktop \\\n  http://reg.example:8099/ops/debian12",
		"curl -fL -o debian12-20261120.1.0-libvirt-amd64.box \\\n  http://reg.example:8099"+path,
		"echo '"+digest+"  debian12-20261120.1.0-libvirt-amd64.box' | sha256sum -c", "virt-install --import --name debian12", "--boot uefi",
		"VBoxManage import debian12/box.ovf", "channel candidate", `config.vm.box = "ops/debian12~candidate"`,
		`href="`+path+`"`, "412 MB", "smoke test passed", "state-revoked", "Rebuilt <strong>every night</strong>", "<h3>What is in it</h3>",
		`href="/boxes/ops/debian12/versions/20261113.1.0"`, `type="application/atom+xml"`)
	if n := strings.Count(page, `class="mark">latest`); n != 1 {
		t.Errorf("%d versions are marked as the latest", n)
	}
	for _, hidden := range []string{"20261121.1.0", "20261101.1.0", "versions/20261106.1.0/providers"} {
		if strings.Contains(page, hidden) {
			t.Errorf("users see %s", hidden)
		}
	}
	says(t, b.getAs("/ops/debian12", b.login("bxk_write")), "state-draft", "state-deleted", "20261121.1.0", "smoke test failed", "/boxes/ops/debian12/upload")
	if w := b.get("/ops/debian12~candidate"); w.Header().Get("Location") != "/ops/debian12" {
		t.Errorf("the box with a channel: %d to %q", w.Code, w.Header().Get("Location"))
	}
	if strings.Contains(b.page("/lab/windows-2022"), "Use it") {
		t.Error("a box without a released version shows how to use it")
	}
}

func TestVersionPage(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	page := html.UnescapeString(b.page(versionPage))
	rel := sample().Releases[2]
	says(t, page, "20261120.1.0", `class="mark">latest`, "pinned", `class="tag channel stable">stable`, "1\u202f204 downloads", "last used",
		`href="#libvirt-amd64"`, `id="libvirt-amd64"`, "412 MB", "1.3 GB", "21 GB", "uefi", "gzip", string(rel.Files[1].Digest), "passed <time", "logged in 21 s",
		"Worth knowing", "vagrant-libvirt can only make it larger", "Its Vagrantfile", `v.driver = "kvm"`, "4 files inside", "box.img", "wiki.example/images",
		"fixes #812", "33 packages", "since 20261113.1.0", "2 added", "2 removed", "30 upgraded", "linux-image-6.1.0-50-amd64", "ntpdate", "All 34 changes",
		`href="/builds/b5"`, "debian.pkr.hcl", "scripts/base.sh", "sha256:9b74c9897bac", "debian-12.8.0-amd64-netinst.iso", "sha256:04396d12b0f3",
		"git 1f0e3dad9990", "not as committed", "3 min 33 s", "Boxkiln 0.4.0", "9.0.0 tcg", "signed", "vagrant.box.minisig", "sbom.cdx.json",
		`config.vm.box_version = "20261120.1.0"`, "vagrant box add --provider libvirt \\\n  --box-version 20261120.1.0 \\\n  http://reg.example:8099/ops/debian12")
	for _, hidden := range []string{"Who downloaded it", "/revoke", "ci-runner"} {
		if strings.Contains(page, hidden) {
			t.Errorf("users see %q", hidden)
		}
	}
	revoked := b.page("/boxes/ops/debian12/versions/20261106.1.0")
	says(t, revoked, "Revoked", "the base image had a wrong clock")
	if strings.Contains(revoked, "vagrant box add") || strings.Contains(revoked, `vagrant.box"`) {
		t.Error("a revoked version can be had")
	}
	says(t, html.UnescapeString(b.page("/boxes/ops/debian12/versions/20261120.2.0")), `config.vm.box = "ops/debian12~candidate"`, "reg.example:8099/ops/debian12~candidate")
	for _, hidden := range []string{"20261121.1.0", "20261101.1.0"} { // a draft, a deleted one
		if w := b.get("/boxes/ops/debian12/versions/" + hidden); w.Code != http.StatusNotFound {
			t.Errorf("a guest gets %s: %d", hidden, w.Code)
		}
	}
	maker := b.login("bxk_write")
	says(t, b.getAs(versionPage, maker), "Who downloaded it", "ci-runner", "1\u202f102", versionPage+"/revoke", versionPage+"/pin", "Take out of candidate")
	says(t, b.getAs("/boxes/ops/debian12/versions/20261121.1.0", maker), "/release", "smoke test failed", "https://cd.example/debian.iso", "sha256:0badc0de")
	says(t, b.getAs("/boxes/ops/debian12/versions/20261101.1.0", maker), "Restore this version")
}

// Without what is known of bytes, and with provenance that is anything, the page shows what there is.
func TestVersionPageIsLenient(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "null", "{}", "[]", `"text"`, "17", "{", `{"build":7}`, `{"predicate":[]}`, `{"predicate":{"buildDefinition":{"resolvedDependencies":{}}}}`,
		`{"build":"elsewhere","template":"x"}`, `{"predicate":{"runDetails":{"metadata":{"startedOn":"yesterday"}}}}`} {
		boxes, builds := samples()
		boxes.boxes[0].Releases[2].Files[1].Provenance = []byte(raw)
		b := setup(t, boxes, builds)
		b.site.Known = nil
		page := b.page(versionPage)
		says(t, page, "412 MB", "uefi")
		if strings.Contains(page, `href="/builds/elsewhere"`) || strings.Contains(page, "packages</strong>") {
			t.Errorf("%s: a link to a build that is not here, or packages that nobody knows", raw)
		}
		says(t, b.page(versionPage+"/packages"), "It is not known what is installed")
	}
}

func TestPackagesPage(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	page := func(query string) string { return html.UnescapeString(b.page(versionPage + "/packages" + query)) }
	says(t, page("?file=libvirt/amd64"), "libvirt/amd64 against 20261113.1.0 libvirt/amd64", "30 upgraded", "1.2.3-4+deb12u11", "1.2.3-4+deb12u12", "9 more", "chrony", ">added<", ">removed<")
	parity := page("?file=virtualbox/amd64&from=20261120.1.0&other=libvirt/amd64")
	says(t, parity, "virtualbox/amd64 against 20261120.1.0 libvirt/amd64", "1 added", "virtualbox-guest-utils", "33 the same")
	says(t, page("?file=libvirt/amd64&from=20261106.1.0"), "It is not known what is installed in libvirt/amd64 of 20261106.1.0")
	says(t, page("?file=libvirt/arm64"), "It is not known what is installed in libvirt/arm64 of this version")
	says(t, page("?file=nothing&from=x&other=y"), "libvirt/arm64")
	says(t, page("?file=libvirt/amd64&from=20261120.1.0"), "It is not known what is installed in libvirt/arm64 of 20261120.1.0") // itself is no news
}

// A build of a private box is there for those who see the box: what it prints tells what is inside.
func TestBuildsOfPrivateBoxes(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	builds.alter("b7", func(x *Build) { x.Box = "Ops/Payroll" }) // as its template has it
	b := setup(t, boxes, builds)
	for _, path := range []string{"/builds/b7", "/builds/b7/log", "/builds/b7/status", "/builds/b7/events", "/builds/b7/screen", "/builds/b7/screen.png", "/builds/b7/serial"} {
		if w := b.get(path); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "ayroll") {
			t.Errorf("%s by a guest: %d", path, w.Code)
		}
	}
	reader := b.login("bxk_read")
	says(t, b.getAs("/builds/b7", reader), "Ops/Payroll")
	for _, path := range []string{"/builds", "/", "/builds?q=debian", "/builds?box=Ops/Payroll"} {
		if page := b.page(path); strings.Contains(page, "/builds/b7") {
			t.Errorf("%s tells a guest of the build", path)
		}
		if !strings.Contains(b.getAs(path, reader), "/builds/b7") {
			t.Errorf("%s does not tell a reader of the build", path)
		}
	}
}

// A private box is there for its members, and for nobody else in any way that tells it from one that is not.
func TestPrivateBoxes(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	b.tokens.known["bxk_lab"] = auth.Principal{Name: "lab", Orgs: map[string]auth.Scope{"lab": auth.Admin}}
	b.tokens.known["bxk_ops"] = auth.Principal{Name: "ops", Orgs: map[string]auth.Scope{"ops": auth.Read}}
	stranger, member := b.login("bxk_lab"), b.login("bxk_ops")
	for _, path := range []string{"/ops/NAME", "/boxes/ops/NAME/versions/2.1", "/boxes/ops/NAME/versions/2.1/packages", "/boxes/ops/NAME/feed.atom",
		"/boxes/ops/NAME/edit", "/boxes/ops/NAME/retention", "/boxes/ops/NAME/upload", "/boxes/ops/NAME/delete", "/boxes/ops/NAME/versions/2.1/notes",
		"/boxes/ops/NAME/versions/2.1/revoke", "/boxes/ops/NAME/versions/2.1/delete"} {
		private, missing := strings.ReplaceAll(path, "NAME", "payroll"), strings.ReplaceAll(path, "NAME", "missing")
		if got, want := b.get(private), b.get(missing); got.Code != http.StatusNotFound || strings.ReplaceAll(got.Body.String(), "payroll", "missing") != want.Body.String() {
			t.Errorf("GET %s by a guest: %d, and %s: %d", private, got.Code, missing, want.Code)
		}
		if got, want := b.getAs(private, stranger), b.getAs(missing, stranger); strings.ReplaceAll(got, "payroll", "missing") != want {
			t.Errorf("GET %s tells a stranger more than %s", private, missing)
		}
	}
	for _, path := range makerPosts {
		private, missing := strings.ReplaceAll(path, "ops/debian12", "ops/payroll"), strings.ReplaceAll(path, "ops/debian12", "ops/missing")
		got, want := b.post(private, url.Values{}, stranger), b.post(missing, url.Values{}, stranger)
		if got.Code != http.StatusNotFound || got.Code != want.Code {
			t.Errorf("POST %s by a stranger: %d, and %s: %d", private, got.Code, missing, want.Code)
		}
	}
	for _, list := range []string{b.page("/"), b.page("/?q=payroll"), b.page("/boxes/feed.atom"), b.getAs("/", stranger)} {
		if strings.Contains(list, "must not be lost") {
			t.Error("a stranger finds the private box")
		}
	}
	says(t, b.getAs("/", member), "Log out", "ops/</span>payroll", ">private<", "must not be lost")
	page := html.UnescapeString(b.getAs("/ops/payroll", member))
	says(t, page, "export VAGRANT_CLOUD_TOKEN=bxk_...", "VAGRANT_SERVER_URL=http://reg.example:8099 \\\n  vagrant box add", ` -u "x:$VAGRANT_CLOUD_TOKEN"`)
	if strings.Contains(page, "/boxes/ops/payroll/edit") {
		t.Error("who may read is offered to write")
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	for query, want := range map[string]string{
		"?org=lab&sort=name": "alpine empty windows-2022", "?provider=virtualbox&sort=name": "alpine debian12", "?arch=arm64": "debian12", "?q=build+farm": "rocky9",
		"?sort=size&org=ops": "debian12 rocky9", "?sort=downloads&provider=libvirt&org=ops": "debian12 rocky9", "?provider=xen": "",
		"?sort=';--": "debian12 rocky9 windows-2022 alpine empty",
	} {
		page := b.page("/" + query)
		at := 0
		for _, name := range strings.Fields(want) {
			i := strings.Index(page[at:], "/</span>"+name+"<")
			if i < 0 {
				t.Errorf("%s does not list %s in its place", query, name)
				break
			}
			at += i
		}
		if n := strings.Count(page, `<li class="card box">`); n != len(strings.Fields(want)) {
			t.Errorf("%s lists %d boxes", query, n)
		}
	}
	says(t, b.page("/?provider=xen"), "No box matches all of that", `<option selected>xen</option>`)
	for range 3 * boxesPerPage {
		boxes.boxes = append(boxes.boxes, boxes.boxes[3])
	}
	says(t, b.page("/?org=lab&provider=libvirt&sort=name&page=2"), "Page 2 of 4", `href="/?org=lab&amp;page=3&amp;provider=libvirt&amp;sort=name"`)
}

func TestFeeds(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	boxes.boxes[0].Releases[2].Description = "<script>alert(1)</script> *new*"
	b := setup(t, boxes, builds)
	for path, want := range map[string]string{"/boxes/feed.atom": "ops/debian12 20261120.1.0", "/boxes/ops/debian12/feed.atom": "ops/debian12 20261113.1.0"} {
		w := b.get(path)
		var f feed
		if err := xml.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Header().Get("Content-Type") != "application/atom+xml; charset=utf-8" {
			t.Fatalf("%s: %v %v", path, err, w.Header())
		}
		says(t, w.Body.String(), want, "http://reg.example:8099/boxes/ops/debian12/versions/20261120.1.0")
		if f.ID != "http://reg.example:8099"+path || f.Updated != "2026-11-19T11:00:00Z" || len(f.Entries) == 0 || strings.Contains(w.Body.String(), "script") {
			t.Errorf("%s: %+v", path, f)
		}
	}
}

func TestSight(t *testing.T) {
	t.Parallel()
	if s := sight(auth.Principal{}); s.All || s.Orgs != nil {
		t.Errorf("anybody sees %+v", s)
	}
	if s := sight(auth.Principal{Scope: auth.Read}); !s.All {
		t.Error("who may read everywhere does not see everything")
	}
	s := sight(auth.Principal{Orgs: map[string]auth.Scope{"b": auth.Read, "a": auth.Admin, "c": ""}})
	if s.All || strings.Join(s.Orgs, " ") != "a b" {
		t.Errorf("%+v", s)
	}
}

// A file that somebody else keeps is fetched from there, with a URL that is one word of a shell.
func TestFilesElsewhere(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	f := &boxes.boxes[1].Releases[0].Files[0]
	f.URL, f.Digest, f.Size, f.Declared = "https://cdn.example/x.box?a=1&b='$(rm)'", "", 0, boxregistry.Checksum{Type: "sha512", Hex: "abcd"}
	page := html.UnescapeString(setup(t, boxes, builds).page("/boxes/ops/rocky9/versions/9.4.1"))
	says(t, page, "Download from cdn.example", `'https://cdn.example/x.box?a=1&b='\''$(rm)'\'''`, "sha512 abcd")
	if strings.Contains(page, "sha256sum -c") {
		t.Error("a checksum of nothing is checked")
	}
}
