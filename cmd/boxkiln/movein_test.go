package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// box writes a small box of a provider that is taken as it is, and returns its path.
func (b *bench) box(name, note string) string {
	b.t.Helper()
	var out bytes.Buffer
	c := boxfile.Contents{Metadata: boxfile.Metadata{Provider: "qemu", Architecture: "amd64"}, Vagrantfile: "# " + note + "\n"}
	if _, err := boxfile.Write(b.t.Context(), &out, c, boxfile.Options{}); err != nil {
		b.t.Fatal(err)
	}
	return b.write(name, out.String())
}

// vagrantAdd has the installed vagrant add a box from a daemon, in a home of its own, and returns what it installed.
func (s *served) vagrantAdd(box, provider, version string) string {
	s.b.t.Helper()
	home := s.b.t.TempDir()
	ctx, cancel := context.WithTimeout(s.b.t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, requireTool(s.b.t, "vagrant"), "box", "add", box, "--provider", provider, "--box-version", version)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "VAGRANT_HOME="+home, "VAGRANT_SERVER_URL="+s.url, "VAGRANT_CHECKPOINT_DISABLE=1",
		"VAGRANT_NO_PLUGINS=1", "VAGRANT_CLOUD_TOKEN=", "ATLAS_TOKEN=", "LC_ALL=C.UTF-8")
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Successfully added box") {
		s.b.t.Fatalf("vagrant box add %s: %v\n%s", box, err, out)
	}
	text, err := os.ReadFile(filepath.Join(home, "boxes", strings.ReplaceAll(box, "/", "-VAGRANTSLASH-"), version, provider, "Vagrantfile"))
	if err != nil {
		s.b.t.Fatal(err)
	}
	return string(text)
}

// TestMoveIn: boxes come from files into one registry, from it into another one, and from there into a folder.
func TestMoveIn(t *testing.T) {
	t.Parallel()
	first, second := newBench(t), newBench(t)
	d := first.serve()
	for _, v := range []string{"1.0", "1.1", "2.0"} {
		first.run("box", "import", first.box("web.box", "web "+v), "--as", "ops/web", "--version", v).wants(t, exitOK, "ops/web "+v+": released", "1 files came")
	}
	first.run("box", "import", first.path("web.box"), "--as", "ops/web", "--version", "2.0").wants(t, exitOK, "0 files came", "1 were here already")

	from := d.url + "/ops/web"
	second.run("box", "import", from, "--as", "acme", "--version", "~> 1.0", "--dry-run").wants(t, exitOK, "acme/web 1.1: +qemu/amd64", "2 files would come")
	second.run("box", "import", from, "--as", "acme", "--version", "~> 1.0", "--latest", "1").wants(t, exitOK, "acme/web 1.1 qemu/amd64: here", "1 versions released")
	second.run("box", "import", from, "--as", "acme", "--json").wants(t, exitOK, `"kind":"released","what":"acme/web 2.0"`, `"here":1`)
	second.run("box", "import", from+"-none").wants(t, exitFailed, "404")
	second.run("box", "import", from, "--as", "no/such/name").wants(t, exitFailed, "one slash between them")
	second.run("box", "import", second.box("x.box", "x")).wants(t, exitFailed, "give one with --version")
	second.run("box", "import", "ftp://h/x").wants(t, exitFailed, "http or https")

	e := second.serve()
	if got := e.vagrantAdd("acme/web", "qemu", "1.1"); !strings.Contains(got, "web 1.1") {
		t.Errorf("installed %q", got)
	}
	second.run("box", "export", "--static", second.path("tree"), "--base-url", "https://boxes.example.org").wants(t, exitOK, "==> wrote acme/web.json", "1 boxes in")
	second.run("box", "export", "--static", second.path("tree"), "--base-url", "https://boxes.example.org").wants(t, exitOK, "0 files written")
	second.run("box", "export", "--static", second.path("tree"), "acme/none").wants(t, exitFailed, "not found")
	second.run("box", "export").wants(t, exitFailed, "static")
	// A tree that another registry wrote is a folder like any other, wherever it was meant to be served.
	first.run("box", "import", second.path("tree")).wants(t, exitOK, "acme/web 2.0: released", "3 files came")
	d.stop()
	e.stop()
}

// TestImportThroughAToken: over TCP a token says into which organisations, and paths are not read.
func TestImportThroughAToken(t *testing.T) {
	t.Parallel()
	b, far := newBench(t), newBench(t)
	write := b.token("write", "ci")
	d := b.serve()
	b.run("box", "import", b.box("web.box", "x"), "--as", "ops/web", "--version", "1").wants(t, exitOK)
	header := http.Header{"Authorization": {"Bearer " + write}}
	res, text := d.do(http.MethodPost, "/v1/imports", header, `{"from":"/etc","as":"ops"}`)
	if res.StatusCode != http.StatusForbidden || !strings.Contains(text, "daemon runs as") {
		t.Errorf("%s: %s", res.Status, text)
	}
	res, text = d.do(http.MethodPost, "/v1/imports", header, `{"from":"`+d.url+`/ops/web","as":"copy"}`)
	var started struct{ ID string }
	if err := json.Unmarshal([]byte(text), &started); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatal(res.Status, text)
	}
	if _, text = d.do(http.MethodGet, "/v1/imports/"+started.ID+"/events", header, ""); !strings.Contains(text, `"what":"copy/web 1"`) || !strings.Contains(text, "event: end") {
		t.Errorf("events: %s", text)
	}
	if res, text = d.do(http.MethodGet, "/v1/imports", header, ""); res.StatusCode != http.StatusOK || !strings.Contains(text, `"state":"done"`) {
		t.Errorf("%s: %s", res.Status, text)
	}
	if res, _ = d.do(http.MethodDelete, "/v1/imports/"+started.ID, header, ""); res.StatusCode != http.StatusNoContent {
		t.Error(res.Status)
	}
	far.write("token", write)
	far.run("box", "import", "--server", d.url, "--token-file", far.path("token"), far.box("y.box", "y"), "--as", "ops/y", "--version", "1").
		wants(t, exitFailed, "as another user")
	d.stop()
}

// TestMirror: a box of another registry through ours, and once more when that one is gone.
func TestMirror(t *testing.T) {
	t.Parallel()
	there, here := newBench(t), newBench(t)
	up := there.serve()
	there.run("box", "import", there.box("web.box", "from there"), "--as", "ops/web", "--version", "1.0").wants(t, exitOK)
	mirror := here.serve("--mirror", "ops="+up.url, "--mirror-ttl", "1ns")
	if got := mirror.vagrantAdd("ops/web", "qemu", "1.0"); !strings.Contains(got, "from there") {
		t.Errorf("installed %q", got)
	}
	up.stop()
	if got := mirror.vagrantAdd("ops/web", "qemu", "1.0"); !strings.Contains(got, "from there") {
		t.Errorf("installed %q from the kept one", got)
	}
	mirror.stop()
	offline := here.serve("--mirror", "*="+up.url, "--mirror-offline")
	if got := offline.vagrantAdd("ops/web", "qemu", "1.0"); !strings.Contains(got, "from there") {
		t.Errorf("installed %q offline", got)
	}
	if res, _ := offline.get("/ops/none", http.Header{"Accept": {"application/json"}}); res.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown box: %s", res.Status)
	}
	offline.stop()
	here.run("serve", "--mirror", "nonsense").wants(t, exitFailed, "want ORG=URL")
}

// requireTool finds a program, or skips the test where the tools are not demanded.
func requireTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%v; apt-get install %s", err, name)
	}
	t.Skipf("%v; apt-get install %s to run this test", err, name)
	return ""
}

// TestAnInterruptedImport: Ctrl-C ends an import in the daemon, and the same command goes on where it was.
func TestAnInterruptedImport(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	content, err := os.ReadFile(b.box("web.box", strings.Repeat("large ", 50_000)))
	if err != nil {
		t.Fatal(err)
	}
	half, ranges := make(chan struct{}, 1), make(chan string, 10)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ops/web" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"name":"ops/web","versions":[{"version":"1","providers":[{"name":"qemu","url":%q}]}]}`, server.URL+"/file")
			return
		}
		ranges <- r.Header.Get("Range")
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("Range") != "" {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		half <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	run := b.start("box", "import", "--json", server.URL+"/ops/web")
	<-half
	run.stdout.await(`"kind":"progress"`)
	run.cancel()
	run.wait().wants(t, exitFailed, "run it again to go on")
	b.run("box", "import", server.URL+"/ops/web").wants(t, exitOK, "ops/web 1: released")
	<-ranges
	if second := <-ranges; !strings.HasPrefix(second, "bytes=") {
		t.Errorf("the second import asked for the range %q", second)
	}
}
