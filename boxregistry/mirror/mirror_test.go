package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
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

// bench is another registry, a mirror of it over a real store, and the server through which clients reach the mirror.
type bench struct {
	*Mirror
	t        *testing.T
	registry *store.Registry
	fetcher  *upstream.Fetcher
	there    *httptest.Server
	here     *httptest.Server
	lookups  atomic.Int64 // catalogs that were asked for
	files    atomic.Int64 // files that were asked for
	log      *strings.Builder

	mu       sync.Mutex
	now      time.Time
	catalogs map[string]upstream.Catalog
	serve    http.HandlerFunc // the files of the other registry
}

func newBench(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Unix(1_800_000_000, 0), catalogs: map[string]upstream.Catalog{}, log: &strings.Builder{}}
	b.there = httptest.NewServer(http.HandlerFunc(b.upstream))
	t.Cleanup(b.there.Close)
	db := must(sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "db")))
	t.Cleanup(func() { _ = db.Close() })
	b.registry = must(store.New(t.Context(), db, &mem.Store{}, nil))
	b.fetcher = &upstream.Fetcher{Dir: t.TempDir(), Retries: 1}
	cfg := Config{Sources: []Source{{"org", b.there.URL}}, Boxes: b.registry, Cache: b.registry, Fetcher: b.fetcher,
		Log: slog.New(slog.NewTextHandler(b.log, nil)), Now: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.now
		}}
	for _, c := range change {
		c(&cfg)
	}
	b.Mirror = New(cfg)
	b.here = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !b.Serve(w, r) {
			b.ordinary(w, r)
		}
	}))
	t.Cleanup(func() {
		b.here.Close()
		b.Close()
		b.fetcher.Close()
	})
	return b
}

// ordinary stands for the handlers of Vagrant's protocol: it serves what is stored.
func (b *bench) ordinary(w http.ResponseWriter, r *http.Request) {
	want, ok := parsePath(r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	box, err := b.Box(r.Context(), want.box)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	rel, _ := box.Release(want.version)
	f, _ := rel.File(want.provider, want.arch)
	src, _, err := b.OpenBlob(r.Context(), f.Digest)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer src.Close()
	w.Header().Set("From", "store")
	http.ServeContent(w, r, "", time.Time{}, src)
}

func (b *bench) upstream(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/files/") {
		b.files.Add(1)
		b.mu.Lock()
		serve := b.serve
		b.mu.Unlock()
		serve(w, r)
		return
	}
	b.lookups.Add(1)
	b.mu.Lock()
	c, ok := b.catalogs[strings.TrimPrefix(r.URL.Path, "/api/v2/vagrant/")]
	b.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c)
}

func (b *bench) later(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// offers has the other registry offer org/box with one file.
func (b *bench) offers(version, sumType, sum string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.catalogs["org/box"]
	c.Name = "there/other"
	c.Versions = append(c.Versions, upstream.CatalogVersion{Version: version, Providers: []upstream.CatalogProvider{
		{Name: "qemu", URL: b.there.URL + "/files/" + version, ChecksumType: sumType, Checksum: sum, Architecture: "amd64", DefaultArchitecture: true}}})
	b.catalogs["org/box"] = c
}

func (b *bench) serves(h http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serve = h
}

func boxOf(t *testing.T, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	c := boxfile.Contents{Metadata: boxfile.Metadata{Provider: "qemu", Architecture: "amd64"}, Vagrantfile: strings.Repeat("0123456789abcdef", size/16)}
	if _, err := boxfile.Write(t.Context(), &out, c, boxfile.Options{Level: boxfile.Stored}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func whole(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// path is where the mirror serves the file of a version.
func (b *bench) path(version string) string {
	b.t.Helper()
	box, err := b.Box(b.t.Context(), name("org/box"))
	if err != nil {
		b.t.Fatal(err)
	}
	v := must(boxregistry.ParseVersion(version))
	rel, _ := box.Release(v)
	return rel.Files[0].Path(box.Name, v)
}

// get asks the mirror as Vagrant does.
func (b *bench) get(ctx context.Context, path, byteRange string) (*http.Response, []byte, error) {
	b.t.Helper()
	req := must(http.NewRequestWithContext(ctx, http.MethodGet, b.here.URL+path, nil))
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}

func TestCatalogsAreKeptAndUsedWhenTheOtherRegistryIsDown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.offers("1.0", "sha256", strings.Repeat("a", 64))
	for range 3 {
		box, err := b.Box(t.Context(), name("org/box"))
		if err != nil || box.Name != name("org/box") || len(box.Visible()) != 1 || box.Visible()[0].Files[0].Digest == "" {
			t.Fatalf("%+v, %v", box, err)
		}
	}
	if n := b.lookups.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	b.offers("1.1", "", "")
	b.later(time.Hour)
	box := must(b.Box(t.Context(), name("org/box")))
	if len(box.Visible()) != 2 || box.Visible()[0].Files[0].URL != b.there.URL+"/files/1.1" || b.lookups.Load() != 2 {
		t.Errorf("after an hour: %+v", box)
	}
	b.there.Close()
	b.later(time.Hour)
	for range 3 {
		if box, err := b.Box(t.Context(), name("org/box")); err != nil || len(box.Visible()) != 2 {
			t.Errorf("down: %+v, %v", box, err)
		}
	}
	if n := strings.Count(b.log.String(), "could not be had"); n != 1 {
		t.Errorf("said %d times that it is down: %s", n, b.log)
	}
	if _, err := b.Box(t.Context(), name("org/none")); err == nil {
		t.Error("an unknown box while it is down")
	}
}

func TestUnknownBoxesAreNotAskedForAgainAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 3 {
		if _, err := b.Box(t.Context(), name("org/none")); !errors.Is(err, boxregistry.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if n := b.lookups.Load(); n != 2 { // at both addresses
		t.Errorf("asked %d times", n)
	}
	if _, err := b.Box(t.Context(), name("else/none")); !errors.Is(err, boxregistry.ErrNotFound) || b.lookups.Load() != 2 {
		t.Error("asked for a box of an organisation that is not mirrored", err)
	}
}

func TestOwnBoxesComeFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.offers("1.0", "", "")
	if err := b.registry.CreateBox(t.Context(), boxregistry.Box{Name: name("org/box"), ShortDescription: "own"}); err != nil {
		t.Fatal(err)
	}
	if box, err := b.Box(t.Context(), name("org/box")); err != nil || box.ShortDescription != "own" || b.lookups.Load() != 0 {
		t.Errorf("%+v, %v", box, err)
	}
}

func TestHiddenBoxes(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Visible = func(context.Context, boxregistry.Name) bool { return false } })
	b.offers("1.0", "", "")
	if _, err := b.Box(t.Context(), name("org/box")); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Error(err)
	}
	if res, _, err := b.get(t.Context(), "/org/boxes/box/versions/1.0/providers/qemu/amd64/vagrant.box", ""); err != nil || res.StatusCode != 404 || b.lookups.Load() != 0 {
		t.Error(res.Status, err)
	}
}

func TestAFileIsFetchedOnce(t *testing.T) {
	t.Parallel()
	for _, announced := range []string{"sha256", ""} {
		b := newBench(t)
		content := boxOf(t, 300_000)
		sum := ""
		if announced != "" {
			sum = sumOf(content)
		}
		b.offers("1.0", announced, sum)
		b.serves(whole(content))
		path := b.path("1.0")
		if res, _, err := b.get(t.Context(), strings.Replace(path, "box/versions", "box/versions", 1), ""); err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		for range 3 { // the last byte comes when it is kept
			res, got, err := b.get(t.Context(), b.path("1.0"), "")
			if err != nil || !bytes.Equal(got, content) || res.Header.Get("From") != "store" {
				t.Errorf("%q: %s, %d bytes, %v", announced, res.Status, len(got), err)
			}
		}
		if _, got, err := b.get(t.Context(), path, "bytes=100-"); err != nil || !bytes.Equal(got, content[100:]) {
			t.Errorf("the path of before: %d bytes, %v", len(got), err)
		}
		if n := b.files.Load(); n != 1 {
			t.Errorf("fetched %d times", n)
		}
		if freed, err := b.registry.Collect(t.Context(), -time.Hour); err != nil || freed != 0 {
			t.Errorf("collected %d bytes, %v", freed, err)
		}
		if known, err := b.registry.Contents(t.Context(), blob.Digest(sumOf(content))); err != nil || len(known.Files) == 0 || known.Size != int64(len(content)) {
			t.Errorf("of what was fetched it is known: %+v, %v", known, err)
		}
		if left, _ := filepath.Glob(b.fetcher.Dir + "/*"); len(left) != 0 {
			t.Errorf("parts are left: %v", left)
		}
	}
}

// gate serves the first half, tells that it did, and waits for a word to go on.
type gate struct {
	content []byte
	half    chan struct{}
	goOn    chan struct{}
	ended   chan struct{} // the client went away
}

func newGate(content []byte) *gate {
	return &gate{content, make(chan struct{}, 10), make(chan struct{}), make(chan struct{}, 10)}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Range") != "" {
		whole(g.content)(w, r)
		return
	}
	w.Header().Set("ETag", `"x"`)
	w.Header().Set("Content-Length", fmt.Sprint(len(g.content)))
	_, _ = w.Write(g.content[:len(g.content)/2])
	_ = http.NewResponseController(w).Flush()
	g.half <- struct{}{}
	select {
	case <-g.goOn:
		_, _ = w.Write(g.content[len(g.content)/2:])
	case <-r.Context().Done():
		g.ended <- struct{}{}
	}
}

func TestClientsShareAFetchAndMayLeave(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	content := boxOf(t, 1_000_000)
	b.offers("1.0", "sha256", sumOf(content))
	g := newGate(content)
	b.serves(g.ServeHTTP)
	path := b.path("1.0")

	leaving, leave := context.WithCancel(t.Context())
	type result struct {
		got []byte
		err error
	}
	results := make(chan result, 3)
	ask := func(ctx context.Context, byteRange string) {
		_, got, err := b.get(ctx, path, byteRange)
		results <- result{got, err}
	}
	go ask(leaving, "")
	<-g.half
	// The first half comes while the second is not even sent.
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, b.here.URL+path, nil))
	res := must(http.DefaultClient.Do(req))
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	early := make([]byte, 1000)
	if _, err := io.ReadFull(res.Body, early); err != nil || !bytes.Equal(early, content[:1000]) {
		t.Fatal(err)
	}
	from := len(content) * 3 / 4
	go ask(t.Context(), fmt.Sprintf("bytes=%d-", from)) // waits for its place
	leave()
	if r := <-results; r.err == nil {
		t.Errorf("the client that left got %d bytes", len(r.got))
	}
	close(g.goOn)
	if r := <-results; r.err != nil || !bytes.Equal(r.got, content[from:]) {
		t.Errorf("from the last quarter on: %d bytes, %v", len(r.got), r.err)
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Equal(rest, content[1000:]) {
		t.Errorf("the rest: %d bytes, %v", len(rest), err)
	}
	if n := b.files.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestTheLastClientToLeaveEndsTheFetch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	content := boxOf(t, 1_000_000)
	b.offers("1.0", "sha256", sumOf(content))
	g := newGate(content)
	b.serves(g.ServeHTTP)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	path := b.path("1.0")
	req := must(http.NewRequestWithContext(ctx, http.MethodGet, b.here.URL+path, nil))
	res := must(http.DefaultClient.Do(req))
	if _, err := io.CopyN(io.Discard, res.Body, 1000); err != nil {
		t.Fatal(err)
	}
	leave()
	_ = res.Body.Close()
	<-g.ended
	b.Mirror.running.Wait()
	// What had come is not fetched again.
	if _, got, err := b.get(t.Context(), path, ""); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestWrongBytesBreakTheAnswerAndAreNotKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	content := boxOf(t, 300_000)
	b.offers("1.0", "sha256", sumOf(append([]byte("x"), content...)))
	b.offers("1.1", "", "")
	b.serves(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/files/1.0" {
			whole(content)(w, r)
			return
		}
		whole(bytes.Repeat([]byte("no box "), 10_000))(w, r)
	})
	for _, v := range []string{"1.0", "1.1"} {
		for range 2 {
			if res, got, err := b.get(t.Context(), b.path(v), ""); err == nil && res.StatusCode == 200 {
				t.Errorf("%s: %s with %d bytes", v, res.Status, len(got))
			}
		}
	}
	if files := must(b.registry.MirroredFiles(t.Context(), name("org/box"))); len(files) != 0 {
		t.Errorf("kept %+v", files)
	}
	if left, _ := filepath.Glob(b.fetcher.Dir + "/*"); len(left) != 0 {
		t.Errorf("parts are left: %v", left)
	}
}

func TestRefusalsOfTheOtherRegistry(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fetcher.MaxWait = time.Second
	b.offers("1.0", "", "")
	path := b.path("1.0")
	for code, want := range map[int]int{404: 404, 500: 502, 429: 503} {
		b.serves(func(w http.ResponseWriter, _ *http.Request) {
			if code == 429 {
				w.Header().Set("Retry-After", "600")
			}
			w.WriteHeader(code)
		})
		res, _, err := b.get(t.Context(), path, "")
		if err != nil || res.StatusCode != want || code == 429 && res.Header.Get("Retry-After") == "" {
			t.Errorf("%d: %v, %v", code, res, err)
		}
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	content := boxOf(t, 1000)
	b.offers("1.0", "sha256", sumOf(content))
	b.offers("1.1", "sha256", strings.Repeat("b", 64))
	b.serves(whole(content))
	missing := b.path("1.1")
	if _, _, err := b.get(t.Context(), b.path("1.0"), ""); err != nil {
		t.Fatal(err)
	}
	asked := b.lookups.Load() + b.files.Load()
	b.Mirror.cfg.Offline = true
	b.later(1000 * time.Hour)
	box, err := b.Box(t.Context(), name("org/box"))
	if err != nil || len(box.Visible()) != 1 || box.Visible()[0].Version.String() != "1.0" {
		t.Errorf("%+v, %v", box, err)
	}
	if _, got, err := b.get(t.Context(), b.path("1.0"), ""); err != nil || !bytes.Equal(got, content) {
		t.Error(len(got), err)
	}
	if res, _, err := b.get(t.Context(), missing, ""); err != nil || res.StatusCode != http.StatusNotFound {
		t.Error(res.Status, err)
	}
	if _, err := b.Box(t.Context(), name("org/none")); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Error(err)
	}
	if n := b.lookups.Load() + b.files.Load(); n != asked {
		t.Errorf("offline it asked %d times", n-asked)
	}
}

func TestParseSource(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Source{
		"bento=https://vagrantcloud.com": {"bento", "https://vagrantcloud.com"},
		"*=http://h:1/":                  {"*", "http://h:1"},
		"a=https://h/c/{org}/{box}.json": {"a", "https://h/c/{org}/{box}.json"},
	} {
		if got, err := ParseSource(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "x", "=https://h", "a=", "a=ftp://h", "a/b=https://h", "api=https://h"} {
		if got, err := ParseSource(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
	s := Source{"a", "https://h/c/{org}/{box}.json"}
	if got := s.catalogs(name("ops/deb")); len(got) != 1 || got[0] != "https://h/c/ops/deb.json" {
		t.Error(got)
	}
}

func FuzzPath(f *testing.F) {
	f.Add("/org/boxes/box/versions/1.0/providers/qemu/amd64/0123456789ab/vagrant.box")
	f.Add("/org/boxes/box/versions/1.0/providers/qemu.box")
	f.Fuzz(func(t *testing.T, path string) {
		if w, ok := parsePath(path); ok && (w.box.IsZero() || w.version.IsZero() || strings.Contains(string(w.provider), "/")) {
			t.Fatalf("%q: %+v", path, w)
		}
	})
}
