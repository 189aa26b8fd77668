package vagrantapi

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	blobfs "github.com/boxkiln/boxkiln/boxregistry/blob/fs"
	"github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/boxregistry/upload"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	leaktest.Main(m)
}

// bundle is a registry with the real stores behind a real server.
type bundle struct {
	*store.Registry
	t       *testing.T
	dir     string // of the blobs
	url     string
	api     *API
	log     *strings.Builder // errors that the API logged
	handler http.Handler     // what the server serves
}

// setup serves a registry; wrap, when it is not nil, stands between the network and the API.
func setup(t *testing.T, o Options, wrap func(http.Handler) http.Handler) *bundle {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(dir, "boxkiln.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &bundle{t: t, dir: filepath.Join(dir, "blobs"), log: &strings.Builder{}}
	blobs, err := blobfs.Open(b.dir, filepath.Join(dir, "staging"))
	if err != nil {
		t.Fatal(err)
	}
	if b.Registry, err = store.New(t.Context(), db, blobs, nil); err != nil {
		t.Fatal(err)
	}
	receiver, err := upload.New(upload.Config{Registry: b.Registry, Rows: b.Registry, Blobs: blobs, Dir: filepath.Join(dir, "uploads")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = receiver.Close() })
	o.Uploads = receiver
	o.Editor, o.Downloads = b.Registry, b.Registry
	o.Revision = func(boxregistry.Name) (uint64, bool) { return b.Revision(), true }
	o.Logger = slog.New(slog.NewTextHandler(b.log, nil))
	b.api = New(b.Registry, o)
	engine := gin.New()
	engine.GET("/builds/:id", func(c *gin.Context) { c.String(http.StatusOK, "a build") }) // a neighbour, as in the daemon
	b.api.Register(engine)
	var handler http.Handler = engine
	if wrap != nil {
		handler = wrap(handler)
	}
	handler = CollapseSlashes(b.api.Signed(handler))
	b.handler = handler
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// draft publishes files ("libvirt/amd64") of a version without releasing it.
func (b *bundle) draft(box, version string, files ...string) {
	b.t.Helper()
	for _, file := range files {
		p, a, _ := strings.Cut(file, "/")
		b.put(box, version, p, a, strings.Join([]string{box, version, file}, " "))
	}
}

func (b *bundle) put(box, version, provider, arch, content string) blob.Digest {
	b.t.Helper()
	f, err := b.Add(b.t.Context(), boxregistry.Publication{
		Box: must(boxregistry.ParseName(box)), Version: must(boxregistry.ParseVersion(version)),
		BoxDescription: "about <" + box + ">", VersionDescription: "notes *b*",
		File: boxregistry.File{Provider: boxregistry.Provider(provider), Architecture: boxregistry.Architecture(arch)},
	}, strings.NewReader(content))
	if err != nil {
		b.t.Fatal(err)
	}
	return f.Digest
}

func (b *bundle) release(box, version string, files ...string) {
	b.t.Helper()
	b.draft(box, version, files...)
	if err := b.Release(b.t.Context(), must(boxregistry.ParseName(box)), must(boxregistry.ParseVersion(version))); err != nil {
		b.t.Fatal(err)
	}
}

// answer is what came back from one request.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request with headers written as "Name: value"; a redirect is an answer, not followed.
func (b *bundle) ask(method, path string, headers ...string) answer {
	b.t.Helper()
	return b.send(method, path, "", headers...)
}

// send is ask with a body.
func (b *bundle) send(method, path, body string, headers ...string) answer {
	b.t.Helper()
	url := path
	if !strings.HasPrefix(path, "http") {
		url = b.url + path
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("User-Agent", "Vagrant/2.4.9 (+https://www.vagrantup.com; ruby3.3.8)")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(got)}
}

// catalogOf asks for a catalog and reads it.
func (b *bundle) catalogOf(path string, headers ...string) catalog {
	b.t.Helper()
	a := b.ask("GET", path, headers...)
	if a.status != http.StatusOK {
		b.t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	var c catalog
	if err := json.Unmarshal([]byte(a.body), &c); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// inShort writes a catalog shortly: "1.1: libvirt/amd64* | 1.0: ...".
func inShort(c catalog) string {
	var versions []string
	for _, v := range c.Versions {
		s := v.Version + ":"
		for _, p := range v.Providers {
			s += " " + p.Name + "/" + p.Architecture
			if p.DefaultArchitecture {
				s += "*"
			}
		}
		versions = append(versions, s)
	}
	return strings.Join(versions, " | ")
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
