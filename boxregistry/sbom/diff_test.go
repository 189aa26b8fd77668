package sbom_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/boxregistry/sbom"
)

func debs(pairs ...string) (inv sbom.Inventory) {
	for i := 0; i < len(pairs); i += 2 {
		inv.Packages = append(inv.Packages, sbom.Package{Name: pairs[i], Version: pairs[i+1], Arch: "amd64", Type: sbom.Deb})
	}
	return inv
}

func TestDiff(t *testing.T) {
	t.Parallel()
	before := debs("apt", "2.6.1", "bash", "5.2.15-2", "curl", "7.88.1-10+deb12u9", "gone", "1", "kernel", "6.1-1", "kernel", "6.1-2", "same", "1.0")
	after := debs("apt", "2.6.1", "bash", "5.2.15-2~bpo1", "curl", "7.88.1-10+deb12u12", "kernel", "6.1-2", "kernel", "6.1-3", "new", "0.1", "same", "1.0-0")
	want := sbom.Changes{
		Added: debs("new", "0.1").Packages, Removed: debs("gone", "1").Packages,
		Upgraded: []sbom.Change{{"curl", "amd64", sbom.Deb, "7.88.1-10+deb12u9", "7.88.1-10+deb12u12"}, {"kernel", "amd64", sbom.Deb, "6.1-1", "6.1-3"},
			{"same", "amd64", sbom.Deb, "1.0", "1.0-0"}},
		Downgraded: []sbom.Change{{"bash", "amd64", sbom.Deb, "5.2.15-2", "5.2.15-2~bpo1"}},
		Unchanged:  2,
	}
	if diff := cmp.Diff(want, sbom.Diff(before, after)); diff != "" {
		t.Error(diff)
	}
	if c := sbom.Diff(after, after); !c.None() || c.Unchanged != 7 {
		t.Errorf("with itself: %+v", c)
	}
}

// TestDiffAccounts holds that nothing is lost: what was there is unchanged, removed or changed, and what is there came from
// one of those or was added; and that the way back is the mirror image.
func TestDiffAccounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (inv sbom.Inventory) {
			for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a 1", "a 2", "a 3~", "b 1", "b 1-0", "c 9", "d 1:0"}), 0, 7, rapid.ID).Draw(t, label) {
				inv.Packages = append(inv.Packages, debs(p[:1], p[2:]).Packages...)
			}
			return inv
		}
		before, after := draw("before"), draw("after")
		c, back := sbom.Diff(before, after), sbom.Diff(after, before)
		changed := len(c.Upgraded) + len(c.Downgraded)
		if n := c.Unchanged + len(c.Removed) + changed; n != len(before.Packages) {
			t.Errorf("%d of %d packages from before are told of", n, len(before.Packages))
		}
		if n := c.Unchanged + len(c.Added) + changed; n != len(after.Packages) {
			t.Errorf("%d of %d packages from after are told of", n, len(after.Packages))
		}
		if len(back.Added) != len(c.Removed) || len(back.Removed) != len(c.Added) || len(back.Upgraded)+len(back.Downgraded) != changed {
			t.Errorf("there %+v, and back %+v", c, back)
		}
	})
}

func TestCompareProviders(t *testing.T) {
	t.Parallel()
	libvirt, vbox := debs("apt", "2.6.1", "qemu-guest-agent", "7.2", "curl", "7.88.1-9"), debs("apt", "2.6.1", "curl", "7.88.1-10")
	libvirt.System = sbom.System{ID: "debian", Version: "12"}
	vbox.Packages = append(vbox.Packages, sbom.Package{Name: "apt", Version: "2.6.1", Arch: "i386", Type: sbom.Deb})
	want := sbom.Parity{Sides: []string{"libvirt/amd64", "virtualbox/amd64"}, Systems: []string{"debian 12", ""}, Same: 1, Differ: []sbom.Discrepancy{
		{"curl", sbom.Deb, []string{"7.88.1-9", "7.88.1-10"}}, {"qemu-guest-agent", sbom.Deb, []string{"7.2", ""}}}}
	got := sbom.CompareProviders([]sbom.Side{{"libvirt/amd64", libvirt}, {"virtualbox/amd64", vbox}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := sbom.CompareProviders([]sbom.Side{{"libvirt/amd64", libvirt}}); got.Same != 3 || len(got.Differ) != 0 {
		t.Errorf("one side alone: %+v", got)
	}
}
