// Package mirror lets a registry serve the boxes of other registries as if they were its own.
//
// A [Mirror] stands between the registry and what asks it: [Mirror.Box] returns the registry's own boxes, and for unknown
// ones of an organisation that is mirrored asks that organisation's registry for the catalog. Catalogs are kept for a
// while; when the other registry does not answer, the old one is used, so that whoever has installed from it before can do
// so again. [Mirror.Serve] answers requests for files that are not here: the file is fetched, and goes to whoever asks
// while it comes, to all of them from one fetch. When it is complete, has the announced checksum and is a box, it is kept;
// from then on it is a blob like any other. If it is not, the answers end broken and nothing is kept.
//
// What is mirrored is no box of this registry. A released version never changes, while of a mirrored one files come one
// by one, as they are asked for, and the other registry may take it back. So catalogs and digests are kept apart, through
// [Cache]; `boxkiln box import` takes a box over for good, without fetching again what is here.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
)

// Boxes is the registry whose own boxes come first.
type Boxes interface {
	// Box returns a box, or boxregistry.ErrNotFound.
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
	// OpenBlob reads stored bytes, or returns blob.ErrNotFound.
	OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error)
	// OpenWriter begins a blob.
	OpenWriter(ctx context.Context) (blob.Writer, error)
	// SetContents keeps what is in stored bytes.
	SetContents(ctx context.Context, d blob.Digest, s boxfile.Summary) error
}

// Cache keeps what is known of other registries. Errors of look-ups: boxregistry.ErrNotFound.
type Cache interface {
	MirroredCatalog(ctx context.Context, name boxregistry.Name) (boxregistry.MirroredCatalog, error)
	KeepMirroredCatalog(ctx context.Context, c boxregistry.MirroredCatalog) error
	MirroredFiles(ctx context.Context, name boxregistry.Name) ([]boxregistry.MirroredFile, error)
	KeepMirroredFile(ctx context.Context, f boxregistry.MirroredFile) error
}

// Source says which registry an organisation is mirrored from.
type Source struct {
	Org string // "*" for every organisation that no other source names
	// URL is the root of a registry that speaks Vagrant's protocol; or, with {org} and {box} in it, the address of catalogs.
	URL string
}

// ParseSource reads ORG=URL.
func ParseSource(s string) (Source, error) {
	org, at, ok := strings.Cut(s, "=")
	if !ok {
		return Source{}, fmt.Errorf("mirror %q: want ORG=URL, for example bento=https://vagrantcloud.com, or *=URL for all organisations", s)
	}
	if _, err := boxregistry.ParseName(org + "/box"); err != nil && org != "*" {
		return Source{}, fmt.Errorf("mirror %q: %w", org, err)
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Source{}, fmt.Errorf("mirror %s: want an http or https address of a registry, or of its catalogs with {org} and {box} in it", org)
	}
	return Source{Org: org, URL: strings.TrimSuffix(at, "/")}, nil
}

// catalogs are the addresses under which the catalog of a box may be, the best first: Vagrant 2.4 asks in this order too.
func (s Source) catalogs(name boxregistry.Name) []string {
	if strings.Contains(s.URL, "{box}") {
		return []string{strings.NewReplacer("{org}", url.PathEscape(name.Org()), "{box}", url.PathEscape(name.Box())).Replace(s.URL)}
	}
	path := "/" + url.PathEscape(name.Org()) + "/" + url.PathEscape(name.Box())
	return []string{s.URL + "/api/v2/vagrant" + path, s.URL + path}
}

// Config is what a Mirror is made of. Sources, Boxes, Cache and Fetcher are required.
type Config struct {
	Sources []Source
	// TTL is how long a catalog is used without asking again; 0 for a quarter of an hour.
	TTL time.Duration
	// Offline asks nobody: catalogs that are kept, and of them the files that are here.
	Offline bool
	Boxes   Boxes
	Cache   Cache
	Fetcher *upstream.Fetcher
	// Limits bound the boxes that are taken.
	Limits boxfile.Limits
	// Visible tells whether whoever asks may see a mirrored box; nil for everybody.
	Visible func(ctx context.Context, name boxregistry.Name) bool
	Log     *slog.Logger     // nil for slog.Default()
	Now     func() time.Time // nil for time.Now
}

const (
	defaultTTL = 15 * time.Minute
	// retryAfter is how long a registry that did not answer, or did not have a box, is left alone about it.
	retryAfter = time.Minute
	// lookupTime bounds the look-up of a catalog: somebody waits for it.
	lookupTime = 30 * time.Second
	// maxRemembered bounds the names that are remembered as unknown: anybody can ask for any.
	maxRemembered = 10_000
	// maxLookups is how many catalogs are looked up at once.
	maxLookups = 16
)

// Mirror serves other registries' boxes. Make it with New, and Close it.
type Mirror struct {
	cfg     Config
	lookup  *upstream.Fetcher
	lookups singleflight.Group
	room    chan struct{}
	ctx     context.Context // of everything that goes on without whoever asked for it
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	asked   map[boxregistry.Name]answer
	fetches map[fileKey]*fetch
}

// answer is what a registry last said of a box that it did not give.
type answer struct {
	at  time.Time
	err error
}

// New makes a mirror.
func New(cfg Config) *Mirror {
	if cfg.TTL == 0 {
		cfg.TTL = defaultTTL
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Mirror{
		cfg: cfg, ctx: ctx, stop: stop, room: make(chan struct{}, maxLookups),
		// Somebody waits for a catalog, so one attempt must do, and no wait that a server asks for.
		lookup: &upstream.Fetcher{Client: cfg.Fetcher.Client, Retries: 1, MaxWait: 1, Stall: lookupTime},
		asked:  map[boxregistry.Name]answer{}, fetches: map[fileKey]*fetch{},
	}
}

// Close ends what is being fetched; what has arrived of it is kept.
func (m *Mirror) Close() {
	m.stop()
	m.running.Wait()
	m.lookup.Close()
}

// source is where boxes of an organisation come from.
func (m *Mirror) source(org string) (Source, bool) {
	var all Source
	for _, s := range m.cfg.Sources {
		switch {
		case strings.EqualFold(s.Org, org):
			return s, true
		case s.Org == "*":
			all = s
		}
	}
	return all, all.Org != ""
}

// Mirrors tells whether boxes of that organisation may come from elsewhere, and so change without a change here.
func (m *Mirror) Mirrors(org string) bool {
	_, ok := m.source(org)
	return ok
}

// Box returns the registry's own box, or the mirrored one. It returns boxregistry.ErrNotFound when there is neither.
func (m *Mirror) Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error) {
	box, err := m.cfg.Boxes.Box(ctx, name)
	if !errors.Is(err, boxregistry.ErrNotFound) {
		return box, err
	}
	mirrored, lookupErr := m.mirrored(ctx, name)
	if lookupErr != nil {
		return boxregistry.Box{}, lookupErr
	}
	return m.box(mirrored), nil
}

// OpenBlob reads stored bytes.
func (m *Mirror) OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error) {
	return m.cfg.Boxes.OpenBlob(ctx, d)
}
