package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// kiln is a store with what a test looks at behind its back.
type kiln struct {
	*Store
	clock *clock
	log   *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// turned seals by turning bytes round: what is sealed does not contain what was plain.
func turned(b []byte) ([]byte, error) {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return b, nil
}

// openKiln opens the store in a data directory, which may exist.
func openKiln(ctx context.Context, data string, o Options) (*kiln, func() error, error) {
	k := &kiln{clock: &clock{t: time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC)}, log: &logBuffer{}}
	dir := filepath.Join(data, "checkpoints")
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, nil, err
	}
	db, err := sqlitedb.Open(ctx, filepath.Join(data, "boxkiln.db"))
	if err != nil {
		return nil, nil, err
	}
	o.Seal, o.Open, o.Now = turned, turned, k.clock.now
	o.Log = slog.New(slog.NewTextHandler(k.log, nil))
	k.Store, err = Open(ctx, db, dir, o)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return k, db.Close, nil
}

func newKiln(t testing.TB, o Options) *kiln {
	t.Helper()
	return newKilnAt(t, t.TempDir(), o)
}

func newKilnAt(t testing.TB, data string, o Options) *kiln {
	t.Helper()
	k, closeDB, err := openKiln(t.Context(), data, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeDB(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// memoryOf is the memory of a machine: its seed makes a tenth of it different from others'.
func memoryOf(seed byte, size int) []byte {
	b := make([]byte, size)
	common, own := rand.NewChaCha8([32]byte{42}), rand.NewChaCha8([32]byte{seed})
	for page := 0; (page+1)*4096 <= size; page++ {
		p := b[page*4096:][:4096]
		switch page % 10 {
		case 0:
			own.Read(p[:2048])
		case 1, 2:
			common.Read(p[:3072])
		case 3, 4, 5:
			copy(p, bytes.Repeat([]byte("a page that repeats, like those of the page cache. "), 81))
		}
	}
	return b
}

const testMemory = 256 << 10

// frozen writes a frozen machine into dir, as a driver does.
func frozen(dir string, seed byte) (*hypervisor.Frozen, error) {
	disk := bytes.Repeat([]byte{seed, 'd', 'i', 's', 'k'}, 20_000)
	for name, data := range map[string][]byte{"memory": memoryOf(seed, testMemory), "disk.qcow2": disk, "vars.fd": []byte("efi")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o400); err != nil {
			return nil, err
		}
	}
	return &hypervisor.Frozen{
		Driver: "fake", Memory: "memory", Vars: "vars.fd", Detail: []byte(`{"x":1}`),
		Disks: []hypervisor.FrozenDisk{{Name: "disk.qcow2", Format: "qcow2", VirtualSize: 1 << 30}},
	}, nil
}

func metaOf(fp string, seed byte, m *hypervisor.Frozen) Meta {
	return Meta{
		Fingerprint: fp, Kind: KindMemory, Stage: "installed", Label: "qemu.debian", Template: "debian.pkr.hcl", Took: time.Minute,
		Reads: []build.Ingredient{{Name: "boot_command", Digest: fmt.Sprintf("%064x", seed)}}, Machine: m, HostKey: "ssh-ed25519 AAAA",
	}
}

// keep makes a checkpoint.
func keep(ctx context.Context, s *Store, user build.ID, parent ID, fp string, seed byte) (Entry, error) {
	d, err := s.Draft(ctx, user, parent)
	if err != nil {
		return Entry{}, err
	}
	m, err := frozen(d.Dir, seed)
	if err != nil {
		return Entry{}, errors.Join(err, d.Close(ctx))
	}
	return d.Commit(ctx, metaOf(fp, seed, m), "the key")
}

func (k *kiln) keep(t testing.TB, user build.ID, parent ID, fp string, seed byte) Entry {
	t.Helper()
	e, err := keep(t.Context(), k.Store, user, parent, fp, seed)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (k *kiln) release(t testing.TB, user build.ID) {
	t.Helper()
	if err := k.Release(t.Context(), user); err != nil {
		t.Fatal(err)
	}
}

func (k *kiln) acquire(t testing.TB, id ID, user build.ID) *Lease {
	t.Helper()
	l, err := k.Acquire(t.Context(), id, user)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// files lists the files below the store's directory, those of an id as "id/name", sorted.
func (k *kiln) files(t testing.TB) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(k.dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && path != k.dir {
			all = append(all, strings.TrimPrefix(path, k.dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// has are the files of one checkpoint.
func (k *kiln) has(t testing.TB, id ID) string {
	t.Helper()
	var names []string
	for _, f := range k.files(t) {
		if name, ok := strings.CutPrefix(f, string(id)+"/"); ok {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func (k *kiln) lookup(t testing.TB, fp string) []ID {
	t.Helper()
	list, err := k.Lookup(t.Context(), fp)
	if err != nil {
		t.Fatal(err)
	}
	return ids(list)
}

func ids(list []Entry) []ID {
	var all []ID
	for _, e := range list {
		all = append(all, e.ID)
	}
	return all
}

const (
	wholeFiles = "disk.qcow2 key.sealed manifest.json memory.zst vars.fd"
	layerFiles = "disk.qcow2 manifest.json"
	// baseFiles are those of a layer with whose memory those of others are compared.
	baseFiles = "disk.qcow2 manifest.json memory.zst"
)
