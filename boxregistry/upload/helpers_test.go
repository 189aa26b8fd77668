package upload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	blobfs "github.com/boxkiln/boxkiln/boxregistry/blob/fs"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// dock is a receiver over a registry in a directory.
type dock struct {
	*Receiver
	t        testing.TB
	dir      string
	registry *store.Registry
	blobs    blob.Store
	clock    *clock
	stop     func()
}

// open opens a dock in dir; wrap changes its parts.
func open(t testing.TB, dir string, wrap func(*Config)) *dock {
	t.Helper()
	db, err := sqlitedb.Open(context.Background(), filepath.Join(dir, "boxkiln.db"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blobfs.Open(filepath.Join(dir, "blobs"), filepath.Join(dir, "staging"))
	if err != nil {
		t.Fatal(err)
	}
	registry, err := store.New(context.Background(), db, blobs, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{now: time.Now()}
	cfg := Config{Registry: registry, Rows: registry, Blobs: blobs, Dir: filepath.Join(dir, "uploads"), Now: c.Now}
	if wrap != nil {
		wrap(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := &dock{Receiver: r, t: t, dir: dir, registry: registry, blobs: cfg.Blobs, clock: c}
	d.stop = sync.OnceFunc(func() {
		if err := errors.Join(r.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

func newDock(t testing.TB, wrap func(*Config)) *dock {
	t.Helper()
	d := open(t, t.TempDir(), wrap)
	t.Cleanup(d.stop)
	return d
}

func (d *dock) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

const provider = "parallels" // whose files nobody looks into

// makeBox is a box with size bytes that do not compress.
func makeBox(t testing.TB, m boxfile.Metadata, seed byte, size int) []byte {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk")
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	if err := os.WriteFile(disk, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	c := boxfile.Contents{Metadata: m, Vagrantfile: "# hello", Files: []boxfile.File{{Name: "disk", Path: disk}}}
	if _, err := boxfile.Write(t.Context(), &b, c, boxfile.Options{Level: 1, Parallel: 1}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func amd64(t testing.TB, seed byte, size int) []byte {
	return makeBox(t, boxfile.Metadata{Provider: provider, Architecture: "amd64"}, seed, size)
}

func sum(data []byte) blob.Digest {
	s := sha256.Sum256(data)
	return blob.Digest(hex.EncodeToString(s[:]))
}

func name(s string) boxregistry.Name {
	n, err := boxregistry.ParseName(s)
	if err != nil {
		panic(err)
	}
	return n
}

func version(s string) boxregistry.Version {
	v, err := boxregistry.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// into is the publication of data as ops/deb 1.0.
func into(data []byte) boxregistry.Publication {
	return boxregistry.Publication{Box: name("ops/deb"), Version: version("1.0"), File: boxregistry.File{
		Provider: provider, Architecture: "amd64", Digest: sum(data), Size: int64(len(data))}}
}

// declare makes a draft ops/deb 1.0 with a file to upload and begins it.
func (d *dock) declare(f boxregistry.File) string {
	d.t.Helper()
	ctx := context.Background()
	err := d.registry.CreateBox(ctx, boxregistry.Box{Name: name("ops/deb")})
	if !errors.Is(err, boxregistry.ErrExists) {
		d.must(err)
		d.must(d.registry.CreateVersion(ctx, name("ops/deb"), version("1.0"), ""))
	}
	d.must(d.registry.Declare(ctx, name("ops/deb"), version("1.0"), f))
	secret, err := d.Begin(ctx, name("ops/deb"), version("1.0"), f.Provider, f.Architecture)
	d.must(err)
	return secret
}

func slotFile() boxregistry.File {
	return boxregistry.File{Provider: provider, Architecture: "amd64"}
}

func (d *dock) files() []boxregistry.File {
	d.t.Helper()
	box, err := d.registry.Box(context.Background(), name("ops/deb"))
	if errors.Is(err, boxregistry.ErrNotFound) {
		return nil
	}
	d.must(err)
	if len(box.Releases) == 0 {
		return nil
	}
	return box.Releases[0].Files
}

// clean fails unless exactly these blobs are stored and nothing is unfinished.
func (d *dock) clean(want ...blob.Digest) {
	d.t.Helper()
	var got []blob.Digest
	for info, err := range d.blobs.All(context.Background()) {
		d.must(err)
		got = append(got, info.Digest)
	}
	if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
		d.t.Errorf("stored are %v, want %v", got, want)
	}
	for _, dir := range []string{"staging", "uploads"} {
		left, err := os.ReadDir(filepath.Join(d.dir, dir))
		d.must(err)
		if len(left) != 0 {
			d.t.Errorf("left in %s: %v", dir, left)
		}
	}
}

// send uploads what is missing of data in chunks.
func (d *dock) send(s Session, data []byte, size int) {
	d.t.Helper()
	for s.Offset < s.Size {
		end := min(s.Offset+int64(size), s.Size)
		var err error
		s, err = d.Append(context.Background(), s.ID, s.Offset, end-s.Offset, bytes.NewReader(data[s.Offset:end]))
		d.must(err)
	}
}

// cut is a body that breaks off.
func cut(data []byte) io.Reader { return io.MultiReader(bytes.NewReader(data), broken{}) }

var errBroken = errors.New("connection reset")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }
