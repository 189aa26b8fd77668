package vmware_test

import (
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor/vmware"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// TestGroups makes a block of each kind, which panics if a group cannot be described, and looks for what a template needs.
func TestGroups(t *testing.T) {
	t.Parallel()
	needed := map[string][]string{
		vmware.TypeISO: {"guest_os_type", "vmx_data", "disk_size", "disk_type_id", "tools_upload_flavor", "version", "remote_type", "remote_datastore"},
		vmware.TypeOld: {"guest_os_type", "vmx_data", "disk_size", "iso_checksum_type"},
		vmware.TypeVMX: {"source_path", "linked", "attach_snapshot", "vmx_data_post", "remote_host"},
	}
	for _, typ := range vmware.Types() {
		b := schema.New(typ, "", vmware.Groups(typ)...)
		for _, name := range needed[typ] {
			if b.Arg(name) == nil {
				t.Errorf("%s has no argument %q", typ, name)
			}
		}
		check(t, typ, b)
	}
	if len(needed) != len(vmware.Types()) {
		t.Errorf("%d kinds are described, there are %q", len(needed), vmware.Types())
	}
	if g := vmware.Groups("qemu"); g != nil {
		t.Errorf("qemu has the groups %v", g)
	}
}

// check looks for arguments without documentation, or of which nobody said whether they reach the guest.
func check(t *testing.T, path string, b *schema.Block) {
	t.Helper()
	for _, a := range b.Args {
		if a.Doc == "" || a.Guest != schema.ReachesGuest && a.Guest != schema.StaysOutside {
			t.Errorf("%s.%s: doc %q, guest %q", path, a.Name, a.Doc, a.Guest)
		}
		if a.Block != nil {
			check(t, path+"."+a.Name, a.Block)
		}
	}
}
