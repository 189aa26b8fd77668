package web

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/auth"
)

var allPages = []string{"/", "/?q=rocky", "/?q=nothing", "/ops/debian12", "/lab/windows-2022", "/lab/empty", versionPage,
	"/boxes/ops/debian12/versions/20261106.1.0", versionPage + "/packages", versionPage + "/packages?file=libvirt/amd64", "/builds", "/builds?state=failed&q=none", "/builds/b7", "/builds/b6", "/builds/b4", "/login?next=/builds"}

func TestHome(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	says(t, b.page("/"), `href="/ops/debian12"`, "20261120.1.0", "1 day ago", "libvirt</span>", "virtualbox</span>",
		"not released yet", "Recent builds", `href="/builds/b7"`, "state-running", "1.2.3-test", "Debian 12, minimal", "51\u202f342 downloads", "on disk")
	if page := b.page("/?q=rocky"); strings.Contains(page, "debian12</a>") || !strings.Contains(page, "ops/</span>rocky9") || !strings.Contains(page, `value="rocky"`) {
		t.Error("the search does not work")
	}
	says(t, b.page("/?q=nothing"), "No box matches <strong>nothing</strong>")
	empty := setup(t, &fakeBoxes{}, &fakeBuilds{})
	says(t, empty.page("/"), "No boxes yet", "boxkiln build --box ops/debian12", "Nothing has been built here")
	says(t, empty.page("/builds"), "No builds yet")
}

func TestVersionsArePaged(t *testing.T) {
	t.Parallel()
	box := sample()
	box.Releases = nil
	for i := range 45 {
		box.Releases = append(box.Releases, release(fmt.Sprintf("1.%d", 45-i), boxregistry.Released, file("libvirt", "amd64", 1)))
	}
	b := setup(t, &fakeBoxes{boxes: []boxregistry.Box{box}}, &fakeBuilds{})
	second := b.page("/ops/debian12?page=2")
	says(t, second, "Page 2 of 3", `href="/ops/debian12?page=1"`, `href="/ops/debian12?page=3"`, `versions/1.25"`, `versions/1.6"`, "1.45")
	if strings.Contains(second, `versions/1.26"`) || strings.Contains(second, `versions/1.5"`) {
		t.Error("page 2 shows versions of other pages")
	}
	for _, q := range []string{"?page=99", "?page=-1", "?page=x", "?page=99999999999999999999"} {
		b.page("/ops/debian12" + q)
		b.page("/" + q)
		b.page("/builds" + q)
	}
}

func TestBuildPages(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	says(t, b.page("/builds"), `href="/builds/b7"`, "state-failed", "1 min 30 s", "rocky.json", `href="/ops/debian12"`)
	running := b.page("/builds/b7")
	says(t, running, "running for 3 min 18 s", "attempt 2", "step-cached", "verified 3 days ago", "step-running", "GET /preseed.cfg", "200, 1.9 kB",
		`<rect x="6.1%" y="0" width="59.6%"`, "1 min 58 s", "powered on", `<p class="log-say"><span class="at">12:00:00</span> ==&gt; Waiting for SSH ...</p>`,
		">12:00:00</span> connected<", "> 100%<", "seed: GET /preseed.cfg: 200", `data-offset="512"`, "Log in</a>")
	if strings.Contains(running, "\x1b") || strings.Contains(running, "10%\r") || strings.Contains(running, "http-equiv") || strings.Contains(running, `method="post"`) {
		t.Error("terminal codes reach the page, it reloads by itself, or it has a form for those who may not send it")
	}
	failed := b.page("/builds/b6")
	says(t, failed, "Why it ended", "exited with status 3", "setup.sh: no such mirror", "Earlier lines are left out", "step-failed")
	if n := strings.Count(failed, "boring line"); n == 0 || n > logShown/entrySize {
		t.Errorf("the page shows %d lines", n)
	}
	says(t, b.page("/builds/b4"), "Waiting for memory", "the build waits for its turn")
}

func TestWholeLog(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	w := b.get("/builds/b7/log")
	const want = "12:00:00 ==> Waiting for SSH ...\n12:00:00     connected\n12:00:00     100%\n12:00:00     seed: GET /preseed.cfg: 200\n" +
		"12:00:00 ==> Provisioning with shell script setup.sh\n12:00:00     Setting up openssh-server (1:9.2p1-2+deb12u3) ...\n"
	if w.Code != http.StatusOK || w.Body.String() != want || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" ||
		w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v\n%s", w.Code, w.Header(), w.Body)
	}
	if n := strings.Count(b.get("/builds/b6/log").Body.String(), "\n"); n != 40_001 {
		t.Errorf("a long log has %d lines", n)
	}
}

func TestEveryAnswerIsSecured(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	inline := regexp.MustCompile(`(?i)<script>|<script [^>]*[^/]>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:`)
	style := regexp.MustCompile(`href="(/assets/[^"]+\.css)"`).FindStringSubmatch(b.page("/"))[1]
	for _, path := range append(allPages, "/nowhere", "/builds/none", "/no/box", style, "/builds/b7/log") {
		get, head := b.get(path), b.ask("HEAD", path)
		for name, want := range map[string]string{"Content-Security-Policy": contentSecurityPolicy, "X-Content-Type-Options": "nosniff"} {
			if got := get.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if m := inline.FindString(get.Body.String()); m != "" {
			t.Errorf("%s has inline code: %q", path, m)
		}
		if head.Code != get.Code || head.Header().Get("Content-Type") != get.Header().Get("Content-Type") {
			t.Errorf("HEAD %s: %d, GET %d", path, head.Code, get.Code)
		}
	}
	if w := b.get(style); !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("style sheet: %v", w.Header())
	}
	if w := b.get("/assets/000000000000/style.css"); w.Code != http.StatusNotFound {
		t.Errorf("an asset under another digest: %d", w.Code)
	}
}

// Everything that a box's maker, a template or a guest can write holds a canary that would run if it were not escaped.
func TestNothingBecomesCode(t *testing.T) {
	t.Parallel()
	const canary = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`
	registry := poisoned(canary)
	evil := Build{ID: canary, State: canary, Template: canary, Source: canary, Box: "javascript:alert(1)/" + canary, Version: canary,
		Error: canary, Queued: noon, Started: noon.Add(-time.Minute), Resumable: true, Question: &Question{Text: canary, Choices: []string{canary}},
		Timeline: []build.Moment{{Kind: canary, Name: canary, Detail: canary, Phase: canary, At: noon}}}
	shown := evil
	shown.ID = "b1"
	b := setup(t, registry, &fakeBuilds{builds: []Build{shown, evil},
		logs: map[string][]build.Event{"b1": {say(canary), msg(canary), {Kind: build.EventQuestion, Text: canary, Choices: []string{canary}}}}})
	b.window.serial = []byte(canary)
	b.tokens.known["bxk_evil"] = auth.Principal{Name: canary, Scope: auth.Write}
	session := b.login("bxk_evil")
	for _, path := range []string{"/", "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&org=%22%3E%3Cscript%3E&arch=%22%3E%3Cscript%3E", "/ops/debian12", versionPage,
		"/boxes/ops/debian12/versions/20261106.1.0", versionPage + "/packages?file=libvirt/arm64&from=20261120.1.0&other=%22%3E%3Cscript%3E", versionPage + "/packages?file=%22%3E%3Cscript%3E",
		versionPage + "/notes", versionPage + "/revoke", versionPage + "/delete", "/boxes/ops/debian12/edit", "/boxes/ops/debian12/delete", "/boxes/trash",
		"/boxes/new?org=%22%3E%3Cscript%3E", "/boxes/ops/debian12/upload?version=%22%3E%3Cscript%3E", "/boxes/ops/debian12/retention?last=%22%3E%3Cscript%3E", "/builds", "/builds/b1", "/%22%3E%3Cscript%3E/x", "/builds/%3Cscript%3E", "/builds/b1/status",
		"/login?next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/builds?q=%22%3E%3Cscript%3E&box=%22%3E%3Cscript%3E"} {
		page := b.get(path).Body.String() + b.getAs(path, session)
		root, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		for n := range root.Descendants() {
			if n.Data == "script" && !strings.HasPrefix(attribute(n, "src"), "/assets/") || n.Data == "img" && attribute(n, "src") == "x" {
				t.Errorf("%s: the canary became a <%s>", path, n.Data)
			}
			for _, a := range n.Attr {
				if a.Key == "onerror" || strings.HasPrefix(a.Key, "on") && len(a.Key) > 2 || a.Key == "href" && strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
					t.Errorf("%s: the canary became %s=%q", path, a.Key, a.Val)
				}
			}
		}
	}
}

// poisoned is a registry in which a canary is wherever its makers, and those who download, can write.
func poisoned(canary string) *fakeBoxes {
	written := canary + "\n\n[x](javascript:alert(1)) ![x](javascript:alert(1)) <a href=\"javascript:alert(1)\">x</a>\n\n# " + canary
	box := sample()
	box.ShortDescription, box.Description = canary, written
	rel := &box.Releases[2]
	rel.Description, box.Releases[4].RevokedWhy = written, canary
	f := &rel.Files[1]
	f.Firmware, f.Smoke.Detail = canary, canary
	f.Provenance = []byte(`{"build":"</code><script>alert(1)</script>","template":"<img src=x>","media_url":"javascript:alert(1)"}`)
	f.Provider, f.Architecture = boxregistry.Provider(canary), boxregistry.Architecture(canary) // the registry would refuse them
	rel.Files[2].URL, rel.Files[2].Digest, rel.Files[2].Declared = `https://x/'"><script>alert(1)</script>`, "", boxregistry.Checksum{Type: canary, Hex: canary}
	rel.Files[3].URL, rel.Files[3].Digest = "javascript:alert(1)", ""
	return &fakeBoxes{boxes: []boxregistry.Box{box}, deleted: []boxregistry.Box{{Name: box.Name, ShortDescription: canary, Deleted: noon}},
		known: map[blob.Digest]boxfile.Summary{f.Digest: {Compression: canary, Vagrantfile: canary, Info: map[string]string{canary: canary},
			Files: []boxfile.Entry{{Name: canary}}, Warnings: []string{canary}}},
		packages: map[blob.Digest][]sbom.Package{f.Digest: {{Name: canary, Version: canary, Arch: canary, Type: sbom.Deb}},
			rel.Files[0].Digest: {{Name: "x", Version: canary, Arch: "amd64", Type: sbom.Deb}}},
		used: []boxregistry.Download{{Version: rel.Version, Client: canary, At: noon}}}
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// The structure that screen readers and keyboards go by.
func TestStructure(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	maker := b.login("bxk_write")
	for _, path := range slices.Concat(allPages, makerPages, []string{"/nowhere"}) {
		text := b.get(path).Body.String()
		if slices.Contains(makerPages, path) {
			text = b.getAs(path, maker)
		}
		root, err := html.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		count, ids, refs := map[string]int{}, map[string]int{}, []string{}
		for n := range root.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			count[n.Data]++
			if id := attribute(n, "id"); id != "" {
				ids[id]++
			}
			refs = append(refs, attribute(n, "aria-labelledby"), attribute(n, "for"), attribute(n, "aria-controls"), attribute(n, "aria-describedby"))
			if n.Data == "img" && n.Attr == nil || n.Data == "th" && attribute(n, "scope") == "" || n.Data == "html" && attribute(n, "lang") != "en" {
				t.Errorf("%s: <%s> lacks what makes it readable", path, n.Data)
			}
		}
		for _, tag := range []string{"h1", "main", "title", "header", "footer"} {
			if count[tag] != 1 {
				t.Errorf("%s has %d <%s>", path, count[tag], tag)
			}
		}
		for id, n := range ids {
			if n > 1 {
				t.Errorf("%s has %d elements with id %q", path, n, id)
			}
		}
		for _, ref := range refs {
			if ref != "" && ids[ref] == 0 {
				t.Errorf("%s refers to %q, which is not there", path, ref)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	for _, path := range []string{"/nowhere", "/builds/none", "/builds/none/log", "/builds/b4/log", "/builds/none/status", "/builds/none/events", "/builds/none/serial", "/builds/none/screen", "/builds/none/screen.png", "/builds/b7/screen.png", "/no/box", "/ops/-x", "/assets/x/y", "/boxes/ops/debian12/versions/9", "/boxes/ops/debian12/versions/x-", "/boxes/no/box/versions/1", "/boxes/no/box/feed.atom", "/boxes/x"} {
		if w := b.get(path); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "There is nothing here") {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	boom := errors.New("disk I/O error at /var/lib/secret")
	broken := setup(t, &fakeBoxes{err: boom}, &fakeBuilds{err: boom, builds: sampleBuilds(), logs: map[string][]build.Event{"b7": nil}})
	for _, path := range []string{"/", "/ops/debian12", "/boxes/ops/debian12/versions/1", "/boxes/feed.atom", "/builds", "/builds/b7", "/builds/b7/log", "/builds/b7/status", "/builds/b7/events"} {
		w := broken.get(path)
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("GET %s: %d\n%s", path, w.Code, w.Body)
		}
	}
	if n := strings.Count(broken.log.String(), "secret"); n != 9 {
		t.Errorf("the log names the cause %d times, want 9:\n%s", n, broken.log)
	}
}
