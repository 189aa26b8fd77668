package virtualbox

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// planned plans arguments that have no mistakes.
func planned(t *testing.T, typ, args string) (hypervisor.Spec, settings) {
	t.Helper()
	spec, err := Planner{Type: typ}.Plan(json.RawMessage(args))
	if err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	set, err := decodeSettings(spec.Options)
	if err != nil {
		t.Fatal(err)
	}
	return spec, set
}

// TestDefaults are those of packer-plugin-virtualbox.
func TestDefaults(t *testing.T) {
	t.Parallel()
	spec, set := planned(t, TypeISO, `{"ssh_username":"u"}`)
	spec.Options = nil
	want := hypervisor.Spec{
		Arch: "amd64", CPUs: 1, MemoryMiB: 512, Disks: []hypervisor.Disk{{Size: 40000 << 20, Format: "vdi", Interface: "ide"}},
		Network: hypervisor.Network{Model: "82540EM", HostAddress: "10.0.2.2", Forward: []int{22}},
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	wantSet := settings{
		Kind:      kindISO,
		Hardware:  hardwareSettings{OSType: "Other", Chipset: "piix3", Sound: "none", Audio: "ac97", VRAM: 4},
		Storage:   storageSettings{ISO: "ide", SATAPorts: 1, NVMePorts: 1},
		Additions: additionsSettings{Mode: "upload", Interface: "ide", Path: "VBoxGuestAdditions.iso"},
		Run:       runSettings{Address: "127.0.0.1", PortMin: 2222, PortMax: 4444},
		Export:    exportSettings{Format: "ovf"}, VersionFile: ".vbox_version",
	}
	if diff := cmp.Diff(wantSet, set); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// TestPlanArguments looks at what single arguments become.
func TestPlanArguments(t *testing.T) {
	t.Parallel()
	for args, ok := range map[string]func(hypervisor.Spec, settings) bool{
		`{"communicator":"none"}`: func(s hypervisor.Spec, o settings) bool {
			return s.Network.Forward == nil && o.Additions.Mode == "disable" && o.VersionFile == ""
		},
		`{"virtualbox_version_file":""}`:  func(_ hypervisor.Spec, o settings) bool { return o.VersionFile == "" },
		`{"guest_additions_attach":true}`: func(_ hypervisor.Spec, o settings) bool { return o.Additions.Mode == "attach" },
		`{"firmware":"EFI","gfx_efi_resolution":"1024x768"}`: func(s hypervisor.Spec, o settings) bool {
			return s.Firmware.UEFI && o.Hardware.EFIResolution == "1024x768"
		},
		`{"rtc_time_base":"UTC","usb":true,"mouse":"usbtablet"}`: func(_ hypervisor.Spec, o settings) bool {
			return o.Hardware.UTC && o.Hardware.USB == "usb" && o.Hardware.Mouse == "usbtablet"
		},
		`{"disk_size":100,"disk_additional_size":[5,6],"hard_drive_interface":"sata","hard_drive_discard":true}`: func(s hypervisor.Spec, _ settings) bool {
			return len(s.Disks) == 3 && s.Disks[2].Size == 6<<20 && s.Disks[1].Discard == "unmap" && s.Disks[0].Interface == "sata"
		},
		`{"skip_nat_mapping":true}`: func(s hypervisor.Spec, _ settings) bool { return s.Network.Forward == nil },
		`{"ssh_host_port_min":3000,"host_port_max":3100,"ssh_port":2200}`: func(s hypervisor.Spec, o settings) bool {
			return o.Run.PortMin == 3000 && o.Run.PortMax == 3100 && s.Network.Forward[0] == 2200
		},
		`{"vrdp_port_min":5990}`: func(_ hypervisor.Spec, o settings) bool {
			return o.Run.VRDP == vrdpSettings{"127.0.0.1", 5990, 6000}
		},
		`{"post_shutdown_delay":"3s","boot_keygroup_interval":"1s"}`: func(_ hypervisor.Spec, o settings) bool {
			return o.Run.Settle.Seconds() == 3 && o.Run.GroupInterval.Seconds() == 1
		},
		`{"vm_name":"m","output_filename":"f","format":"ova","export_opts":["--manifest"],"keep_registered":true,"bundle_iso":true}`: func(_ hypervisor.Spec, o settings) bool {
			return reflect.DeepEqual(o.Export, exportSettings{Format: "ova", Options: []string{"--manifest"}, Name: "m", File: "f", Keep: true, BundleISO: true})
		},
	} {
		if spec, set := planned(t, TypeISO, args); !ok(spec, set) {
			t.Errorf("%s became %+v %+v", args, spec, set)
		}
	}
}

func TestPlanOtherKinds(t *testing.T) {
	t.Parallel()
	spec, set := planned(t, TypeOVF, `{"source_path":"a/box.ovf","checksum":"abc","checksum_type":"md5","import_flags":["--eula","accept"],"import_opts":"keepallmacs","target_path":"t"}`)
	if spec.Source != "a/box.ovf" || spec.SourceChecksum != "md5:abc" || spec.SourceTarget != "t" || spec.Disks != nil || set.Kind != kindOVF {
		t.Errorf("virtualbox-ovf: %+v %+v", spec, set)
	}
	if diff := cmp.Diff(importSettings{[]string{"--eula", "accept"}, "keepallmacs"}, set.Import); diff != "" {
		t.Error(diff)
	}
	_, set = planned(t, TypeVM, `{"vm_name":"golden","attach_snapshot":"a","target_snapshot":"b","force_delete_snapshot":true}`)
	if diff := cmp.Diff(vmSettings{"golden", "a", "b", true}, set.VM); diff != "" || set.Kind != kindVM {
		t.Errorf("virtualbox-vm: %s, kind %s", diff, set.Kind)
	}
}

// TestPlanRefuses: every mistake names its argument, and all are told at once.
func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, args, want string }{
		{TypeISO, `{"chipset":"q35"}`, `chipset = "q35"`},
		{TypeISO, `{"firmware":"uefi"}`, `firmware = "uefi"`},
		{TypeISO, `{"nic_type":"e1000"}`, `nic_type = "e1000"`},
		{TypeISO, `{"hard_drive_interface":"usb"}`, `hard_drive_interface = "usb"`},
		{TypeISO, `{"disk_additional_size":[1]}`, "has room for 1"},
		{TypeISO, `{"hard_drive_discard":true}`, "hard_drive_discard"},
		{TypeISO, `{"iso_interface":"scsi"}`, `iso_interface = "scsi"`},
		{TypeISO, `{"gfx_efi_resolution":"big"}`, "gfx_efi_resolution"},
		{TypeISO, `{"gfx_vram_size":512}`, "gfx_vram_size"},
		{TypeISO, `{"mouse":"usb"}`, "set usb = true"},
		{TypeISO, `{"guest_additions_mode":"yes"}`, "guest_additions_mode"},
		{TypeISO, `{"guest_additions_sha256":"12"}`, "guest_additions_sha256"},
		{TypeISO, `{"vboxmanage":[["modifyvm"],[]]}`, "vboxmanage[1]"},
		{TypeISO, `{"export_opts":["--output","x"]}`, "--output"},
		{TypeISO, `{"vm_name":"a/b"}`, "vm_name"},
		{TypeISO, `{"format":"qcow2"}`, `format = "qcow2"`},
		{TypeISO, `{"host_port_min":9,"host_port_max":8}`, "host_port_min"},
		{TypeISO, `{"vrdp_bind_address":"nowhere"}`, "vrdp_bind_address"},
		{TypeISO, `{"ssh_listen_address":"nowhere"}`, "ssh_listen_address"},
		{TypeOVF, `{"source_path":"http://h/x.ovf"}`, "use the .ova"},
		{TypeOVF, `{"source_path":"box.box"}`, ".ovf or .ova"},
		{TypeOVF, `{"source_path":"x.ova","import_flags":["--vmname","y"]}`, "--vmname"},
		{TypeVM, `{}`, "vm_name is missing"},
		{TypeVM, `{"vm_name":"x","force_delete_snapshot":true}`, "target_snapshot is missing"},
		{TypeVM, `{"vm_name":"x","attach_snapshot":"s","target_snapshot":"s"}`, "the one to start from"},
	} {
		_, err := Planner{Type: c.typ}.Plan(json.RawMessage(c.args))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v; want %q", c.typ, c.args, err, c.want)
		}
	}
	_, err := Planner{Type: TypeISO}.Plan(json.RawMessage(`{"chipset":"x","firmware":"y"}`))
	if err == nil || strings.Count(err.Error(), "use one of") != 2 {
		t.Errorf("two mistakes: %v", err)
	}
}

// TestReaching: what is exported is no ingredient of the installed machine, and where the window is none of anything.
func TestReaching(t *testing.T) {
	t.Parallel()
	if missing := schema.Undeclared(reflect.TypeFor[settings]()); len(missing) > 0 {
		t.Errorf("undeclared: %q", missing)
	}
	reach := func(args string, r schema.Reach) string {
		spec, _ := planned(t, TypeISO, args)
		values, never, err := Planner{}.Reaching(spec.Options, r)
		if err != nil || never != "" {
			t.Fatalf("Reaching: %q, %v", never, err)
		}
		data, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for args, where := range map[string]struct{ guest, artifact bool }{
		`{"headless":true,"host_port_min":3000,"vrdp_port_min":5999,"post_shutdown_delay":"1s"}`: {false, false},
		`{"vboxmanage":[["list","vms"]]}`:      {true, false},
		`{"vboxmanage_post":[["list","vms"]]}`: {false, true},
		`{"export_opts":["--manifest"]}`:       {false, true},
		`{"format":"ova"}`:                     {false, true},
		`{"skip_export":true}`:                 {false, true},
		`{"virtualbox_version_file":"v"}`:      {true, false},
		`{"guest_additions_mode":"disable"}`:   {true, false},
		`{"chipset":"ich9"}`:                   {true, false},
		`{"iso_interface":"sata"}`:             {true, false},
	} {
		if got := reach(args, schema.ReachesGuest) != reach(`{}`, schema.ReachesGuest); got != where.guest {
			t.Errorf("%s changes the guest: %t", args, got)
		}
		if got := reach(args, schema.ReachesArtifact) != reach(`{}`, schema.ReachesArtifact); got != where.artifact {
			t.Errorf("%s changes the artifact: %t", args, got)
		}
	}
	spec, _ := planned(t, TypeVM, `{"vm_name":"golden"}`)
	if _, never, err := (Planner{}).Reaching(spec.Options, schema.ReachesGuest); err != nil || !strings.Contains(never, "golden") {
		t.Errorf("virtualbox-vm: %q, %v", never, err)
	}
}

func TestTouchesHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ, args string
		touches   bool
	}{
		{TypeISO, `{}`, false}, {TypeISO, `{"guest_additions_url":"https://h/x.iso"}`, false},
		{TypeISO, `{"vboxmanage":[["list","vms"]]}`, true}, {TypeISO, `{"vboxmanage_post":[["list","vms"]]}`, true},
		{TypeISO, `{"export_opts":["--manifest"]}`, true}, {TypeISO, `{"guest_additions_url":"/etc/shadow"}`, true},
		{TypeISO, `{"keep_registered":true}`, true}, {TypeVM, `{"vm_name":"x"}`, true},
		{TypeOVF, `{"source_path":"x.ova","import_flags":["--eula"]}`, true}, {TypeOVF, `{"source_path":"x.ova"}`, false},
	} {
		spec, _ := planned(t, c.typ, c.args)
		if got := (Planner{}).TouchesHost(spec.Options); (got != "") != c.touches {
			t.Errorf("%s %s: %q", c.typ, c.args, got)
		}
	}
}

// TestHardware compares switches that differ between versions.
func TestHardware(t *testing.T) {
	t.Parallel()
	spec, set := planned(t, TypeISO, `{"cpus":2,"memory":1024,"firmware":"efi","nested_virt":true,"rtc_time_base":"utc","sound":"pulse","audio_controller":"hda","usb_controller":"usb-xhci","gfx_controller":"vmsvga","gfx_accelerate_3d":true,"keyboard":"usb","mouse":"ps2"}`)
	for major, want := range map[int]string{
		6: "--audio pulse --audiocontroller hda",
		7: "--audio-driver pulse --audio-enabled on --audio-controller hda",
	} {
		got := strings.Join(hardware(spec, set.Hardware, version{major: major, minor: 1}), " ")
		for _, part := range []string{want, "--cpus 2 --memory 1024", "--firmware efi", "--rtcuseutc on", "--nested-hw-virt on", "--usbxhci on", "--graphicscontroller vmsvga", "--accelerate3d on", "--keyboard usb", "--mouse ps2", "--nictype1 82540EM"} {
			if !strings.Contains(got, part) {
				t.Errorf("%d.1: %s; want %s", major, got, part)
			}
		}
	}
}
