package hypervisortest

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// testThawTwo thaws two machines at the same time, while the frozen one runs on.
func testThawTwo(t *testing.T, r run) {
	m, i := r.frozen(t, "a")
	r.mark(t, m, "b")
	all := append(r.thawPair(t, i), m)
	for k, want := range []string{"a", "a", "b"} {
		r.wantState(t, all[k], hypervisor.Running)
		r.wantMark(t, all[k], want)
	}
	if r.GuestPort != 0 {
		r.wantOwnPorts(t, all)
	}
	for k, m := range all {
		if err := m.Destroy(r.ctx); err != nil {
			t.Fatalf("Destroy: %v", err)
		}
		i.wantUnchanged(t)
		for _, other := range all[k+1:] {
			r.wantState(t, other, hypervisor.Running)
		}
	}
}

// thawPair thaws two machines at the same time.
func (r run) thawPair(t *testing.T, i *ice) []hypervisor.Machine {
	t.Helper()
	th := r.thawer(t)
	machines, errs := make([]hypervisor.Machine, 2), make([]error, 2)
	var wg sync.WaitGroup
	for k := range machines {
		spec := r.fresh(t, i.spec)
		wg.Go(func() { machines[k], errs[k] = th.Thaw(r.ctx, i.Frozen, i.dir, spec) })
	}
	wg.Wait()
	for k, m := range machines {
		if errs[k] == nil {
			r.adopt(t, m)
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("Thaw of two at once: %v", err)
	}
	return machines
}

// wantOwnPorts checks that the guests can be reached, each at another address.
func (r run) wantOwnPorts(t *testing.T, machines []hypervisor.Machine) {
	t.Helper()
	seen := map[hypervisor.Endpoint]string{}
	for _, m := range machines {
		e, name := r.wantReachable(t, m), m.Handle().Name
		if other, taken := seen[e]; taken {
			t.Errorf("%s and %s are both at %s", other, name, e)
		}
		seen[e] = name
	}
}

// wantReachable connects to the guest's port.
func (r run) wantReachable(t *testing.T, m hypervisor.Machine) hypervisor.Endpoint {
	t.Helper()
	e, err := r.address(m)
	if err != nil {
		t.Fatalf("Guest: %v", err)
	}
	var d net.Dialer
	conn, err := d.DialContext(r.ctx, "tcp", e.String())
	if err != nil {
		t.Fatalf("the guest's port cannot be reached: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	return e
}

// testThawOrphan thaws what was frozen from a machine that is gone, as the next build does.
func testThawOrphan(t *testing.T, r run) {
	m, i := r.frozen(t, "a")
	if err := m.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy of the frozen machine: %v", err)
	}
	r.wantGone(t, m.Handle())
	i.wantUnchanged(t)
	r.wantMark(t, r.thaw(t, i), "a")
}

func testThawMemory(t *testing.T, r run) { testThawMarks(t, r, r.Memory, "memory") }

func testThawDisks(t *testing.T, r run) { testThawMarks(t, r, r.Disk, "disk") }

// testThawMarks checks that a frozen machine and those thawed from it have nothing in common any more.
func testThawMarks(t *testing.T, r run, k *Marker, what string) {
	if k == nil {
		t.Skipf("no way to mark the %s of a guest of this driver", what)
	}
	r.thawer(t)
	i, spec := r.ice(t), r.Lasting(t)
	m := r.started(t, spec)
	r.needMemory(t, m)
	k.Set(t, m, "a")
	r.freeze(t, m, spec, i)
	k.Set(t, m, "b")
	one, two := r.thaw(t, i), r.thaw(t, i)
	k.want(t, one, what, "a")
	k.Set(t, one, "c")
	k.want(t, two, what, "a")
	k.want(t, one, what, "c")
	k.want(t, m, what, "b")
	i.wantUnchanged(t)
	k.want(t, r.thaw(t, i), what, "a")
}

// testThawTwice thaws under a name that is there already: the machine must not be thawed over.
func testThawTwice(t *testing.T, r run) {
	_, i := r.frozen(t, "a")
	spec := r.fresh(t, i.spec)
	first, err := r.thawAs(t, i, spec)
	if err != nil {
		t.Fatalf("Thaw: %v", err)
	}
	r.mark(t, first, "b")
	second, err := r.thawer(t).Thaw(r.ctx, i.Frozen, i.dir, spec)
	if err != nil {
		t.Fatalf("second Thaw: %v", err)
	}
	if diff := cmp.Diff(first.Handle(), second.Handle()); diff != "" {
		t.Errorf("the second Thaw made another machine (-first +second):\n%s", diff)
	}
	r.wantState(t, first, hypervisor.Running)
	r.wantMark(t, second, "b")
}

func testThawForeign(t *testing.T, r run) {
	_, i := r.frozen(t, "a")
	theirs := r.ForeignTag(r.Lasting(t))
	foreign, err := r.Foreign(t).Create(r.ctx, theirs)
	if err != nil {
		t.Fatalf("Create of a foreign machine: %v", err)
	}
	r.adopt(t, foreign)
	spec := r.fresh(t, i.spec)
	spec.Name = theirs.Name
	_, err = r.thawAs(t, i, spec)
	wantError(t, "Thaw under the name of a foreign machine", err, hypervisor.ErrForeign)
	r.wantState(t, foreign, hypervisor.Off)
	wantEmpty(t, spec.Dir)

	mine := r.thaw(t, i)
	spec = r.fresh(t, i.spec)
	spec.Name = mine.Handle().Name
	spec.Tag.Attempt++
	_, err = r.thawAs(t, i, spec)
	wantError(t, "Thaw for another attempt", err, hypervisor.ErrForeign)
	r.wantState(t, mine, hypervisor.Running)
	wantEmpty(t, spec.Dir)
}

// wantEmpty checks that nothing is in a directory, or that it is gone.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
		t.Errorf("%s holds %v (%v); want nothing", dir, left, err)
	}
}

// testThawCancelled cancels before and, at no particular point, during a thaw.
func testThawCancelled(t *testing.T, r run) {
	_, i := r.frozen(t, "a")
	th := r.thawer(t)
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	spec := r.fresh(t, i.spec)
	_, err := th.Thaw(ctx, i.Frozen, i.dir, spec)
	wantError(t, "cancelled Thaw", err, context.Canceled)
	r.wantNothing(t, spec)

	for _, d := range []time.Duration{time.Millisecond, 30 * time.Millisecond, 200 * time.Millisecond} {
		spec := r.fresh(t, i.spec)
		ctx, cancel := context.WithTimeout(r.ctx, d)
		m, err := th.Thaw(ctx, i.Frozen, i.dir, spec)
		cancel()
		if err != nil {
			r.wantNothing(t, spec)
			continue
		}
		r.adopt(t, m) // it was faster
		r.wantState(t, m, hypervisor.Running)
	}
	r.wantMark(t, r.thaw(t, i), "a")
}

// testThawDamaged takes each file of a frozen machine away, and cuts the memory in two.
func testThawDamaged(t *testing.T, r run) {
	_, i := r.frozen(t, "a")
	for _, name := range i.files() {
		path := filepath.Join(i.dir, name)
		aside := path + ".aside" // on the same file system, with the same owner and mode
		move(t, path, aside)
		r.wantNoThaw(t, i, name+" is missing")
		if name == i.Memory {
			copyPart(t, aside, path, 2)
			r.wantNoThaw(t, i, name+" is cut")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		move(t, aside, path)
	}
	i.wantUnchanged(t)
	r.wantMark(t, r.thaw(t, i), "a")
}

func (r run) wantNoThaw(t *testing.T, i *ice, what string) {
	t.Helper()
	spec := r.fresh(t, i.spec)
	m, err := r.thawer(t).Thaw(r.ctx, i.Frozen, i.dir, spec)
	if err == nil {
		r.adopt(t, m)
		t.Errorf("%s, and Thaw did not fail", what)
		return
	}
	r.wantNothing(t, spec)
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// copyPart writes the first nth of a file as another.
func copyPart(t *testing.T, from, to string, n int) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data[:len(data)/n], 0o644); err != nil {
		t.Fatal(err)
	}
}

// testThawMemoryPath keeps the memory elsewhere, as a caller does that has it compressed, and puts it beside the machine:
// first a cut one, then the right one. Both stay as they are, for they are the caller's.
func testThawMemoryPath(t *testing.T, r run) {
	_, i := r.frozen(t, "a")
	path := filepath.Join(i.dir, i.Memory)
	aside := path + ".aside"
	move(t, path, aside)
	for _, n := range []int{2, 1} {
		spec := r.fresh(t, i.spec)
		own := filepath.Join(spec.Dir, i.Memory)
		copyPart(t, aside, own, n)
		before := sums(t, own)
		m, err := r.thawAs(t, i, spec)
		if (err == nil) != (n == 1) {
			t.Fatalf("Thaw with a part of the memory, 1/%d: %v", n, err)
		}
		if diff := cmp.Diff(before, sums(t, own)); diff != "" {
			t.Errorf("the caller's memory has changed (-before +after):\n%s", diff)
		}
		if err := os.Remove(own); err != nil {
			t.Fatal(err)
		}
		if m == nil {
			r.wantNothing(t, spec)
			continue
		}
		r.wantMark(t, m, "a")
		if err := m.Destroy(r.ctx); err != nil {
			t.Fatalf("Destroy: %v", err)
		}
		r.wantGone(t, m.Handle())
	}
	move(t, aside, path)
}

// testThawOpen treats a thawed machine as a daemon does that was started anew.
func testThawOpen(t *testing.T, r run) {
	_, i := r.frozen(t, "a")
	h := r.thaw(t, i).Handle()
	d := r.New(t)
	all, err := d.List(r.ctx)
	if err != nil || !slices.Contains(all, h) {
		t.Errorf("List = %v, %v; the thawed machine %+v is missing", all, err, h)
	}
	again, err := d.Open(r.ctx, h)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	for range 2 {
		if err := again.Destroy(r.ctx); err != nil {
			t.Fatalf("Destroy: %v", err)
		}
	}
	r.wantGone(t, h)
}

// testThawEnds waits for thawed machines that end in every way.
func testThawEnds(t *testing.T, r run) {
	_, i := r.frozen(t, "a")
	destroyed := r.thaw(t, i)
	done := make(chan error, 1)
	go func() { done <- destroyed.Wait(r.ctx) }()
	if err := destroyed.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	wantError(t, "Wait for a thawed machine that was destroyed", <-done, hypervisor.ErrCrashed)
	if r.Crash != nil {
		m := r.thaw(t, i)
		r.Crash(t, m)
		wantError(t, "Wait for a thawed machine that crashed", m.Wait(r.ctx), hypervisor.ErrCrashed)
	}
	if r.ACPI {
		m := r.thaw(t, i)
		r.powerOff(t, m)
		r.checkExport(t, m, i.spec)
		if err := m.Start(r.ctx); err != nil {
			t.Fatalf("Start of a thawed machine that was off: %v", err)
		}
		r.wantState(t, m, hypervisor.Running)
	}
}

// testFits changes the host that a machine was frozen on, one property at a time, and the machine that it shall be.
func testFits(t *testing.T, r run) {
	_, i := r.frozen(t, "a")
	th, spec := r.thawer(t), r.fresh(t, i.spec)
	if err := th.Fits(r.ctx, i.Frozen, spec); err != nil {
		t.Fatalf("Fits where it was frozen: %v", err)
	}
	for name, pick := range map[string]func(f *hypervisor.Frozen) *string{
		"hypervisor":  func(f *hypervisor.Frozen) *string { return &f.Host.Hypervisor },
		"machine":     func(f *hypervisor.Frozen) *string { return &f.Host.Machine },
		"accelerator": func(f *hypervisor.Frozen) *string { return &f.Host.Accelerator },
		"CPU":         func(f *hypervisor.Frozen) *string { return &f.Host.CPU },
		"driver":      func(f *hypervisor.Frozen) *string { return &f.Driver },
	} {
		f, other := i.Frozen, "another-"+name
		*pick(&f) = other
		if err := th.Fits(r.ctx, f, spec); err == nil || !strings.Contains(err.Error(), other) {
			t.Errorf("Fits of a machine frozen by another %s: %v; want an error that names %q", name, err, other)
		}
	}
	for name, change := range map[string]func(s *hypervisor.Spec){
		"memory":     func(s *hypervisor.Spec) { s.MemoryMiB *= 2 },
		"processors": func(s *hypervisor.Spec) { s.CPUs++ },
		"disks":      func(s *hypervisor.Spec) { s.Disks = append(slices.Clone(s.Disks), s.Disks[0]) },
	} {
		s := spec
		change(&s)
		if err := th.Fits(r.ctx, i.Frozen, s); err == nil {
			t.Errorf("Fits of a machine with other %s: no error", name)
		}
	}
}
