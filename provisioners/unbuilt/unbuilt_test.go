package unbuilt_test

import (
	"testing"

	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/provisioners/unbuilt"
)

// TestBlocks compares with the number of arguments that Packer and its plugins declare.
func TestBlocks(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"puppet-masterless": 16, "puppet-server": 16, "ansible": 30, "ansible-local": 19, "chef-solo": 18, "chef-client": 28,
		"salt-masterless": 17, "powershell": 21, "windows-shell": 11, "windows-restart": 5, "converge": 10, "inspec": 12,
	}
	blocks := unbuilt.Blocks()
	if len(blocks) != len(want) {
		t.Errorf("%d types, want %d", len(blocks), len(want))
	}
	for typ, groups := range blocks {
		b := schema.Unbuilt(typ, typ, "the provisioner "+typ, groups...)
		if len(b.Args) != want[typ] {
			t.Errorf("%s: %d arguments, want %d: %v", typ, len(b.Args), want[typ], b.Names())
		}
		for _, a := range b.Args {
			if a.Doc == "" || a.Guest == "" {
				t.Errorf("%s: %s is not described", typ, a.Name)
			}
		}
	}
}
