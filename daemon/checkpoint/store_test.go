package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

func TestKeepAndThaw(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	e := k.keep(t, "b1", "", "fp1", 7)
	if got := k.has(t, e.ID); got != wholeFiles {
		t.Errorf("the directory holds %s", got)
	}
	list, err := k.Lookup(t.Context(), "fp1")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if diff := cmp.Diff(e, list[0], cmp.Comparer(func(a, b build.Stamp) bool { return a.String() == b.String() })); diff != "" {
		t.Error(diff)
	}
	if e.InUse != 1 || e.Layer || e.Bytes == 0 || e.Machine.Memory != "memory" || e.HostKey != "ssh-ed25519 AAAA" || e.Took != time.Minute {
		t.Errorf("%+v", e)
	}
	k.thaw(t, e.ID, 7)
	if key, err := k.Key(t.Context(), e.ID); err != nil || key != "the key" {
		t.Errorf("key %q: %v", key, err)
	}
	if _, err := k.Acquire(t.Context(), "0123456789abcdef", "b2"); !errors.Is(err, ErrGone) {
		t.Errorf("an unknown checkpoint: %v", err)
	}
}

// thaw does with a checkpoint what a build does.
func (k *kiln) thaw(t *testing.T, id ID, seed byte) {
	t.Helper()
	l := k.acquire(t, id, "thaw")
	if err := l.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	got, err := readMemory(t.Context(), l, dir)
	if err != nil || !bytes.Equal(got, memoryOf(seed, testMemory)) {
		t.Errorf("the memory came back otherwise (%d bytes, %v)", len(got), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// QEMU's user passes through the directory and reads the disks; nobody else reads what is secret, and disks stay as the
// driver left them.
func TestModes(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	e := k.keep(t, "b1", "", "fp1", 1)
	for name, want := range map[string]os.FileMode{
		".": 0o711, memoryFile: 0o600, keyFile: 0o600, manifestFile: 0o600, "disk.qcow2": 0o400,
	} {
		info, err := os.Stat(filepath.Join(k.path(e.ID), name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v (%v)", name, info.Mode(), err)
		}
	}
	sealed, err := os.ReadFile(filepath.Join(k.path(e.ID), keyFile))
	if err != nil || strings.Contains(string(sealed), "the key") {
		t.Errorf("the key lies open: %q %v", sealed, err)
	}
}

func TestArtifact(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	d, err := k.Draft(t.Context(), "b1", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(d.Dir, "out"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "out/x.box"), []byte("box"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &hypervisor.Artifact{Files: []hypervisor.File{{Path: "out/x.box", Role: hypervisor.RoleBox}}}
	e, err := d.Commit(t.Context(), Meta{Fingerprint: "fp", Kind: KindArtifact, Artifact: a}, "")
	if err != nil {
		t.Fatal(err)
	}
	l := k.acquire(t, e.ID, "b2")
	if err := l.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := l.Memory(t.Context(), t.TempDir()); err == nil {
		t.Error("an artifact has memory")
	}
	if diff := cmp.Diff([]string{"manifest.json", "out", "out/x.box"}, strings.Fields(k.has(t, e.ID))); diff != "" {
		t.Error(diff)
	}
}

func TestBadMetaIsRefused(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	machine := func(names ...string) *hypervisor.Frozen {
		f := &hypervisor.Frozen{}
		for _, n := range names {
			f.Disks = append(f.Disks, hypervisor.FrozenDisk{Name: n})
		}
		return f
	}
	for name, m := range map[string]Meta{
		"no fingerprint": {Kind: KindDisk, Machine: machine()},
		"no kind":        {Fingerprint: "fp", Machine: machine()},
		"no machine":     {Fingerprint: "fp", Kind: KindDisk},
		"no artifact":    {Fingerprint: "fp", Kind: KindArtifact},
		"both":           {Fingerprint: "fp", Kind: KindDisk, Machine: machine(), Artifact: &hypervisor.Artifact{}},
		"no memory":      {Fingerprint: "fp", Kind: KindMemory, Machine: machine()},
		"outside":        {Fingerprint: "fp", Kind: KindDisk, Machine: machine("../disk")},
		"absolute":       {Fingerprint: "fp", Kind: KindDisk, Machine: machine("/etc/passwd")},
		"ours":           {Fingerprint: "fp", Kind: KindDisk, Machine: machine("manifest.json")},
		"missing":        {Fingerprint: "fp", Kind: KindDisk, Machine: machine("disk")},
		"missing file":   {Fingerprint: "fp", Kind: KindArtifact, Artifact: &hypervisor.Artifact{Files: []hypervisor.File{{Path: "x"}}}},
	} {
		d, err := k.Draft(t.Context(), "b1", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Commit(t.Context(), m, ""); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	k.release(t, "b1")
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestGetByPrefix(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	a, b := k.keep(t, "b1", "", "zzza1", 1), k.keep(t, "b1", "", "zzzb1", 2)
	c := k.keep(t, "b1", "", "zzzb1", 3)
	for name, want := range map[string]ID{string(a.ID): a.ID, string(b.ID): b.ID, "zzza": a.ID, "zzzb": c.ID} {
		if e, err := k.Get(t.Context(), name); err != nil || e.ID != want {
			t.Errorf("%s: %s %v", name, e.ID, err)
		}
	}
	for name, want := range map[string]error{"zzz": ErrAmbiguous, "": ErrNotFound, "zzzc": ErrNotFound, "%": ErrNotFound} {
		if _, err := k.Get(t.Context(), name); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNearestTellsWhatWasThere(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	k.keep(t, "b1", "", "fp1", 1)
	newest := k.keep(t, "b1", "", "fp2", 2)
	e, ok, err := k.Nearest(t.Context(), "qemu.debian", "debian.pkr.hcl", "installed")
	if err != nil || !ok || e.ID != newest.ID || len(e.Reads) != 1 {
		t.Errorf("%+v %v %v", e, ok, err)
	}
	if _, ok, err := k.Nearest(t.Context(), "qemu.debian", "other.pkr.hcl", "installed"); ok || err != nil {
		t.Error(ok, err)
	}
}
