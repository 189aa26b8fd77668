package aws_test

import (
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor/aws"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// TestGroups makes a block of each kind, which panics if a group cannot be described, and looks for what a template needs.
func TestGroups(t *testing.T) {
	t.Parallel()
	needed := map[string][]string{
		aws.TypeEBS:       {"ami_name", "source_ami", "source_ami_filter", "tags", "tag", "launch_block_device_mappings", "assume_role", "aws_polling", "metadata_options", "fast_launch"},
		aws.TypeSurrogate: {"ami_root_device", "launch_block_device_mappings", "boot_mode", "ami_architecture"},
		aws.TypeVolume:    {"ebs_volumes", "run_volume_tags", "instance_type"},
		aws.TypeInstance:  {"account_id", "s3_bucket", "x509_cert_path", "bundle_vol_command", "ami_name"},
	}
	for _, typ := range aws.Types() {
		b := schema.New(typ, "", aws.Groups(typ)...)
		for _, name := range needed[typ] {
			if b.Arg(name) == nil {
				t.Errorf("%s has no argument %q", typ, name)
			}
		}
		check(t, typ, b)
	}
	if len(needed) != len(aws.Types()) {
		t.Errorf("%d kinds are described, there are %q", len(needed), aws.Types())
	}
	if g := aws.Groups("qemu"); g != nil {
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
