package static

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry"
	blobfs "github.com/boxkiln/boxkiln/boxregistry/blob/fs"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func name(s string) boxregistry.Name { return must(boxregistry.ParseName(s)) }

// bench is a registry with files, and a folder to export to.
type bench struct {
	*store.Registry
	t   *testing.T
	dir string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	db := must(sqlitedb.Open(t.Context(), dir+"/db"))
	t.Cleanup(func() { _ = db.Close() })
	blobs := must(blobfs.Open(dir+"/blobs", dir+"/staging"))
	return &bench{must(store.New(t.Context(), db, blobs, nil)), t, dir + "/tree"}
}

// publish releases a version with one file of each provider.
func (b *bench) publish(box, version string, channel boxregistry.Channel, providers ...string) {
	b.t.Helper()
	v := must(boxregistry.ParseVersion(version))
	for _, p := range providers {
		var out bytes.Buffer
		c := boxfile.Contents{Metadata: boxfile.Metadata{Provider: p, Architecture: "amd64"}, Vagrantfile: "# " + box + version}
		must(boxfile.Write(b.t.Context(), &out, c, boxfile.Options{}))
		must(b.Add(b.t.Context(), boxregistry.Publication{Box: name(box), Version: v, VersionDescription: "notes",
			File: boxregistry.File{Provider: boxregistry.Provider(p), Architecture: "amd64"}}, &out))
	}
	if err := b.Release(b.t.Context(), name(box), v, channel); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) export(o Options, boxes ...string) Report {
	b.t.Helper()
	o.Dir = b.dir
	var names []boxregistry.Name
	for _, n := range boxes {
		names = append(names, name(n))
	}
	r, err := Export(b.t.Context(), b, names, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// tree lists the files, with digests as D.
func (b *bench) tree() []string {
	b.t.Helper()
	var files []string
	err := filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(b.dir, path)
			files = append(files, regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(rel, "D"))
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

func TestExport(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish("ops/web", "1.0", boxregistry.Stable, "qemu", "utm")
	b.publish("ops/web", "1.1", boxregistry.Candidate, "qemu")
	b.publish("ops/db", "2", boxregistry.Stable, "qemu")
	o := Options{BaseURL: "https://boxes.example.org/sub/"}
	first := b.export(o, "ops/web", "ops/db")
	want := []string{".boxkiln-export.json", "README.md", "dl/sha256/D/ops-db-2-qemu-amd64/vagrant.box", "dl/sha256/D/ops-web-1.0-qemu-amd64/vagrant.box",
		"dl/sha256/D/ops-web-1.0-utm-amd64/vagrant.box", "dl/sha256/D/ops-web-1.1-qemu-amd64/vagrant.box", "ops/db", "ops/db.json", "ops/web", "ops/web.json",
		"ops/web~candidate", "ops/web~candidate.json"}
	if diff := cmp.Diff(want, b.tree()); diff != "" || first.Written != 11 || first.Kept != 0 {
		t.Error(first, diff)
	}
	c := must(upstream.ParseCatalog(must(os.ReadFile(b.dir + "/ops/web"))))
	p := c.Versions[0].Providers[0]
	if c.Name != "ops/web" || len(c.Versions) != 1 || !strings.HasPrefix(p.URL, "https://boxes.example.org/sub/dl/sha256/"+p.Checksum+"/") || p.ChecksumType != "sha256" || !p.DefaultArchitecture || p.Architecture != "amd64" {
		t.Errorf("%+v", c)
	}
	if c := must(upstream.ParseCatalog(must(os.ReadFile(b.dir + "/ops/web~candidate")))); c.Name != "ops/web~candidate" || len(c.Versions) != 2 {
		t.Errorf("%+v", c)
	}
	blob := filepath.Join(filepath.Dir(b.dir), "blobs", p.Checksum[:2], p.Checksum)
	if file := filepath.Join(b.dir, strings.TrimPrefix(p.URL, "https://boxes.example.org/sub/")); !os.SameFile(must(os.Stat(file)), must(os.Stat(blob))) {
		t.Error("the file is not linked")
	}

	if again := b.export(o, "ops/web", "ops/db"); again.Written != 0 || again.Kept != 11 {
		t.Errorf("the second time: %+v", again)
	}
	foreign := filepath.Join(b.dir, "ops", "index.html")
	if err := os.WriteFile(foreign, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := b.export(o, "ops/db"); r.Removed != 0 || len(b.tree()) != 13 {
		t.Errorf("without prune: %+v", r)
	}
	o.Prune = true
	if r := b.export(o, "ops/db"); r.Removed != 7 {
		t.Errorf("with prune: %+v", r)
	}
	if diff := cmp.Diff([]string{".boxkiln-export.json", "README.md", "dl/sha256/D/ops-db-2-qemu-amd64/vagrant.box", "ops/db", "ops/db.json", "ops/index.html"}, b.tree()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatACrashLeftIsMended(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish("ops/db", "2", boxregistry.Stable, "qemu")
	b.export(Options{}, "ops/db")
	box := must(filepath.Glob(b.dir + "/dl/sha256/*/*/vagrant.box"))[0]
	whole := must(os.ReadFile(box))
	half := filepath.Dir(box) + "/.part-x"
	if err := errors.Join(os.Remove(box), os.WriteFile(box, whole[:len(whole)/2], 0o644), os.WriteFile(half, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if r := b.export(Options{}, "ops/db"); r.Written != 1 || !bytes.Equal(must(os.ReadFile(box)), whole) {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Error("an unfinished file is left")
	}
}

func TestExportErrors(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish("ops/db", "2", boxregistry.Stable, "qemu")
	for _, bad := range []string{"ftp://h", "nonsense", "https://h?x"} {
		if _, err := Export(t.Context(), b, nil, Options{Dir: b.dir, BaseURL: bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := Export(t.Context(), b, []boxregistry.Name{name("ops/none")}, Options{Dir: b.dir}); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, listName), []byte(`{"files":["../../etc/passwd"]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := b.export(Options{Prune: true}, "ops/db"); r.Removed != 0 {
		t.Errorf("%+v", r)
	}
}

// The tree over Go's file server, with the one type that Vagrant needs.
func TestVagrantAddsFromAFileServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish("ops/web", "1.0", boxregistry.Stable, "qemu")
	b.publish("ops/web", "1.1", boxregistry.Stable, "qemu")
	files := http.FileServer(http.Dir(b.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/dl/") {
			w.Header().Set("Content-Type", "application/json")
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	b.export(Options{BaseURL: server.URL}, "ops/web")
	b.vagrantAdds(server.URL, "ops/web", "1.1")
	b.vagrantAdds("", server.URL+"/ops/web.json", "1.1")
	b.export(Options{}, "ops/web") // as files
	b.vagrantAdds("", filepath.Join(b.dir, "ops", "web.json"), "1.1")
}

// The tree over Debian's nginx, with the lines that its README.md has.
func TestVagrantAddsFromNginx(t *testing.T) {
	t.Parallel()
	nginx := requireTool(t, "nginx", "/usr/sbin/nginx")
	b := newBench(t)
	b.publish("ops/web", "1.0", boxregistry.Stable, "qemu")
	b.export(Options{BaseURL: "http://127.0.0.1:1"}, "ops/web") // for the lines; the address is known later
	snippet := regexp.MustCompile("(?s)```nginx\n(.*?)```").FindSubmatch(must(os.ReadFile(b.dir + "/README.md")))[1]
	run := t.TempDir()
	for _, dir := range []string{run, b.dir, filepath.Dir(b.dir), filepath.Join(filepath.Dir(b.dir), "blobs")} { // nginx drops root
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := "daemon off; pid " + run + "/pid; error_log stderr;\nevents {}\nhttp { access_log off; client_body_temp_path " + run + "/b; proxy_temp_path " + run +
		"/p; fastcgi_temp_path " + run + "/f; uwsgi_temp_path " + run + "/u; scgi_temp_path " + run + "/s;\nserver { listen unix:" + run + "/sock;\n" + string(snippet) + "} }\n"
	if os.Getuid() == 0 {
		config = "user root;\n" + config // the folders of tests are their own
	}
	if err := os.WriteFile(run+"/nginx.conf", []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, nginx, "-p", run, "-c", run+"/nginx.conf")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		_ = cmd.Wait() // it was interrupted
	}()
	server := httptest.NewServer(throughSocket(t, run+"/sock"))
	defer server.Close()
	b.export(Options{BaseURL: server.URL}, "ops/web")
	b.vagrantAdds(server.URL, "ops/web", "1.0")
	b.vagrantAdds("", server.URL+"/ops/web.json", "1.0")
}

func requireTool(t *testing.T, name string, also ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, p := range also {
		if _, statErr := os.Stat(p); err != nil && statErr == nil {
			path, err = p, nil
		}
	}
	if err == nil {
		return path
	}
	if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%v; apt-get install %s", err, name)
	}
	t.Skipf("%v; apt-get install %s to run this test", err, name)
	return ""
}

// vagrantAdds has the installed vagrant add a box in a home of its own.
func (b *bench) vagrantAdds(server, what, version string) {
	b.t.Helper()
	vagrant := requireTool(b.t, "vagrant")
	home := b.t.TempDir()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, vagrant, "box", "add", what, "--provider", "qemu")
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "VAGRANT_HOME="+home, "VAGRANT_SERVER_URL="+server, "VAGRANT_CHECKPOINT_DISABLE=1",
		"VAGRANT_NO_PLUGINS=1", "VAGRANT_CLOUD_TOKEN=", "ATLAS_TOKEN=", "LC_ALL=C.UTF-8")
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Successfully added box 'ops/web' (v"+version+")") {
		b.t.Errorf("vagrant box add %s: %v\n%s", what, err, out)
	}
}
