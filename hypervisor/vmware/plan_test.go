package vmware

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

func TestPlanDefaults(t *testing.T) {
	t.Parallel()
	spec := planned(t, Planner{}, nil)
	set, err := decodeSettings(spec.Options)
	if err != nil {
		t.Fatal(err)
	}
	wantDisk := hypervisor.Disk{Size: 40000 << 20, Format: "vmdk", Interface: "lsilogic"}
	if diff := cmp.Diff([]hypervisor.Disk{wantDisk}, spec.Disks); diff != "" {
		t.Errorf("disks (-want +got):\n%s", diff)
	}
	if spec.CPUs != 1 || spec.MemoryMiB != 512 || spec.Arch != "amd64" || spec.Firmware.UEFI || spec.Network.Name != "nat" || spec.Network.Model != "e1000" {
		t.Errorf("spec %+v", spec)
	}
	want := settings{
		GuestOS: "other", HWVersion: 21, Disks: diskSettings{Type: 1, Name: "disk"}, Net: netSettings{Connection: "nat"},
		VNC: vncSettings{Bind: "127.0.0.1", PortMin: 5900, PortMax: 6000}, Export: exportSettings{Format: "vmx"},
	}
	if diff := cmp.Diff(want, set); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// TestPlanArguments gives one argument at a time and looks at what it changes.
func TestPlanArguments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		got  func(s hypervisor.Spec, set settings) any
		want any
	}{
		{`{"cpus": 4, "cores": 2}`, func(s hypervisor.Spec, set settings) any { return []int{s.CPUs, set.Cores} }, []int{4, 2}},
		{`{"cores": 2}`, func(s hypervisor.Spec, set settings) any { return s.CPUs }, 2},
		{`{"firmware": "efi-secure"}`, func(s hypervisor.Spec, set settings) any { return s.Firmware.UEFI && set.SecureBoot }, true},
		{`{"firmware": "efi"}`, func(s hypervisor.Spec, set settings) any { return s.Firmware.UEFI && !set.SecureBoot }, true},
		{`{"guest_os_type": "arm-debian12-64"}`, func(s hypervisor.Spec, _ settings) any { return s.Arch }, "arm64"},
		{`{"disk_size": 10, "disk_additional_size": [20], "disk_adapter_type": "NVMe"}`, func(s hypervisor.Spec, _ settings) any { return s.Disks[1] },
			hypervisor.Disk{Size: 20 << 20, Format: "vmdk", Interface: "nvme"}},
		{`{"network": "vmnet3", "network_adapter_type": "VMXNET3"}`, func(s hypervisor.Spec, set settings) any { return set.Net.VNet + s.Network.Model }, "vmnet3vmxnet3"},
		{`{"network": "Bridged"}`, func(_ hypervisor.Spec, set settings) any { return set.Net.Connection }, "bridged"},
		{`{"usb": true}`, func(_ hypervisor.Spec, set settings) any { return set.USB }, "2.0"},
		{`{"usb_version": "3.1"}`, func(_ hypervisor.Spec, set settings) any { return set.USB }, "3.1"},
		{`{"serial": "FILE:/tmp/x,TRUE"}`, func(_ hypervisor.Spec, set settings) any { return set.Serial }, portSettings{Kind: "file", Path: "/tmp/x", Yield: true}},
		{`{"serial": "PIPE:/tmp/x,server,app"}`, func(_ hypervisor.Spec, set settings) any { return set.Serial },
			portSettings{Kind: "pipe", Path: "/tmp/x", EndPoint: "server", TryNoRxLoss: true}},
		{`{"serial": "none"}`, func(_ hypervisor.Spec, set settings) any { return set.Serial }, portSettings{}},
		{`{"parallel": "DEVICE:/dev/lp0,bi"}`, func(_ hypervisor.Spec, set settings) any { return set.Parallel }, portSettings{Kind: "device", Path: "/dev/lp0", Bidirectional: true}},
		{`{"tools_upload_flavor": "linux"}`, func(_ hypervisor.Spec, set settings) any { return set.Tools },
			toolsSettings{Mode: "upload", Flavor: "linux", UploadPath: "{{ .Flavor }}.iso"}},
		{`{"tools_upload_flavor": "linux", "tools_mode": "disable"}`, func(_ hypervisor.Spec, set settings) any { return set.Tools }, toolsSettings{}},
		{`{"tools_source_path": "/x.iso", "tools_mode": "attach"}`, func(_ hypervisor.Spec, set settings) any { return set.Tools }, toolsSettings{Mode: "attach", Source: "/x.iso"}},
		{`{"format": "ova", "skip_export": true}`, func(_ hypervisor.Spec, set settings) any { return set.Export.Format }, "vmx"},
		{`{"disable_vnc": true}`, func(_ hypervisor.Spec, set settings) any { return set.VNC.Off }, true},
		{`{"vnc_bind_address": "127.0.0.2", "vnc_port_min": 6100, "vnc_disable_password": true}`, func(_ hypervisor.Spec, set settings) any { return set.VNC },
			vncSettings{Bind: "127.0.0.2", PortMin: 6100, PortMax: 6100, NoPassword: true}},
		{`{"vmx_data": {"a.b": "c"}, "vmx_data_post": {"d": "e"}}`, func(_ hypervisor.Spec, set settings) any { return set.Data["a.b"] + set.DataPost["d"] }, "ce"},
		{`{"snapshot_name": "s", "vmx_remove_ethernet_interfaces": true, "ovftool_options": ["-x"]}`, func(_ hypervisor.Spec, set settings) any { return set.Export },
			exportSettings{Format: "vmx", Snapshot: "s", RemoveNICs: true, OVFToolOptions: []string{"-x"}}},
		{`{"vmdk_name": "root", "disk_type_id": "0", "cdrom_adapter_type": "SATA"}`, func(_ hypervisor.Spec, set settings) any { return set.Disks },
			diskSettings{Type: 0, Name: "root", CDAdapter: "sata"}},
	} {
		spec, err := Planner{}.Plan(json.RawMessage(c.args))
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		set, err := decodeSettings(spec.Options)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, c.got(spec, set)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.args, diff)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		`{"remote_type": "esx5"}`:                              "ESX host",
		`{"remote_host": "esx"}`:                               "remote_host",
		`{"keep_registered": true}`:                            "keep_registered",
		`{"vnc_over_websocket": true}`:                         "vnc_over_websocket",
		`{"disk_type_id": "5"}`:                                "for transport only",
		`{"disk_type_id": "thin"}`:                             "disk_type_id",
		`{"disk_adapter_type": "virtio"}`:                      "disk_adapter_type",
		`{"disk_additional_size": [0]}`:                        "disk_additional_size[0]",
		`{"network": "a\"b"}`:                                  "network",
		`{"network_adapter_type": "ne2000"}`:                   "network_adapter_type",
		`{"firmware": "uefi"}`:                                 "firmware",
		`{"version": 2}`:                                       "version = 2",
		`{"cpus": 3, "cores": 2}`:                              "no multiple",
		`{"cpus": -1}`:                                         "cpus = -1",
		`{"vm_name": "../x"}`:                                  "vm_name",
		`{"vmdk_name": "a/b"}`:                                 "vmdk_name",
		`{"format": "qcow2"}`:                                  "format",
		`{"format": "ova", "snapshot_name": "s"}`:              "has no snapshots",
		`{"serial": "PIPE:/x,both,app"}`:                       "PIPE:path",
		`{"serial": "FILE:"}`:                                  "a path is needed",
		`{"serial": "COM1"}`:                                   "use FILE",
		`{"serial": "FILE:/x,maybe"}`:                          "TRUE and FALSE",
		`{"parallel": "DEVICE:/dev/lp0,both"}`:                 "direction",
		`{"tools_mode": "upload"}`:                             "tools_upload_flavor is missing",
		`{"tools_mode": "upload", "tools_upload_flavor": "x"}`: "tools_upload_flavor",
		`{"vmx_data": {"a b": "c"}}`:                           "no key",
		`{"vmx_data": {"Boxkiln.owner": "c"}}`:                 "own keys",
		`{"vnc_port_min": 7000, "vnc_port_max": 6000}`:         "vnc_port",
	} {
		if _, err := (Planner{}).Plan(json.RawMessage(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", args, err, want)
		}
	}
}

func TestPlanVMX(t *testing.T) {
	t.Parallel()
	spec := planned(t, Planner{VMX: true}, map[string]any{
		"source_path": "x.vmx", "linked": true, "attach_snapshot": "s", "vmx_data": map[string]string{"NumVCPUs": "3", "memsize": "2048"},
	})
	set, err := decodeSettings(spec.Options)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Source != "x.vmx" || spec.CPUs != 3 || spec.MemoryMiB != 2048 || len(spec.Disks) != 0 || set.Source != (sourceSettings{true, "s"}) {
		t.Errorf("spec %+v, settings %+v", spec, set)
	}
	for args, want := range map[string]string{
		`{}`:                         "source_path is missing",
		`{"source_path": "x.qcow2"}`: "a .vmx, .ovf or .ova",
		`{"source_path": "x.ova", "linked": true}`: "for .vmx files",
	} {
		if _, err := (Planner{VMX: true}).Plan(json.RawMessage(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", args, err, want)
		}
	}
}

// TestReaching tells what makes another guest, and what only another artifact.
func TestReaching(t *testing.T) {
	t.Parallel()
	reach := func(args string, r schema.Reach) (string, string) {
		spec, err := Planner{}.Plan(json.RawMessage(args))
		if err != nil {
			t.Fatal(err)
		}
		values, never, err := Planner{}.Reaching(spec.Options, r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		return string(text), never
	}
	guest, _ := reach(`{}`, schema.ReachesGuest)
	for _, args := range []string{`{"vm_name": "x"}`, `{"vnc_port_min": 6001}`, `{"disk_type_id": "0"}`, `{"vmx_data_post": {"a": "b"}}`, `{"format": "ova"}`} {
		if got, never := reach(args, schema.ReachesGuest); got != guest || never != "" {
			t.Errorf("%s makes another guest: %s, %q", args, got, never)
		}
	}
	artifact, _ := reach(`{}`, schema.ReachesArtifact)
	for _, args := range []string{`{"disk_type_id": "0"}`, `{"vmx_data_post": {"a": "b"}}`, `{"format": "ova"}`} {
		if got, _ := reach(args, schema.ReachesArtifact); got == artifact {
			t.Errorf("%s makes no other artifact", args)
		}
	}
	for _, args := range []string{`{"vmx_data": {"a": "b"}}`, `{"guest_os_type": "x"}`, `{"sound": true}`} {
		if got, _ := reach(args, schema.ReachesGuest); got == guest {
			t.Errorf("%s makes no other guest", args)
		}
	}
	if _, never := reach(`{"vmx_template_path": "x"}`, schema.ReachesGuest); never == "" {
		t.Error("a machine of a template file can be known beforehand")
	}
}

func TestTouchesHost(t *testing.T) {
	t.Parallel()
	for args, touches := range map[string]bool{
		`{}`: false, `{"disk_size": 10, "network": "bridged"}`: false,
		`{"vmx_data": {"a": "b"}}`: true, `{"vmx_data_post": {"a": "b"}}`: true, `{"serial": "FILE:/x"}`: true, `{"parallel": "FILE:/x"}`: true,
		`{"tools_source_path": "/x", "tools_mode": "attach"}`: true, `{"fusion_app_path": "/x"}`: true, `{"ovftool_options": ["x"]}`: true,
		`{"vmx_template_path": "x"}`: true, `{"vmx_disk_template_path": "x"}`: true, `{"vnc_bind_address": "0.0.0.0"}`: true,
		`{"tools_source_path": "https://x/y.iso", "tools_mode": "attach"}`: false,
	} {
		spec, err := Planner{}.Plan(json.RawMessage(args))
		if err != nil {
			t.Fatal(err)
		}
		if got := (Planner{}).TouchesHost(spec.Options); (got != "") != touches {
			t.Errorf("%s: %q", args, got)
		}
	}
	if (Planner{}).TouchesHost(json.RawMessage(`"x"`)) == "" {
		t.Error("options that cannot be read are let through")
	}
}
