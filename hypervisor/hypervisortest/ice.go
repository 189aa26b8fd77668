package hypervisortest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// ice is a directory to freeze into, and the frozen machine in it.
type ice struct {
	hypervisor.Frozen
	dir  string
	spec hypervisor.Spec   // of the machine that was frozen
	sums map[string]string // of the frozen files, by name
}

// ice makes a directory to freeze into. Call it before the machines are made that have to do with it: it is compared
// with what was frozen, and removed, when they are gone.
func (r run) ice(t *testing.T) *ice {
	t.Helper()
	i := new(ice)
	if r.FrozenDir != nil {
		i.dir = r.FrozenDir(t)
	} else {
		i.dir = t.TempDir()
	}
	t.Cleanup(func() { i.wantUnchanged(t) })
	return i
}

// wantUnchanged compares the files with those that were frozen.
func (i *ice) wantUnchanged(t *testing.T) {
	t.Helper()
	if i.sums == nil {
		return // nothing was frozen
	}
	if diff := cmp.Diff(i.sums, sums(t, i.dir)); diff != "" {
		t.Errorf("frozen files have changed (-frozen +now):\n%s", diff)
	}
}

// sums are the digests of the files below a directory.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if !e.Type().IsRegular() {
			all[path] = e.Type().String()
			return nil
		}
		all[path], err = sum(path)
		return err
	})
	if err != nil {
		t.Errorf("read the frozen files: %v", err)
	}
	return all
}

// sum is the digest of a file, which may be a whole disk.
func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// thawer skips the test for a driver that cannot thaw.
func (r run) thawer(t *testing.T) hypervisor.Thawer {
	t.Helper()
	th, ok := r.driver.(hypervisor.Thawer)
	if !ok {
		t.Skip("this driver cannot thaw machines")
	}
	return th
}

func freezer(t *testing.T, m hypervisor.Machine) hypervisor.Freezer {
	t.Helper()
	f, ok := m.(hypervisor.Freezer)
	if !ok {
		t.Skip("this driver cannot freeze machines")
	}
	return f
}

// needMemory skips the test where the memory of a running machine cannot be kept.
func (r run) needMemory(t *testing.T, m hypervisor.Machine) {
	t.Helper()
	err := freezer(t, m).Freezable(r.ctx)
	if errors.Is(err, hypervisor.ErrUnsupported) {
		t.Skipf("the memory of this machine cannot be kept: %v", err)
	}
	if err != nil {
		t.Fatalf("Freezable: %v", err)
	}
}

// freeze freezes a machine into the ice, and checks what the driver says of it.
func (r run) freeze(t *testing.T, m hypervisor.Machine, spec hypervisor.Spec, into *ice) {
	t.Helper()
	was, err := m.State(r.ctx)
	if err != nil {
		t.Fatalf("State: %v", err)
	}
	f, err := freezer(t, m).Freeze(r.ctx, into.dir)
	if err != nil {
		t.Fatalf("Freeze: %v", err)
	}
	r.wantState(t, m, was)
	into.Frozen, into.spec, into.sums = stored(t, f), spec, sums(t, into.dir)
	r.checkFrozen(t, into, was == hypervisor.Running)
}

// stored is what is left of a description that was written and read again.
func stored(t *testing.T, f hypervisor.Frozen) hypervisor.Frozen {
	t.Helper()
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatalf("a frozen machine cannot be described: %v", err)
	}
	var again hypervisor.Frozen
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatalf("the description of a frozen machine: %v", err)
	}
	return again
}

func (r run) checkFrozen(t *testing.T, i *ice, memory bool) {
	t.Helper()
	if i.Driver != r.driver.Name() {
		t.Errorf("frozen by driver %q; want %q", i.Driver, r.driver.Name())
	}
	if memory != (i.Memory != "") || i.spec.Firmware.UEFI != (i.Vars != "") || len(i.Disks) != len(i.spec.Disks) {
		t.Errorf("frozen %+v: want memory %v, variables %v, %d disks", i.Frozen, memory, i.spec.Firmware.UEFI, len(i.spec.Disks))
	}
	if memory && (i.Host.Hypervisor == "" || i.Host.CPU == "") {
		t.Errorf("host %+v does not tell what the memory depends on", i.Host)
	}
	for _, name := range i.files() {
		info, err := os.Stat(filepath.Join(i.dir, name))
		if err != nil || filepath.Base(name) != name || !info.Mode().IsRegular() {
			t.Errorf("%q: want a file in the directory (%v)", name, err)
		}
	}
	for _, d := range i.Disks {
		if d.Format == "" || d.VirtualSize <= 0 {
			t.Errorf("frozen disk %+v: want a format and a virtual size", d)
		}
	}
}

// files are the names of the files that the description names.
func (i *ice) files() []string {
	names := []string{i.Memory, i.Vars}
	for _, d := range i.Disks {
		names = append(names, d.Name)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// fresh is the same machine under another name and in another directory.
func (r run) fresh(t *testing.T, spec hypervisor.Spec) hypervisor.Spec {
	t.Helper()
	other := r.Lasting(t)
	spec.Name, spec.Dir = other.Name, other.Dir
	return spec
}

// frozen makes a running machine of Lasting that is marked, and freezes it.
func (r run) frozen(t *testing.T, mark string) (hypervisor.Machine, *ice) {
	t.Helper()
	r.thawer(t)
	i, spec := r.ice(t), r.Lasting(t)
	m := r.started(t, spec)
	r.needMemory(t, m)
	r.mark(t, m, mark)
	r.freeze(t, m, spec, i)
	return m, i
}

// thaw makes a machine of the ice that is destroyed when the test ends.
func (r run) thaw(t *testing.T, i *ice) hypervisor.Machine {
	t.Helper()
	m, err := r.thawAs(t, i, r.fresh(t, i.spec))
	if err != nil {
		t.Fatalf("Thaw: %v", err)
	}
	return m
}

func (r run) thawAs(t *testing.T, i *ice, spec hypervisor.Spec) (hypervisor.Machine, error) {
	t.Helper()
	m, err := r.thawer(t).Thaw(r.ctx, i.Frozen, i.dir, spec)
	if err != nil {
		return nil, err
	}
	r.adopt(t, m)
	want := hypervisor.Off
	if i.Memory != "" {
		want = hypervisor.Running
	}
	r.wantState(t, m, want)
	if h := m.Handle(); h.Driver != r.driver.Name() || h.Name != spec.Name || h.Tag != spec.Tag || h.Dir != spec.Dir {
		t.Errorf("handle %+v does not name the spec's machine", h)
	}
	return m, nil
}

// mark marks memory and disk of a running machine, as far as the suite knows how.
func (r run) mark(t *testing.T, m hypervisor.Machine, mark string) {
	t.Helper()
	for _, k := range []*Marker{r.Memory, r.Disk} {
		if k != nil {
			k.Set(t, m, mark)
		}
	}
}

func (r run) wantMark(t *testing.T, m hypervisor.Machine, want string) {
	t.Helper()
	for what, k := range map[string]*Marker{"memory": r.Memory, "disk": r.Disk} {
		if k != nil {
			k.want(t, m, what, want)
		}
	}
}

func (k *Marker) want(t *testing.T, m hypervisor.Machine, what, want string) {
	t.Helper()
	if got := k.Get(t, m); got != want {
		t.Errorf("the %s of %s holds the mark %q; want %q", what, m.Handle().Name, got, want)
	}
}

// wantNothing checks that a machine which could not be made has left nothing.
func (r run) wantNothing(t *testing.T, spec hypervisor.Spec) {
	t.Helper()
	r.wantGone(t, hypervisor.Handle{Driver: r.driver.Name(), Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir})
	all, err := r.driver.List(r.ctx)
	if err != nil || slices.ContainsFunc(all, func(h hypervisor.Handle) bool { return h.Name == spec.Name }) {
		t.Errorf("List = %v, %v; it holds %q, which was not made", all, err, spec.Name)
	}
}

// content exports a machine that is off, and returns the digests of its disks and firmware variables.
func (r run) content(t *testing.T, m hypervisor.Machine) map[string]string {
	t.Helper()
	a, err := m.Export(r.ctx, t.TempDir(), hypervisor.ExportOptions{Format: r.exportFormat("raw"), Name: "golden"})
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
	named := map[string]string{}
	for _, f := range a.Files {
		switch {
		case f.Role != hypervisor.RoleDisk && f.Role != hypervisor.RoleNVRAM:
		case f.Role == hypervisor.RoleDisk && r.Content != nil:
			named[filepath.Base(f.Path)] = r.Content(t, f)
		default:
			if named[filepath.Base(f.Path)], err = sum(f.Path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return named
}
