package libvirt

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// TestSettingsDeclareTheirReach fails for a new setting that does not say whether it reaches the guest.
func TestSettingsDeclareTheirReach(t *testing.T) {
	t.Parallel()
	if missing := schema.Undeclared(reflect.TypeFor[settings]()); len(missing) > 0 {
		t.Errorf("the reach of these is not declared: %s", strings.Join(missing, ", "))
	}
}

func TestReaching(t *testing.T) {
	t.Parallel()
	type args = map[string]any
	for name, c := range map[string]struct {
		args  args
		never string // a part of it
		same  bool   // as without the arguments
	}{
		"nothing":          {args{}, "", true},
		"vnc":              {args{"vnc_port_min": 5950, "vnc_bind_address": "127.0.0.1"}, "", true},
		"connection":       {args{"libvirt_uri": "qemu:///session"}, "", true},
		"host ports":       {args{"host_port_min": 3000, "host_port_max": 3010}, "", true},
		"name":             {args{"vm_name": "golden"}, "", true},
		"accelerator":      {args{"accelerator": "tcg"}, "", false},
		"processor":        {args{"cpu_model": "max"}, "", false},
		"graphics":         {args{"vga": "virtio"}, "", false},
		"TPM":              {args{"vtpm": true}, "", false},
		"switch":           {args{"qemuargs": [][]string{{"-device", "virtio-rng-pci"}}}, "", false},
		"switch with file": {args{"qemuargs": [][]string{{"-drive", "file=seed.img,if=virtio"}}}, "-drive", false},
		"switch of a file": {args{"qemuargs": [][]string{{"-cdrom", "x.iso"}}}, "-cdrom", false},
		"volume of a pool": {args{"volume": []any{args{"capacity": "1G", "source": args{"type": "cloning", "volume": "base"}}}}, "volume base of pool default", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reaching := func(a args) ([]schema.Value, string) {
				data, err := json.Marshal(a)
				if err != nil {
					t.Fatal(err)
				}
				spec, err := Planner{}.Plan(data)
				if err != nil {
					t.Fatal(err)
				}
				values, never, err := Planner{}.Reaching(spec.Options, schema.ReachesGuest)
				if err != nil {
					t.Fatal(err)
				}
				return values, never
			}
			plain, _ := reaching(args{})
			got, never := reaching(c.args)
			if cmp.Equal(plain, got) != c.same || (c.never == "") != (never == "") || !strings.Contains(never, c.never) {
				t.Errorf("%v, %q", got, never)
			}
		})
	}
}

func TestReachingTheArtifact(t *testing.T) {
	t.Parallel()
	spec, err := Planner{}.Plan([]byte(`{"efi_boot":true,"efi_drop_efivars":true}`))
	if err != nil {
		t.Fatal(err)
	}
	got, never, err := Planner{}.Reaching(spec.Options, schema.ReachesArtifact)
	want := []schema.Value{{Name: "firmware", Tree: map[string]any{"drop_vars": true}}}
	if d := cmp.Diff(want, got); d != "" || never != "" || err != nil {
		t.Error(d, never, err)
	}
}
