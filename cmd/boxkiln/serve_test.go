package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// served is a daemon that runs in this process.
type served struct {
	*running
	url string
}

var servedAt = regexp.MustCompile(`on (http://\S+)\n`)

// serve starts a daemon on a free port and waits until it is ready.
func (b *bench) serve(args ...string) *served {
	b.t.Helper()
	d := b.start(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	d.stdout.await(" on http://")
	s := &served{d, servedAt.FindStringSubmatch(d.stdout.text())[1]}
	b.t.Cleanup(s.stop)
	return s
}

// stop ends the daemon, if it still runs.
func (s *served) stop() {
	s.b.t.Helper()
	s.cancel()
	if r := s.wait(); r.code != exitOK {
		s.b.t.Errorf("serve ended with %d: %s", r.code, r.stderr)
	}
	s.done <- exitOK // for the next wait
}

// get asks the daemon over TCP.
func (s *served) get(path string, header http.Header) (*http.Response, string) {
	s.b.t.Helper()
	return s.do(http.MethodGet, path, header, "")
}

func (s *served) do(method, path string, header http.Header, body string) (*http.Response, string) {
	s.b.t.Helper()
	req, err := http.NewRequestWithContext(s.b.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.b.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		s.b.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.b.t.Fatal(err)
	}
	return res, string(data)
}

// TestCatalog publishes a box through a running daemon and asks for it as Vagrant does.
func TestCatalog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	b.run("build", "--box", "acme/solo", "--box-version", "1.2.0", "--box-description", "the first", b.solo(nil, "")).
		wants(t, exitOK, "Publishing acme/solo 1.2.0...", "Published and released: acme/solo 1.2.0 (libvirt, amd64)")

	for _, path := range []string{"/acme/solo", "/api/v2/vagrant/acme/solo"} {
		res, text := d.get(path, http.Header{"Accept": {"application/json"}})
		var catalog struct {
			Name     string
			Versions []struct {
				Version   string
				Providers []struct{ Name, URL, Checksum, Architecture string }
			}
		}
		if err := json.Unmarshal([]byte(text), &catalog); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v: %s", path, res.Status, err, text)
		}
		if catalog.Name != "acme/solo" || len(catalog.Versions) != 1 || catalog.Versions[0].Version != "1.2.0" {
			t.Fatalf("%s: %+v", path, catalog)
		}
		p := catalog.Versions[0].Providers[0]
		if p.Name != "libvirt" || p.Architecture != "amd64" || len(p.Checksum) != 64 {
			t.Errorf("%s: %+v", path, p)
		}
		d.download(strings.TrimPrefix(p.URL, d.url))
	}
	d.stop()
	b.nothingLeft()
}

// download fetches a box in two parts and looks at its first bytes.
func (s *served) download(path string) {
	s.b.t.Helper()
	res, whole := s.get(path, nil)
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(whole, "\x1f\x8b") {
		s.b.t.Fatalf("%s: %s, %d bytes", path, res.Status, len(whole))
	}
	res, tail := s.get(path, http.Header{"Range": {fmt.Sprintf("bytes=%d-", len(whole)-10)}})
	if res.StatusCode != http.StatusPartialContent || tail != whole[len(whole)-10:] {
		s.b.t.Errorf("%s: %s, %q", path, res.Status, tail)
	}
}

// TestPages: the pages of a daemon that has built something.
func TestPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	b.run("build", "--box", "acme/solo", "--box-version", "1.0", b.solo(nil, inline("echo seen on the page"))).wants(t, exitOK)
	id := string(b.builds()[0].ID)
	for path, want := range map[string]string{"/": "acme/solo", "/acme/solo": "1.0", "/builds": id, "/builds/" + id: "seen on the page"} {
		if res, text := d.get(path, http.Header{"Accept": {"text/html"}}); res.StatusCode != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %s without %q", path, res.Status, want)
		}
	}
	b.run("builds", "show", id).wants(t, exitOK, "succeeded", "create-machine", "done")
	b.run("builds", "log", id, "-color=false").wants(t, exitOK, "fake.solo: seen on the page")
	b.run("builds", "show", "--json", id).wants(t, exitOK, `"steps":[`)
	b.run("builds", "show", "20000101-000000-ffff").wants(t, exitFailed, "no such build")
	b.run("builds", "cancel", "20000101-000000-ffff").wants(t, exitFailed, "20000101-000000-ffff: no such build")
}

// TestTokens: what may be done over TCP with which token.
func TestTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	offline := b.token("admin", "before")
	d := b.serve()
	b.run("token", "ls").wants(t, exitOK, "before", "admin")
	template := b.solo(nil, "")
	remote := []string{"build", "--server", d.url, template}

	b.run(remote...).wants(t, exitFailed, "this needs a token", "boxkiln token create --scope read")
	res, text := d.do(http.MethodPost, "/v1/builds", nil, "{}")
	if res.StatusCode != http.StatusUnauthorized || !strings.Contains(text, "boxkiln token create --scope write NAME") {
		t.Errorf("a submission without token: %s: %s", res.Status, text)
	}
	b.env["BOXKILN_TOKEN"] = "bxk_wrong"
	b.run(remote...).wants(t, exitFailed, "the token is unknown, expired or revoked", "boxkiln token create")
	b.env["BOXKILN_TOKEN"] = b.token("read", "reader")
	b.run(remote...).wants(t, exitFailed, `the token "reader" has scope read, and this needs write`)
	b.run("token", "ls", "--server", d.url).wants(t, exitFailed, "does not have the scope admin")

	writer := b.write("token", b.token("write", "writer")+"\n")
	// The medium lies on the daemon's host, which whoever may only submit builds must not read.
	b.run(append(remote, "--token-file", writer)...).wants(t, exitFailed, "iso_url names a file of the daemon's host", "admin token")
	admin := b.write("admin", b.token("admin", "chief")+"\n")
	b.run(append(remote, "--token-file", admin)...).wants(t, exitOK)
	if !b.exists("out/packer-solo") {
		t.Error("the output of a build over TCP did not come home")
	}
	b.run("token", "revoke", "writer").wants(t, exitOK)
	b.run(append(remote, "-force", "--token-file", writer)...).wants(t, exitFailed, "unknown, expired or revoked")

	b.env["BOXKILN_TOKEN"] = offline
	b.run("token", "ls", "--json", "--server", d.url).wants(t, exitOK, `"before"`, `"reader"`)
	b.run("token", "create", "--scope", "god", "x").wants(t, exitFailed, `"god"`)
	d.stop()
	b.run("token", "revoke", "reader").wants(t, exitOK)
	b.run("token", "revoke", "nobody").wants(t, exitFailed, "nobody")
}

// TestBuildsFoundNoOrganisations: only an administrator's build makes the organisation that it publishes into, and another one is
// told so before the work.
func TestBuildsFoundNoOrganisations(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	media := httptest.NewServer(http.FileServer(http.Dir(pairTemplate)))
	t.Cleanup(media.Close)
	template := b.solo(map[string]string{"iso_url": literal(media.URL + "/installer.iso")}, "")
	build := func(token, box, version string) result {
		return b.run("build", "-force", "--server", d.url, "--token-file", token, "--box", box, "--box-version", version, template)
	}
	writer, admin := b.write("writer", b.token("write", "writer")), b.write("admin", b.token("admin", "chief"))
	r := build(writer, "acme/deb", "1.0")
	r.wants(t, exitFailed, "no such organisation: an administrator makes it")
	if r.says("Retrieving ISO") {
		t.Error("it worked first")
	}
	b.run("org", "ls").wants(t, exitOK)
	build(admin, "acme/deb", "1.0").wants(t, exitOK, "Published and released")
	build(writer, "acme/other", "1.0").wants(t, exitOK, "Published and released")
	b.run("audit", "ls", "--subject", "acme").wants(t, exitOK, "org.create", "build "+string(b.builds()[1].ID))
}

// token makes a token and returns it: the only line on standard output.
func (b *bench) token(scope, name string) string {
	b.t.Helper()
	r := b.run("token", "create", "--scope", scope, name)
	r.wants(b.t, exitOK)
	if !regexp.MustCompile(`^bxk_\S+\n$`).MatchString(r.stdout) {
		b.t.Errorf("token create printed %q", r.stdout)
	}
	return strings.TrimSpace(r.stdout)
}

// TestHostCommands: whoever may only write must not have commands run on the daemon's host, whatever its client sends.
func TestHostCommands(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	plan := b.plan(b.solo(nil, ""))
	plan.Provisioners = append(plan.Provisioners, build.ProvisionPlan{Type: "shell-local", Args: json.RawMessage(`{"command": "true"}`)})
	chain := b.plan(b.solo(nil, ""))
	chain.Post = [][]build.PostPlan{{{Type: "shell-local", Args: json.RawMessage(`{"command": "true"}`)}}}
	cleanup := b.plan(b.solo(nil, ""))
	cleanup.ErrorCleanup = &plan.Provisioners[0]
	c, err := client.Remote(d.url, b.token("write", "writer"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, p := range []build.Plan{plan, chain, cleanup} {
		_, err := c.Submit(t.Context(), wire.SubmitRequest{Plans: []build.Plan{p}})
		var refused *wire.Error
		if !asWire(err, &refused) || refused.Code != wire.CodeForbidden || !strings.Contains(refused.Error(), "admin token") {
			t.Errorf("%d: %v", i, err)
		}
	}
	if len(b.builds()) != 0 {
		t.Error("a build was queued")
	}
}

// TestServeTwice: a data directory has one daemon.
func TestServeTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.serve()
	b.run("serve", "--listen", "").wants(t, exitLocked, fmt.Sprintf("process %d", os.Getpid()), b.data)
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for want, args := range map[string][]string{
		"is not a loopback address":        {"--listen", "0.0.0.0:0"},
		`"[::]:0" is not a loopback`:       {"-listen=[::]:0"},
		"write it like 127.0.0.1:8420":     {"--listen", "8420"},
		"--base-url":                       {"--base-url", "ftp://x"},
		"--socket-group":                   {"--socket-group", "no-such-group", "--listen", "127.0.0.1:0"},
		"choose another address":           {"--listen", "127.0.0.1:1x"},
		`unknown command "now" for "boxki`: {"now"},
	} {
		b.run(append([]string{"serve"}, args...)...).wants(t, exitFailed, want)
	}
	d := b.start("serve", "--listen", "0.0.0.0:0", "--insecure-http")
	d.stdout.await(" on http://")
	d.cancel()
	d.wait().wants(t, exitOK)
}

// TestServeEnds: a daemon that is told to stop interrupts its builds, cleans up and ends; its client is told.
func TestServeEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	c := b.start("build", "-color=false", b.solo(map[string]string{"fake_no_ssh": "true"}, ""))
	c.stdout.await("Waiting for SSH")
	d.stop()
	c.wait().wants(t, exitFailed, "the daemon is shutting down")
	if diff := cmp.Diff([]build.State{build.Interrupted}, b.states()); diff != "" {
		t.Error(diff)
	}
	b.nothingLeft()
}

// states lists the states of all builds, newest first.
func (b *bench) states() []build.State {
	b.t.Helper()
	var states []build.State
	for _, r := range b.builds() {
		states = append(states, r.State)
	}
	return states
}

// TestQueuedSurvives: builds that wait when a daemon stops are run by the next one.
func TestQueuedSurvives(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve("--memory-budget", "600")
	first := b.start("build", b.solo(map[string]string{"fake_no_ssh": "true"}, ""))
	first.stdout.await("Waiting for SSH")
	second := b.start("build", "-color=false", b.solo(map[string]string{"output_directory": literal(b.path("second"))}, ""))
	second.stdout.await("Queued: builds before it take the room")
	d.stop()
	first.wait().wants(t, exitFailed)
	second.wait().wants(t, exitFailed, "no daemon answers")
	if diff := cmp.Diff([]build.State{build.Queued, build.Interrupted}, b.states()); diff != "" {
		t.Error(diff)
	}
	d = b.serve()
	id := string(b.builds()[0].ID)
	b.run("builds", "log", id, "-color=false").wants(t, exitOK, "Connected to SSH!")
	if !b.exists("second/packer-solo") {
		t.Error("the output of the queued build is missing")
	}
	d.stop()
	b.nothingLeft()
}

// TestReady: a daemon answers as soon as it says so.
func TestReady(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	began := time.Now()
	d := b.serve()
	if res, _ := d.get("/", nil); res.StatusCode != http.StatusOK {
		t.Errorf("GET /: %s", res.Status)
	}
	if res, _ := d.get("/livez", nil); res.StatusCode != http.StatusOK {
		t.Errorf("GET /livez: %s", res.Status)
	}
	t.Logf("ready after %s", time.Since(began))
}
