package web

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	leaktest.Main(m)
}

// noon is when all pages of the tests are looked at.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// bundle is the pages over the fakes.
type bundle struct {
	t      *testing.T
	boxes  *fakeBoxes
	builds *fakeBuilds
	window *fakeWindow
	tokens *fakeTokens
	log    *bytes.Buffer
	site   *Site
	engine *gin.Engine
}

func setup(t *testing.T, boxes *fakeBoxes, builds *fakeBuilds) *bundle {
	t.Helper()
	b := &bundle{t: t, boxes: boxes, builds: builds, window: &fakeWindow{}, tokens: newTokens(), log: &bytes.Buffer{}, engine: gin.New()}
	b.window.changed.L, builds.changed.L = &b.window.mu, &builds.mu
	from := Sources{Boxes: boxes, Makers: boxes, Versions: boxes, Uploader: boxes, Known: boxes,
		Builds: builds, Window: b.window, Control: builds, Tokens: b.tokens}
	site, err := New(from, Options{Version: "1.2.3-test", Logger: slog.New(slog.NewTextHandler(b.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	site.now = func() time.Time { return noon }
	b.site = site
	site.Register(b.engine)
	b.engine.Match([]string{"GET", "HEAD"}, "/:org/:box", site.Box) // the Vagrant API does this
	b.engine.NoRoute(site.NotFound)
	return b
}

// get asks for a page of the host reg.example:8099.
func (b *bundle) get(path string) *httptest.ResponseRecorder { return b.ask("GET", path) }

func (b *bundle) ask(method, path string) *httptest.ResponseRecorder {
	return b.do(httptest.NewRequestWithContext(b.t.Context(), method, "http://reg.example:8099"+path, nil))
}

func (b *bundle) do(r *http.Request) *httptest.ResponseRecorder {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.engine.ServeHTTP(w, r)
	return w
}

// post sends a form as a page of our own does, with the cookies given.
func (b *bundle) post(path string, form url.Values, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(b.t.Context(), "POST", "http://reg.example:8099"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return b.do(r)
}

// getAs asks for a page with a session.
func (b *bundle) getAs(path string, session *http.Cookie) string {
	r := httptest.NewRequestWithContext(b.t.Context(), "GET", "http://reg.example:8099"+path, nil)
	r.AddCookie(session)
	return b.do(r).Body.String()
}

// login returns the cookie that a token is worth.
func (b *bundle) login(token string) *http.Cookie {
	b.t.Helper()
	w := b.post("/login", url.Values{"token": {token}})
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		b.t.Fatalf("login: %d\n%s", w.Code, w.Body)
	}
	return w.Result().Cookies()[0]
}

// page asks for a page that must be there.
func (b *bundle) page(path string) string {
	b.t.Helper()
	w := b.get(path)
	if w.Code != http.StatusOK {
		b.t.Fatalf("GET %s: %d\n%s%s", path, w.Code, w.Body, b.log)
	}
	return w.Body.String()
}

// says fails for each text that the page lacks.
func says(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !strings.Contains(page, s) {
			t.Errorf("the page does not say %q", s)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func file(provider, arch string, size int64) boxregistry.File {
	digest := blob.Digest(fmt.Sprintf("%x", sha256.Sum256([]byte(fmt.Sprint(provider, arch, size)))))
	return boxregistry.File{Provider: boxregistry.Provider(provider), Architecture: boxregistry.Architecture(arch),
		Default: arch == "amd64", Digest: digest, Size: size, Published: noon.Add(-26 * time.Hour)}
}

func release(version string, state boxregistry.State, files ...boxregistry.File) boxregistry.Release {
	r := boxregistry.Release{Version: must(boxregistry.ParseVersion(version)), State: state, Created: noon.Add(-72 * time.Hour), Files: files}
	if state != boxregistry.Draft {
		r.Released = noon.Add(-25 * time.Hour)
	}
	if state == boxregistry.Released {
		r.Channels = []boxregistry.Channel{boxregistry.Stable}
	}
	if state == boxregistry.Revoked {
		r.Revoked, r.RevokedWhy = noon.Add(-2*time.Hour), "the base image had a wrong clock; use 20261113.1.0"
	}
	return r
}

func sampleBuilds() []Build {
	at := func(seconds float64) time.Time {
		return noon.Add(time.Duration((seconds - 200) * float64(time.Second)))
	}
	step := func(name string, phase build.StepPhase, began, seconds float64, detail string) build.Moment {
		return build.Moment{Kind: build.EventStep, Name: name, Phase: phase, At: at(began), Seconds: seconds, Detail: detail}
	}
	mark := func(m build.Mark, when float64, detail string) build.Moment {
		return build.Moment{Kind: build.EventMark, Name: string(m), At: at(when), Detail: detail}
	}
	return []Build{
		{ID: "b7", State: build.Running, Template: "debian.pkr.hcl", Source: "libvirt.debian", Box: "ops/debian12", Version: "20261121.1.0", Attempt: 2,
			Queued: at(0), Started: at(2), Timeline: []build.Moment{
				{Kind: build.EventState, Name: "running", Phase: build.StepBegan, At: at(2)},
				step("fetch-media", build.StepCached, 2, 0, "verified 3 days ago"),
				mark(build.MarkMedia, 2.2, ""),
				step("create-machine", build.StepDone, 3, 1.5, ""),
				mark(build.MarkPoweredOn, 4.5, ""),
				step("type-boot", build.StepDone, 4.6, 9, ""),
				mark(build.MarkTyped, 13.6, ""),
				step("wait-guest", build.StepDone, 14, 118, ""),
				{Kind: build.EventSeed, Name: "GET /preseed.cfg", Status: 200, Size: 1932, At: at(21)},
				{Kind: build.EventSeed, Name: "GET /late.sh", Status: 404, At: at(80)},
				mark(build.MarkPortOpen, 118, "127.0.0.1:40022"), mark(build.MarkBanner, 119, "SSH-2.0-OpenSSH_9.2p1"), mark(build.MarkLogin, 132, ""),
				step("provision 1: shell", build.StepBegan, 145, 0, "")}},
		{ID: "b6", State: build.Failed, Template: "rocky.json", Source: "libvirt.rocky", Attempt: 1, Queued: at(-900), Started: at(-890), Finished: at(-800),
			Resumable: true,
			Error:     "provisioner 2 (shell): script \"setup.sh\" exited with status 3; the last lines it printed are in the log",
			Timeline: []build.Moment{step("install", build.StepDone, -890, 70, ""), step("provision 2: shell", build.StepFailed, -820, 20, "exited with status 3"),
				{Kind: build.EventState, Name: "failed", At: at(-800)}}},
		{ID: "b5", State: build.Succeeded, Template: "debian.pkr.hcl", Source: "libvirt.debian", Box: "ops/debian12", Version: "20261120.1.0", Attempt: 1,
			Queued: at(-90000), Started: at(-89990), Finished: at(-89800)},
		{ID: "b4", State: build.Queued, Template: "alma.pkr.hcl", Source: "virtualbox-iso.alma", Queued: at(100)},
		{ID: "b3", State: build.Canceled, Template: "alma.pkr.hcl", Source: "libvirt.alma", Queued: at(-190000), Finished: at(-189000)},
	}
}

// say and msg are events of a log.
func say(text string) build.Event { return build.Event{Time: noon, Kind: build.EventSay, Text: text} }
func msg(text string) build.Event {
	return build.Event{Time: noon, Kind: build.EventMessage, Text: text}
}

func sampleLog() []build.Event {
	return []build.Event{
		{Time: noon, Kind: build.EventState, State: build.Running}, say("Waiting for SSH ..."), msg("\x1b[32mconnected\x1b[0m\r"), msg("10%\r100%"),
		{Time: noon, Kind: build.EventProgress, Text: "debian.iso", Done: 1, Total: 2}, {Time: noon, Kind: build.EventSeed, Text: "GET /preseed.cfg: 200"},
		say("Provisioning with shell script setup.sh"), msg("Setting up openssh-server (1:9.2p1-2+deb12u3) ..."),
	}
}

func samples() (*fakeBoxes, *fakeBuilds) {
	return sampleBoxes(),
		&fakeBuilds{builds: sampleBuilds(), logs: map[string][]build.Event{"b7": sampleLog(),
			"b6": append(slices.Repeat([]build.Event{msg("boring line")}, 40_000), msg("setup.sh: no such mirror"))}}
}
