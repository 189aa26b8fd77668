//go:build !nolibvirt

package libvirt

import (
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// TestEverybodyHears: all that wait for a machine at once are told that it started, and nobody is once it has left.
func TestEverybodyHears(t *testing.T) {
	t.Parallel()
	d, ctx, dir := testDriver(t), t.Context(), t.TempDir()
	d.install = "hears" // libvirt's machines in memory are the same for the whole process
	defineTest(t, d, "heard", d.install, dir)
	all, err := d.List(ctx)
	if err != nil || len(all) != 1 {
		t.Fatalf("List = %+v, %v", all, err)
	}
	h, err := d.Open(ctx, hypervisor.Handle{Name: "heard", Tag: all[0].Tag})
	if err != nil {
		t.Fatal(err)
	}
	m := h.(*Machine)
	var told [3]<-chan struct{}
	for i := range told {
		c, stop := d.conns.events.listen(m.uuid)
		defer stop()
		told[i] = c
	}
	left, stop := d.conns.events.listen(m.uuid)
	stop()
	if err := m.with(ctx, func(_ *libvirt.Connect, dom *libvirt.Domain) error { return dom.Create() }); err != nil {
		t.Fatal(err)
	}
	for i, c := range told {
		select {
		case <-c:
		case <-ctx.Done():
			t.Fatalf("the waiter %d was not told", i)
		}
	}
	select {
	case <-left:
		t.Error("one that left was told")
	default:
	}
}
