package libvirt

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

func plan(t *testing.T, args map[string]any) (hypervisor.Spec, settings, error) {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Planner{}.Plan(raw)
	if err != nil {
		return spec, settings{}, err
	}
	set, err := decodeSettings(spec.Options)
	if err != nil {
		t.Fatal(err)
	}
	return spec, set, nil
}

func TestPlanDefaults(t *testing.T) {
	t.Parallel()
	spec, set, err := plan(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := hypervisor.Spec{
		Arch: "amd64", CPUs: 1, MemoryMiB: 512,
		Disks: []hypervisor.Disk{{
			Size: 40960 << 20, Format: "qcow2", Interface: "virtio", Cache: "unsafe", Discard: "ignore", DetectZero: "off",
		}},
		Network: hypervisor.Network{Model: "virtio-net", Forward: []int{22}, HostAddress: "10.0.2.2"},
	}
	spec.Options = nil
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	wantSet := settings{
		Machine: "pc", VGA: "std",
		Net: netSettings{AddressSource: "lease", PortMin: 2222, PortMax: 4444},
	}
	if diff := cmp.Diff(wantSet, set); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	type args = map[string]any
	for name, c := range map[string]struct {
		args args
		ok   func(hypervisor.Spec, settings) bool
	}{
		"memory too small is the default": {args{"memory": 4}, func(s hypervisor.Spec, _ settings) bool { return s.MemoryMiB == 512 }},
		"topology gives cpus":             {args{"sockets": 2, "cores": 3}, func(s hypervisor.Spec, _ settings) bool { return s.CPUs == 6 }},
		"disk size without a unit":        {args{"disk_size": "100"}, func(s hypervisor.Spec, _ settings) bool { return s.Disks[0].Size == 100<<20 }},
		"additional disks": {args{"disk_additional_size": []string{"1G", "2048"}}, func(s hypervisor.Spec, _ settings) bool {
			return len(s.Disks) == 3 && s.Disks[1].Size == 1<<30 && s.Disks[2].Size == 2<<30
		}},
		"accelerator none is tcg": {args{"accelerator": "none"}, func(_ hypervisor.Spec, x settings) bool { return x.Accelerator == "tcg" }},
		"efi by its code": {args{"efi_firmware_code": "/c"}, func(s hypervisor.Spec, _ settings) bool {
			return s.Firmware == hypervisor.Firmware{UEFI: true, Code: "/c"}
		}},
		"arm64 by its emulator": {args{"qemu_binary": "/usr/bin/qemu-system-aarch64"}, func(s hypervisor.Spec, x settings) bool {
			return s.Arch == "arm64" && s.Firmware.UEFI && x.Machine == "virt"
		}},
		"backing image": {args{"disk_image": true, "use_backing_file": true, "skip_resize_disk": true}, func(s hypervisor.Spec, x settings) bool {
			return s.Disks[0].Backing && s.Disks[0].KeepSize && x.DiskImage
		}},
		"old names of ports": {args{"ssh_host_port_min": 3000, "ssh_host_port_max": 3001}, func(_ hypervisor.Spec, x settings) bool {
			return x.Net.PortMin == 3000 && x.Net.PortMax == 3001
		}},
		"winrm": {args{"communicator": "winrm", "winrm_use_ssl": true}, func(s hypervisor.Spec, _ settings) bool {
			return cmp.Equal(s.Network.Forward, []int{5986})
		}},
		"no communicator":     {args{"communicator": "none"}, func(s hypervisor.Spec, _ settings) bool { return s.Network.Forward == nil }},
		"another ssh port":    {args{"ssh_port": 2022}, func(s hypervisor.Spec, _ settings) bool { return cmp.Equal(s.Network.Forward, []int{2022}) }},
		"no forward wanted":   {args{"skip_nat_mapping": true}, func(s hypervisor.Spec, _ settings) bool { return s.Network.Forward == nil }},
		"bridge":              {args{"net_bridge": "br0"}, func(s hypervisor.Spec, x settings) bool { return s.Network.HostAddress == "" && x.Net.Bridge == "br0" }},
		"no vnc unless asked": {args{"headless": false}, func(_ hypervisor.Spec, x settings) bool { return x.VNC == vncSettings{} }},
		"vnc on loopback": {args{"vnc_port_min": 5910}, func(_ hypervisor.Spec, x settings) bool {
			return x.VNC == vncSettings{Bind: "127.0.0.1", PortMin: 5910, PortMax: 6000}
		}},
		"tpm": {args{"vtpm": true, "tpm_device_type": "tpm-crb"}, func(_ hypervisor.Spec, x settings) bool {
			return x.TPM == tpmSettings{Model: "tpm-crb", Version: "2.0"}
		}},
		"libvirt network": {args{"network_interface": []any{args{"type": "managed", "network": "lab", "mac": "52:54:00:00:00:01"}}}, func(s hypervisor.Spec, _ settings) bool {
			return s.Network.Name == "lab" && s.Network.MAC == "52:54:00:00:00:01" && s.Network.Forward == nil
		}},
		"volumes": {args{"volume": []any{
			args{"capacity": "5G", "bus": "sata"},
			args{"source": args{"type": "backing-store", "volume": "base.qcow2", "pool": "p"}},
			args{"size": "1G", "source": args{"type": "cloning", "path": "/i.img"}},
		}}, func(s hypervisor.Spec, x settings) bool {
			d := s.Disks
			return len(d) == 3 && d[0].Size == 5<<30 && d[0].Interface == "sata" && d[1].Backing && d[1].KeepSize &&
				d[2].Image == "/i.img" && d[2].Size == 1<<30 && cmp.Equal(x.Volumes, []volumeRef{{1, "p", "base.qcow2"}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, set, err := plan(t, c.args)
			if err != nil || !c.ok(spec, set) {
				t.Errorf("Plan(%v) = %+v, %+v, %v", c.args, spec, set, err)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	type args = map[string]any
	for name, c := range map[string]struct {
		args args
		want []string // every one is in the error
	}{
		"several at once": {
			args{"disk_interface": "floppy", "format": "vmdk", "disk_size": "10X", "accelerator": "warp", "memory": 512, "vga": "cga"},
			[]string{`disk_interface = "floppy"`, "virtio, sata, scsi, virtio-scsi, ide", `format = "vmdk"`, "disk_size", "10X", `accelerator = "warp"`, `vga = "cga"`},
		},
		"cpus against topology":    {args{"cpus": 4, "cores": 2}, []string{"cpus = 4", "is 2"}},
		"negative cpus":            {args{"cpus": -1}, []string{"cpus = -1"}},
		"xen":                      {args{"accelerator": "xen"}, []string{`accelerator = "xen"`, "tcg"}},
		"unknown emulator":         {args{"qemu_binary": "bochs"}, []string{`qemu_binary = "bochs"`, "qemu-system-ARCH"}},
		"machine type with commas": {args{"machine_type": "pc,accel=kvm"}, []string{`machine_type = "pc,accel=kvm"`}},
		"card with a comma":        {args{"net_device": "e1000,mac=1"}, []string{"net_device"}},
		"backing without image":    {args{"use_backing_file": true}, []string{"use_backing_file", "disk_image"}},
		"keeping without image":    {args{"skip_resize_disk": true}, []string{"skip_resize_disk", "disk_image"}},
		"raw compressed":           {args{"format": "raw", "disk_compression": true}, []string{"disk_compression", "raw"}},
		"two firmwares":            {args{"firmware": "/b", "efi_boot": true}, []string{`firmware = "/b"`, "efi_boot"}},
		"pflash of nothing":        {args{"use_pflash": true}, []string{"use_pflash", "firmware"}},
		"tpm 1 by crb":             {args{"vtpm": true, "use_tpm1": true, "tpm_device_type": "tpm-crb"}, []string{"use_tpm1"}},
		"path as a name":           {args{"vm_name": "../up"}, []string{`vm_name = "../up"`}},
		"a name of ours":           {args{"vm_name": "efivars.fd"}, []string{`vm_name = "efivars.fd"`}},
		"ports upside down":        {args{"host_port_min": 5000, "host_port_max": 4000}, []string{"host_port_min = 5000", "4000"}},
		"vnc below 5900":           {args{"vnc_port_min": 80}, []string{"vnc_port_min = 80", "5900"}},
		"vnc password missing":     {args{"vnc_use_password": true}, []string{"vnc_password"}},
		"vnc password too long":    {args{"vnc_password": "123456789"}, []string{"8 characters"}},
		"vnc address":              {args{"vnc_bind_address": "here"}, []string{`vnc_bind_address = "here"`}},
		"switch without a dash":    {args{"qemuargs": [][]string{{"m", "1G"}}}, []string{"qemuargs[0]"}},
		"empty switch":             {args{"qemuargs": [][]string{{}}}, []string{"qemuargs[0]"}},
		"interface of no kind":     {args{"network_interface": []any{args{"type": "warp"}}}, []string{"network_interface.type", "bridge"}},
		"bridge without a name":    {args{"network_interface": []any{args{"type": "bridge"}}}, []string{"network_interface.bridge"}},
		"bad mac":                  {args{"network_interface": []any{args{"type": "user", "mac": "1:2"}}}, []string{"network_interface.mac"}},
		"two interfaces":           {args{"network_interface": []any{args{"type": "user"}, args{"type": "user"}}}, []string{"2 blocks"}},
		"empty volume":             {args{"volume": []any{args{"bus": "nvme"}}}, []string{"volume[0]: capacity", "volume[0].bus"}},
		"downloaded volume":        {args{"volume": []any{args{"capacity": "1G", "source": args{"type": "external"}}}}, []string{"iso_url"}},
		"cloud-init volume":        {args{"volume": []any{args{"capacity": "1G", "source": args{"type": "cloud-init"}}}}, []string{"cd_content"}},
		"not even arguments":       {args{"memory": "much"}, []string{"cannot be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := plan(t, c.args)
			if err == nil {
				t.Fatalf("Plan(%v) did not fail", c.args)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Plan(%v): %v\nwant %q in it", c.args, err, want)
				}
			}
		})
	}
}

// TestGroups checks the tags: the schema panics on a group that it cannot read, and every argument says whether it
// reaches the guest.
func TestGroups(t *testing.T) {
	t.Parallel()
	qemu := schema.New("qemu", "", QemuGroups()...)
	libvirt := schema.New("libvirt", "", LibvirtGroups()...)
	if len(libvirt.Args) != len(qemu.Args)+4 {
		t.Errorf("libvirt has %d arguments and qemu %d; want 4 more", len(libvirt.Args), len(qemu.Args))
	}
	for _, a := range libvirt.Args {
		if a.Guest == "" || a.Doc == "" {
			t.Errorf("argument %q: reach %q, documentation %q", a.Name, a.Guest, a.Doc)
		}
	}
	for _, name := range strings.Fields("accelerator disk_compression use_default_display ssh_host_port_min output_directory run_once") {
		if qemu.Arg(name) == nil {
			t.Errorf("argument %q of Packer 1.6 is missing", name)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"disk_size":"1G","qemuargs":[["-m","1G"]],"volume":[{"capacity":"1G"}]}`))
	f.Add([]byte(`{"network_interface":[{"type":"bridge","bridge":"br0"}],"vnc_password":"x"}`))
	f.Fuzz(func(t *testing.T, args []byte) {
		spec, err := Planner{}.Plan(args)
		if err != nil {
			return
		}
		set, err := decodeSettings(spec.Options)
		if err != nil {
			t.Fatalf("the planner's own options: %v", err)
		}
		if spec.CPUs < 1 || spec.MemoryMiB < 10 || set.Net.PortMin > set.Net.PortMax {
			t.Errorf("Plan(%s) = %+v, %+v", args, spec, set)
		}
	})
}
