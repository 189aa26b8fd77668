package hypervisortest

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

func testFreezeRunning(t *testing.T, r run) {
	m, _ := r.frozen(t, "a")
	r.wantMark(t, m, "a")
	r.mark(t, m, "b")
	r.wantMark(t, m, "b")
	if r.GuestPort != 0 {
		r.wantReachable(t, m)
	}
}

// testFreezeTwice thaws the second freeze of a machine, which is based on the first.
func testFreezeTwice(t *testing.T, r run) {
	r.thawer(t)
	first, second, spec := r.ice(t), r.ice(t), r.Lasting(t)
	m := r.started(t, spec)
	r.needMemory(t, m)
	r.mark(t, m, "a")
	r.freeze(t, m, spec, first)
	r.mark(t, m, "b")
	r.freeze(t, m, spec, second)
	r.mark(t, m, "c")
	r.wantMark(t, r.thaw(t, second), "b")
	r.wantMark(t, r.thaw(t, first), "a")
	r.wantMark(t, m, "c")
}

// testFreezeOff freezes a machine that is off: with the disk of a system that ran, if the suite can have one.
func testFreezeOff(t *testing.T, r run) {
	r.thawer(t)
	i, spec := r.ice(t), r.Lasting(t)
	m := r.create(t, spec)
	freezer(t, m)
	marked := r.Disk != nil && r.ACPI
	if marked {
		if err := m.Start(r.ctx); err != nil {
			t.Fatalf("Start: %v", err)
		}
		r.Disk.Set(t, m, "a")
		r.powerOff(t, m)
	}
	before := r.content(t, m)
	r.freeze(t, m, spec, i)
	thawed := r.thaw(t, i)
	for _, m := range []hypervisor.Machine{m, thawed} {
		if diff := cmp.Diff(before, r.content(t, m)); diff != "" {
			t.Errorf("%s has other disks than before the freeze (-before +after):\n%s", m.Handle().Name, diff)
		}
		if err := m.Start(r.ctx); err != nil {
			t.Fatalf("Start after the freeze: %v", err)
		}
		r.wantState(t, m, hypervisor.Running)
	}
	if marked {
		r.Disk.want(t, thawed, "disk", "a")
	}
	i.Host = hypervisor.Host{Hypervisor: "another"}
	if err := r.thawer(t).Fits(r.ctx, i.Frozen, r.fresh(t, spec)); err != nil {
		t.Errorf("Fits of a machine without memory on another host: %v", err)
	}
}

// powerOff ends a running guest by ACPI.
func (r run) powerOff(t *testing.T, m hypervisor.Machine) {
	t.Helper()
	if err := m.Shutdown(r.ctx); err != nil {
		t.Fatalf("Shutdown: %v", err)
	}
	if err := m.Wait(r.ctx); err != nil {
		t.Fatalf("Wait after Shutdown: %v", err)
	}
}

// testFreezeThawed makes three generations, the youngest of which outlives its parent.
func testFreezeThawed(t *testing.T, r run) {
	second := r.ice(t)
	_, first := r.frozen(t, "a")
	child := r.thaw(t, first)
	r.wantMark(t, child, "a")
	r.mark(t, child, "b")
	r.freeze(t, child, first.spec, second)
	grandchild := r.thaw(t, second)
	if err := child.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy of the machine in between: %v", err)
	}
	first.wantUnchanged(t)
	second.wantUnchanged(t)
	r.wantState(t, grandchild, hypervisor.Running)
	r.wantMark(t, grandchild, "b")
}

// testFreezeNowhere lets a freeze fail for want of a directory. The machine must not notice.
func testFreezeNowhere(t *testing.T, r run) {
	for name, start := range map[string]bool{"running": true, "off": false} {
		t.Run(name, func(t *testing.T) {
			i, spec := r.ice(t), r.Lasting(t)
			m, want := r.create(t, spec), hypervisor.Off
			f := freezer(t, m)
			if start {
				if err := m.Start(r.ctx); err != nil {
					t.Fatalf("Start: %v", err)
				}
				r.needMemory(t, m)
				want = hypervisor.Running
			}
			if _, err := f.Freeze(r.ctx, filepath.Join(i.dir, "missing")); err == nil {
				t.Fatal("Freeze into a directory that does not exist did not fail")
			}
			r.wantState(t, m, want)
			r.freeze(t, m, spec, i)
		})
	}
}

func testFreezeCancelled(t *testing.T, r run) {
	waste, i, spec := r.ice(t), r.ice(t), r.Lasting(t)
	m := r.started(t, spec)
	r.needMemory(t, m)
	r.mark(t, m, "a")
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	_, err := freezer(t, m).Freeze(ctx, waste.dir)
	wantError(t, "cancelled Freeze", err, context.Canceled)
	r.wantState(t, m, hypervisor.Running)
	r.wantMark(t, m, "a")
	r.freeze(t, m, spec, i)
}

// testUnfreezable freezes a machine when it is off, because its memory cannot be kept.
func testUnfreezable(t *testing.T, r run) {
	if r.Unfreezable == nil {
		t.Skip("no machine of this driver has memory that cannot be kept")
	}
	waste, i, spec := r.ice(t), r.ice(t), r.Unfreezable(t)
	m := r.create(t, spec)
	f := freezer(t, m)
	r.freeze(t, m, spec, i)
	thawed := r.thaw(t, i)
	for _, m := range []hypervisor.Machine{m, thawed} {
		if err := m.Start(r.ctx); err != nil {
			t.Fatalf("Start: %v", err)
		}
	}
	err := f.Freezable(r.ctx)
	wantError(t, "Freezable", err, hypervisor.ErrUnsupported)
	if strings.TrimSpace(strings.ReplaceAll(err.Error(), hypervisor.ErrUnsupported.Error(), "")) == "" {
		t.Errorf("Freezable: %v; it does not tell what is in the way", err)
	}
	_, err = f.Freeze(r.ctx, waste.dir)
	wantError(t, "Freeze of a running machine", err, hypervisor.ErrUnsupported)
	r.wantState(t, m, hypervisor.Running)
}

// testExportFrozen exports machines whose disks are based on frozen ones.
func testExportFrozen(t *testing.T, r run) {
	r.thawer(t)
	i, spec := r.ice(t), r.Ending(t)
	m := r.create(t, spec)
	r.freeze(t, m, spec, i)
	thawed := r.thaw(t, i)
	for _, m := range []hypervisor.Machine{m, thawed} {
		if err := m.Start(r.ctx); err != nil {
			t.Fatalf("Start: %v", err)
		}
		if err := m.Wait(r.ctx); err != nil {
			t.Fatalf("Wait: %v", err)
		}
		r.checkExport(t, m, spec)
	}
}
