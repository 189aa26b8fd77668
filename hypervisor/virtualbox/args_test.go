package virtualbox_test

import (
	"slices"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor/virtualbox"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// TestGroups makes a block of each kind, which panics if a group cannot be described, and looks for what a template needs.
func TestGroups(t *testing.T) {
	t.Parallel()
	needed := map[string][]string{
		virtualbox.TypeISO: {"guest_os_type", "vboxmanage", "disk_size", "guest_additions_mode", "format", "headless", "iso_checksum_type", "acpi_shutdown"},
		virtualbox.TypeOld: {"guest_os_type", "vboxmanage", "virtualbox_version_file", "vm_name"},
		virtualbox.TypeOVF: {"source_path", "checksum", "import_flags", "target_path", "vm_name"},
		virtualbox.TypeVM:  {"vm_name", "attach_snapshot", "target_snapshot", "force_delete_snapshot", "keep_registered"},
	}
	for _, typ := range virtualbox.Types() {
		b := schema.New(typ, "", virtualbox.Groups(typ)...)
		for _, name := range needed[typ] {
			if b.Arg(name) == nil {
				t.Errorf("%s has no argument %q", typ, name)
			}
		}
		check(t, typ, b)
	}
	if len(needed) != len(virtualbox.Types()) {
		t.Errorf("%d kinds are described, there are %q", len(needed), virtualbox.Types())
	}
	if g := virtualbox.Groups("qemu"); g != nil {
		t.Errorf("qemu has the groups %v", g)
	}
}

// check looks for arguments without documentation, or of which nobody said whether they reach the guest.
func check(t *testing.T, path string, b *schema.Block) {
	t.Helper()
	for _, a := range b.Args {
		if a.Doc == "" || !slices.Contains([]schema.Reach{schema.ReachesGuest, schema.ReachesArtifact, schema.StaysOutside}, a.Guest) {
			t.Errorf("%s.%s: doc %q, guest %q", path, a.Name, a.Doc, a.Guest)
		}
		if a.Block != nil {
			check(t, path+"."+a.Name, a.Block)
		}
	}
}
