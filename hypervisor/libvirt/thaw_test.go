//go:build !nolibvirt

package libvirt

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
)

// TestThawOwnerKilled kills the process that thawed a machine. Libvirt cannot tie a restored machine to its connection as
// it does with others, so it runs on until the next driver finds and removes it.
func TestThawOwnerKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, nil, hypervisortest.CountGuest())
	m := r.run(t, spec)
	r.serialLen(t, m, 3)
	f, dir := r.freeze(t, m)
	twin := r.twin(t, spec)
	order, err := json.Marshal(thawOrder{r.install, f, dir, twin})
	if err != nil {
		t.Fatal(err)
	}
	owner := startOwner(t, "TestThawingProcess", thawVariable+"="+string(order))
	if err := owner.Kill(); err != nil {
		t.Fatal(err)
	}
	found, err := r.Open(r.ctx, hypervisor.Handle{Driver: Name, Name: twin.Name, Tag: twin.Tag, Dir: twin.Dir})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if s, err := found.State(r.ctx); err != nil || s != hypervisor.Running {
		t.Errorf("State = %v, %v; want it to run", s, err)
	}
	if err := found.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	if left, err := os.ReadDir(twin.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

const thawVariable = "BOXKILN_THAW"

// thawOrder tells TestThawingProcess what to thaw.
type thawOrder struct {
	Install string
	Frozen  hypervisor.Frozen
	Dir     string
	Spec    hypervisor.Spec
}

// TestThawingProcess is the process that TestThawOwnerKilled kills.
func TestThawingProcess(t *testing.T) {
	text := os.Getenv(thawVariable)
	if text == "" {
		t.Skip("runs only for TestThawOwnerKilled")
	}
	var o thawOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	d := New(Options{Install: o.Install, URI: os.Getenv(uriVariable)})
	if _, err := d.Thaw(t.Context(), o.Frozen, o.Dir, o.Spec); err != nil {
		t.Fatal(err)
	}
	fmt.Print(ownerReady)
	<-t.Context().Done()
}

// TestHalfThawed leaves what a crash in the middle of a thaw leaves: a definition, a pipe that libvirtd may wait at, and
// files. Destroy removes them, and so does another Thaw.
func TestHalfThawed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, nil, hypervisortest.CountGuest())
	m := r.run(t, spec)
	r.serialLen(t, m, 3)
	f, dir := r.freeze(t, m)
	half := func(t *testing.T) hypervisor.Spec {
		t.Helper()
		twin := r.twin(t, spec)
		h, err := r.Create(r.ctx, twin)
		if err != nil {
			t.Fatal(err)
		}
		r.endWith(t, h, twin)
		if err := os.Remove(filepath.Join(twin.Dir, markerFile)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(twin.Dir, pipeFile), 0o600); err != nil {
			t.Fatal(err)
		}
		return twin
	}
	twin := half(t)
	h, err := r.Open(r.ctx, hypervisor.Handle{Driver: Name, Name: twin.Name, Tag: twin.Tag, Dir: twin.Dir})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if err := h.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	twin = half(t)
	again, err := r.Thaw(r.ctx, f, dir, twin)
	if err != nil {
		t.Fatalf("Thaw over a half-thawed machine: %v", err)
	}
	r.endWith(t, again, twin)
	if s, err := again.State(r.ctx); err != nil || s != hypervisor.Running {
		t.Errorf("State = %v, %v; want it to run", s, err)
	}
}

// TestThawedIsWhole cuts the power of a thawed machine. It starts again from its disk, can be frozen while it is off, and
// exported.
func TestThawedIsWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, map[string]any{"machine_type": "q35"}, hypervisortest.CountGuest())
	m := r.run(t, spec)
	r.serialLen(t, m, 3)
	f, dir := r.freeze(t, m)
	twin := r.twin(t, spec)
	h, err := r.Thaw(r.ctx, f, dir, twin)
	if err != nil {
		t.Fatalf("Thaw: %v", err)
	}
	r.endWith(t, h, twin)
	thawed := h.(*Machine)
	cut := func() {
		t.Helper()
		if err := thawed.with(r.ctx, func(_ *libvirt.Connect, dom *libvirt.Domain) error { return dom.Destroy() }); err != nil {
			t.Fatal(err)
		}
	}
	cut()
	if err := thawed.Start(r.ctx); err != nil {
		t.Fatalf("Start: %v", err)
	}
	r.serialHas(t, thawed, hypervisortest.CountReady)
	cut()
	f2, dir2 := r.freeze(t, thawed)
	last := r.twin(t, spec)
	h, err = r.Thaw(r.ctx, f2, dir2, last)
	if err != nil {
		t.Fatalf("Thaw of what was off: %v", err)
	}
	r.endWith(t, h, last)
	if err := h.Start(r.ctx); err != nil {
		t.Fatalf("Start: %v", err)
	}
	r.serialHas(t, h.(*Machine), hypervisortest.CountReady)
	a, err := thawed.Export(r.ctx, t.TempDir(), hypervisor.ExportOptions{Format: "qcow2", Name: "golden"})
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
	if info, err := r.disks.Info(r.ctx, a.Files[0].Path, "qcow2"); err != nil || info.FullBacking != "" || info.VirtualSize != spec.Disks[0].Size {
		t.Errorf("exported %+v, %v; want a disk of its own", info, err)
	}
}
