package fake_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/fake"
)

func TestMachinesSurviveARestart(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	first := newHost(t, root, fake.Options{})
	m, spec := start(t, first, `{"ssh": true}`)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	d := newHost(t, root, fake.Options{}).Driver(install)
	handles, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]hypervisor.Handle{m.Handle()}, handles); diff != "" {
		t.Fatal(diff)
	}
	again, err := d.Open(t.Context(), handles[0])
	if err != nil {
		t.Fatal(err)
	}
	if s, err := again.State(t.Context()); s != hypervisor.Running {
		t.Errorf("%s, %v", s, err)
	}
	if _, err := again.Guest(t.Context(), 22); !errors.Is(err, hypervisor.ErrNoAddress) {
		t.Errorf("err = %v", err)
	}
	for range 2 {
		if err := again.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if handles, err = d.List(t.Context()); err != nil || len(handles) > 0 {
		t.Errorf("%v, %v", handles, err)
	}
	for _, dir := range []string{root, spec.Dir} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("storage pool is gone")
	h := newHost(t, t.TempDir(), fake.Options{Faults: fake.Faults{Create: 1, Start: 1}})
	var s specs
	d, spec := h.Driver(install), s.spec(t, `{"power_off_after": -1}`)
	if _, err := d.Create(t.Context(), spec); !errors.Is(err, fake.ErrInjected) {
		t.Errorf("Create: %v", err)
	}
	m, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); !errors.Is(err, fake.ErrInjected) {
		t.Errorf("Start: %v", err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, m, nil)
	h.Inject(fake.Faults{Export: 1, ExportDiskFull: 1, Err: broken})
	dir := t.TempDir()
	for _, want := range []error{broken, syscall.ENOSPC} {
		if _, err := m.Export(t.Context(), dir, hypervisor.ExportOptions{Format: "raw", Name: "x"}); !errors.Is(err, want) {
			t.Errorf("Export: %v, want %v", err, want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	}
	if _, err := m.Export(t.Context(), dir, hypervisor.ExportOptions{Format: "raw", Name: "x"}); err != nil {
		t.Error(err)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), fake.Options{})
	var s specs
	tests := map[string]func(spec *hypervisor.Spec){
		"path as name":     func(spec *hypervisor.Spec) { spec.Name = "../x" },
		"no name":          func(spec *hypervisor.Spec) { spec.Name = "" },
		"foreign tag":      func(spec *hypervisor.Spec) { spec.Tag.Install = "other" },
		"relative dir":     func(spec *hypervisor.Spec) { spec.Dir = "x" },
		"missing dir":      func(spec *hypervisor.Spec) { spec.Dir = "/nonexistent/x" },
		"missing CD":       func(spec *hypervisor.Spec) { spec.CDs = []string{"/nonexistent.iso"} },
		"missing image":    func(spec *hypervisor.Spec) { spec.Disks[0].Image = "/nonexistent.img" },
		"unknown format":   func(spec *hypervisor.Spec) { spec.Disks[1].Format = "vdi" },
		"options not ours": func(spec *hypervisor.Spec) { spec.Options = []byte(`{"ssh": "maybe"}`) },
		"a disk too large": func(spec *hypervisor.Spec) { spec.Disks[0].Size = 1 << 62 },
	}
	for name, change := range tests {
		spec := s.spec(t, `{}`)
		dir := spec.Dir
		change(&spec)
		if m, err := h.Driver(install).Create(t.Context(), spec); err == nil {
			t.Errorf("%s: made %v", name, m.Handle())
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
	if handles, err := h.Driver(install).List(t.Context()); err != nil || len(handles) > 0 {
		t.Errorf("%v, %v", handles, err)
	}
}
