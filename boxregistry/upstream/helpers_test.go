package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func name(s string) boxregistry.Name       { return must(boxregistry.ParseName(s)) }
func version(s string) boxregistry.Version { return must(boxregistry.ParseVersion(s)) }

// boxOf makes a small box of a provider that is taken as it is; note makes its bytes differ from others.
func boxOf(t *testing.T, provider, arch, note string) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := boxfile.Write(t.Context(), &out, boxfile.Contents{
		Metadata: boxfile.Metadata{Provider: provider, Architecture: arch}, Vagrantfile: "# " + note,
	}, boxfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sha256Of(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// server is an upstream whose paths answer with what a test puts there.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	handlers map[string]http.HandlerFunc
	asked    []string // "GET /path range"
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{handlers: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
		h := s.handlers[r.URL.Path]
		s.mu.Unlock()
		if h == nil {
			http.NotFound(w, r)
			return
		}
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) handle(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[path] = h
}

func (s *server) file(path string, content []byte) {
	s.handle(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+sha256Of(content)+`"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}

func (s *server) json(path string, v any) {
	s.handle(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			panic(err)
		}
	})
}

func (s *server) requests(prefix string) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		if strings.HasPrefix(a, prefix) {
			found = append(found, a)
		}
	}
	return found
}

// testFetcher waits for nothing and remembers for how long it would have.
func testFetcher(t *testing.T) (*Fetcher, func() []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var waits []time.Duration
	f := &Fetcher{Dir: t.TempDir(), Pause: func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		waits = append(waits, d)
		return context.Cause(ctx)
	}}
	t.Cleanup(f.Close)
	return f, func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(waits)
	}
}

func ignore(Status) {}

// list writes an offer shortly: "org/box 1.1: libvirt/amd64 | 1.0: ...".
func list(o Offer) string {
	var lines []string
	for _, b := range o.Boxes {
		line := b.Name
		for i, v := range b.Versions {
			if i > 0 {
				line += " |"
			}
			line += " " + v.Number.String() + ":"
			for _, f := range v.Files {
				line += " " + f.String()
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func wantSkipped(t *testing.T, got []Skipped, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("passed over %d, want %d: %v", len(got), len(want), got)
		return
	}
	for i, s := range got {
		if !strings.Contains(s.String(), want[i]) {
			t.Errorf("passed over %q, want %q", s, want[i])
		}
	}
}

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// target is a registry in memory with the rules that an import meets.
type target struct {
	blob.Store
	mu       sync.Mutex
	boxes    map[boxregistry.Name]boxregistry.Box
	contents map[blob.Digest]boxfile.Summary
	fail     func(p boxregistry.Publication) error
}

func newTarget() *target {
	return &target{Store: &mem.Store{}, boxes: map[boxregistry.Name]boxregistry.Box{}, contents: map[blob.Digest]boxfile.Summary{}}
}

func (g *target) OpenWriter(ctx context.Context) (blob.Writer, error) { return g.Create(ctx) }

func (g *target) OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error) {
	return g.Open(ctx, d)
}

func (g *target) Box(_ context.Context, n boxregistry.Name) (boxregistry.Box, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.boxes[n]
	if !ok {
		return b, boxregistry.ErrNotFound
	}
	return b, nil
}

func (g *target) CreateBox(_ context.Context, b boxregistry.Box) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.boxes[b.Name]; ok {
		return boxregistry.ErrExists
	}
	g.boxes[b.Name] = b
	return nil
}

func (g *target) Check(_ context.Context, p boxregistry.Publication) error {
	if g.fail != nil {
		return g.fail(p)
	}
	return nil
}

func (g *target) SetContents(_ context.Context, d blob.Digest, s boxfile.Summary) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.contents[d] = s
	return nil
}

// knowsAll checks that it is known of all files what is in them.
func (g *target) knowsAll(t *testing.T) {
	t.Helper()
	for _, b := range g.boxes {
		for _, r := range b.Releases {
			for _, f := range r.Files {
				if s := g.contents[f.Digest]; s.SHA256 != string(f.Digest) || len(s.Files) == 0 || s.Unpacked != f.UnpackedSize {
					t.Errorf("of %s %s it is known: %+v", b.Name, r.Version, s)
				}
			}
		}
	}
}

func (g *target) Publish(ctx context.Context, p boxregistry.Publication) error {
	if err := g.Check(ctx, p); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.boxes[p.Box]
	i := slices.IndexFunc(b.Releases, func(r boxregistry.Release) bool { return r.Version.Compare(p.Version) == 0 })
	if i < 0 {
		b.Releases = append(b.Releases, boxregistry.Release{Version: p.Version, State: boxregistry.Draft, Description: p.VersionDescription})
		i = len(b.Releases) - 1
	}
	for _, f := range b.Releases[i].Files {
		if f.Provider == p.File.Provider && f.Architecture == p.File.Architecture && f.Digest != p.File.Digest {
			return fmt.Errorf("%w: %s/%s", boxregistry.ErrExists, f.Provider, f.Architecture)
		}
	}
	b.Releases[i].Files = append(b.Releases[i].Files, p.File)
	g.boxes[p.Box] = b
	return nil
}

func (g *target) Release(_ context.Context, n boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, r := range g.boxes[n].Releases {
		if r.Version.Compare(v) == 0 {
			g.boxes[n].Releases[i].State, g.boxes[n].Releases[i].Channels = boxregistry.Released, channels
			return nil
		}
	}
	return boxregistry.ErrNotFound
}

// state writes what the registry has: "org/box 1.0 released libvirt/amd64".
func (g *target) state() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var lines []string
	for n, b := range g.boxes {
		for _, r := range b.Releases {
			line := fmt.Sprintf("%s %s %s", n, r.Version, r.State)
			var files []string
			for _, f := range r.Files {
				files = append(files, string(f.Provider)+"/"+string(f.Architecture))
			}
			slices.Sort(files)
			lines = append(lines, line+" "+strings.Join(files, " "))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
