package vmware

import (
	"testing"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// TestGroups makes a block of each kind, which panics if a group cannot be described, and looks for what a template needs.
func TestGroups(t *testing.T) {
	t.Parallel()
	needed := map[string][]string{
		TypeISO: {"guest_os_type", "vmx_data", "disk_size", "disk_type_id", "tools_upload_flavor", "version", "remote_type", "remote_datastore"},
		TypeOld: {"guest_os_type", "vmx_data", "disk_size", "iso_checksum_type"},
		TypeVMX: {"source_path", "linked", "attach_snapshot", "vmx_data_post", "remote_host"},
	}
	for _, typ := range Types() {
		b := schema.New(typ, "", Groups(typ)...)
		for _, name := range needed[typ] {
			if b.Arg(name) == nil {
				t.Errorf("%s has no argument %q", typ, name)
			}
		}
		check(t, typ, b)
	}
	if len(needed) != len(Types()) {
		t.Errorf("%d kinds are described, there are %q", len(needed), Types())
	}
	if g := Groups("qemu"); g != nil {
		t.Errorf("qemu has the groups %v", g)
	}
}

// check looks for arguments without documentation, or of which nobody said whether they reach the guest.
func check(t *testing.T, path string, b *schema.Block) {
	t.Helper()
	for _, a := range b.Args {
		if a.Doc == "" || a.Guest != schema.ReachesGuest && a.Guest != schema.StaysOutside && a.Guest != schema.ReachesArtifact {
			t.Errorf("%s.%s: doc %q, guest %q", path, a.Name, a.Doc, a.Guest)
		}
		if a.Block != nil {
			check(t, path+"."+a.Name, a.Block)
		}
	}
}
