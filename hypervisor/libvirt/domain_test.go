package libvirt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// testHost is a Debian host without KVM.
func testHost() host {
	return host{
		emulator: "/usr/bin/qemu-system-x86_64",
		reason:   "the processor shows neither vmx nor svm",
		uuid:     "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
		flash:    flash{code: "/usr/share/OVMF/OVMF_CODE_4M.fd", vars: "/usr/share/OVMF/OVMF_VARS_4M.fd", format: "raw"},
		models: models{
			bus: map[string]string{
				"virtio-net": "PCI", "virtio-net-pci": "PCI", "e1000": "PCI", "rtl8139": "PCI", "virtio-rng-pci": "PCI",
				"usb-tablet": "usb-bus", "scsi-hd": "SCSI",
			},
			reports: true,
			types:   map[string]map[string]string{"scsi-hd": {"lun": "uint32", "removable": "bool", "drive": "str"}},
		},
		libvirt: 9000000,
		asIs:    func(path string) bool { return strings.HasPrefix(path, "/iso/") },
	}
}

// testDomain plans args and builds the domain of a machine in /data/vm.
func testDomain(t *testing.T, args map[string]any, h host, change func(*hypervisor.Spec)) (string, error) {
	t.Helper()
	spec, set, err := plan(t, args)
	if err != nil {
		t.Fatal(err)
	}
	spec.Name, spec.Dir = "bk-1", "/data/vm"
	spec.Tag = hypervisor.Tag{Install: "i<1>", Build: "b1", Attempt: 2}
	if change != nil {
		change(&spec)
	}
	set.QemuArgs, err = renderArgs(set.QemuArgs, templateData{
		HTTPIP: spec.Network.HostAddress, HTTPPort: spec.HTTPPort, SSHHostPort: h.sshPort,
		OutputDir: spec.Dir, Name: filepath.Base(diskPath(spec, set, 0)),
	})
	if err != nil {
		return "", err
	}
	x, err := domain(spec, set, h)
	if err != nil {
		return "", err
	}
	text, err := x.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text + "\n", nil
}

// TestDomainGolden compares whole descriptions with testdata. UPDATE_GOLDEN=1 rewrites them.
func TestDomainGolden(t *testing.T) {
	t.Parallel()
	type args = map[string]any
	kvm := testHost()
	kvm.kvm, kvm.reason = true, "libvirt offers KVM and the processor supports it"
	ports := testHost()
	ports.sshPort, ports.vncPort = 2345, 5901
	secure := testHost()
	secure.flash.secure = true
	media := func(s *hypervisor.Spec) { s.CDs = []string{"/iso/debian.iso", "/data/seed.iso"} }
	for name, c := range map[string]struct {
		args   args
		host   host
		change func(*hypervisor.Spec)
	}{
		"pc-bios":  {args{}, testHost(), media},
		"q35-uefi": {args{"machine_type": "q35", "efi_boot": true, "disk_interface": "sata", "cpus": 2, "memory": 1024}, testHost(), media},
		"q35-ide": {args{"machine_type": "q35", "disk_interface": "ide", "disk_additional_size": []string{"1G"}}, kvm, func(s *hypervisor.Spec) {
			media(s)
			s.Floppy = "/data/floppy.img"
		}},
		"secure-tpm": {args{"machine_type": "q35", "efi_boot": true, "efi_drop_efivars": true, "vtpm": true, "vga": "none"}, secure, nil},
		"scsi-mixed": {args{"disk_interface": "scsi", "cdrom_interface": "virtio-scsi", "disk_additional_size": []string{"1G"}}, testHost(), media},
		"overlay": {args{"disk_image": true, "use_backing_file": true, "vm_name": "golden.qcow2"}, testHost(), func(s *hypervisor.Spec) {
			s.Disks[0].Image, s.Disks[0].ImageFormat = "/iso/base.qcow2", "qcow2"
		}},
		"network": {args{
			"network_interface":      []any{args{"type": "network", "network": "lab"}},
			"network_address_source": "agent", "vnc_bind_address": "127.0.0.1", "vnc_password": "secret",
		}, ports, nil},
		"bridge": {args{"net_bridge": "br0", "net_device": "e1000", "firmware": "/fw/bios.bin"}, testHost(), nil},
		"qemuargs": {args{"cpu_model": "host", "qemuargs": [][]string{
			{"-m", "2G"}, {"-smp", "cpus=4,cores=2"}, {"-cpu", "max,-sse4.2"}, {"-machine", "q35,accel=kvm:tcg,vmport=off"},
			{"-boot", "order=n,menu=on,splash-time=1"}, {"-serial", "null"}, {"-vga", "qxl"}, {"-display", "none"},
			{"-netdev", "user,id=user.0,hostfwd=tcp::{{ .SSHHostPort }}-:22"}, {"-device", "e1000,netdev=user.0"},
			{"-netdev", "user,id=b"}, {"-device", "rtl8139,netdev=b"}, {"-device", "usb-tablet"},
			{"-device", "scsi-hd,drive=x,lun=3,removable=on"}, {"-drive", "if=none,id=x,file=/x.img,format=raw"},
			{"-drive", "file={{ .OutputDir }}/{{ .Name }},if=ide,cache=unsafe,discard=unmap"},
			{"-drive", "file=/iso/virtio-win.iso,media=cdrom,index=3"}, {"-fw_cfg", "name=opt/x,string={{ .HTTPIP }}:{{ .HTTPPort }}"},
			{"-usb"}, {"-usbdevice", "tablet"}, {"-no-hpet"},
		}}, ports, func(s *hypervisor.Spec) { media(s); s.HTTPPort = 8123 }},
		"drive-by-hand": {args{"qemuargs": [][]string{{"-drive", "file={{ .OutputDir }}/{{ .Name }},if=none,id=d0"}}}, testHost(), nil},
		"arm64":         {args{"qemu_binary": "qemu-system-aarch64"}, testHost(), media},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := testDomain(t, c.args, c.host, c.change)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".xml"), got)
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestQemuArgsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args [][]string
		want string
	}{
		"memory":       {[][]string{{"-m", "lots"}}, "-m lots"},
		"memory slots": {[][]string{{"-m", "1G,slots=2"}}, "slots=2"},
		"smp":          {[][]string{{"-smp", "0"}}, "cpus"},
		"smp key":      {[][]string{{"-smp", "2,dies=2"}}, "dies"},
		"smp product":  {[][]string{{"-smp", "3,cores=2"}}, "2, not 3"},
		"kvm":          {[][]string{{"-enable-kvm"}}, "tcg"},
		"accel":        {[][]string{{"-accel", "hvf"}}, "hvf"},
		"boot":         {[][]string{{"-boot", "x"}}, "boot devices"},
		"usbdevice":    {[][]string{{"-usbdevice", "braille"}}, "usb-kbd"},
		"daemonize":    {[][]string{{"-daemonize"}}, "libvirt decides"},
		"two at once":  {[][]string{{"-m", "x"}, {"-smp", "y"}}, "-smp y"},
		"template":     {[][]string{{"-m", "{{ .Memory }}"}}, ".SSHHostPort"},
		"bad template": {[][]string{{"-m", "{{ "}}, "qemuargs[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := testDomain(t, map[string]any{"qemuargs": c.args}, testHost(), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("qemuargs %v: %v; want %q in the error", c.args, err, c.want)
			}
		})
	}
}

func TestBalloon(t *testing.T) {
	t.Parallel()
	oldLibvirt, oldQEMU := testHost(), testHost()
	oldLibvirt.libvirt, oldQEMU.models.reports = 6008000, false
	device := func(value string) [][]string { return [][]string{{"-device", value}} }
	for name, c := range map[string]struct {
		host host
		arch string
		args [][]string
		want bool
	}{
		"new":             {testHost(), "amd64", nil, true},
		"ARM":             {testHost(), "arm64", nil, true},
		"no PCI":          {testHost(), "s390x", nil, false},
		"old libvirt":     {oldLibvirt, "amd64", nil, false},
		"old QEMU":        {oldQEMU, "amd64", nil, false},
		"another device":  {testHost(), "amd64", device("rtl8139,addr=0x1d"), true},
		"the user's":      {testHost(), "amd64", device("virtio-balloon-pci,id=b"), false},
		"the user's JSON": {testHost(), "amd64", device(`{"driver":"virtio-balloon-pci","id":"b"}`), false},
		"by its old name": {testHost(), "amd64", [][]string{{"-balloon", "virtio"}}, false},
		"in its place":    {testHost(), "amd64", device("rtl8139,addr=0x1c"), false},
		"in its function": {testHost(), "amd64", device("rtl8139,addr=1c.1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := testDomain(t, map[string]any{"qemuargs": c.args}, c.host, func(s *hypervisor.Spec) { s.Arch = c.arch })
			if err != nil || strings.Contains(text, `freePageReporting="on"`) != c.want {
				t.Errorf("%v:\n%s\nwant a balloon: %t", err, text, c.want)
			}
		})
	}
}

func TestTooManyDrives(t *testing.T) {
	t.Parallel()
	for bus, count := range map[string]int{"ide": 4, "sata": 6} {
		more := make([]string, count) // one more than fit
		for i := range more {
			more[i] = "1G"
		}
		_, err := testDomain(t, map[string]any{"disk_interface": bus, "disk_additional_size": more}, testHost(), nil)
		if err == nil || !strings.Contains(err.Error(), bus+" controller takes") {
			t.Errorf("%d %s disks: %v", count+1, bus, err)
		}
	}
}

func TestMetadataRoundTrip(t *testing.T) {
	t.Parallel()
	want := metadata{
		Install: `a"<&`, Build: "b", Attempt: 3, Dir: "/d x", Arch: "amd64", UEFI: true, Accel: "tcg", Reason: "r",
		Network: "user", Serial: "serial.log", Vars: "efivars.fd",
		Disks: []diskMeta{{Path: "/d/1", Format: "qcow2", Backing: []layer{{"/f/1", "raw"}, {"/f/0", "qcow2"}}}, {Path: "/d/2", Format: "raw"}}, Convert: []string{"-o", "x"},
	}
	text, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeMetadata(text)
	if err != nil {
		t.Fatal(err)
	}
	got.XMLName = want.XMLName
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if _, err := decodeMetadata("<other/>"); err == nil {
		t.Error("another element was taken for ours")
	}
}

func FuzzOptions(f *testing.F) {
	f.Add("user,id=n0,hostfwd=tcp::0-:22")
	f.Add("file=a,,b,if=virtio,,")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "\x00") {
			return
		}
		once := parseOptions(text)
		if diff := cmp.Diff(once, parseOptions(once.String()), cmp.AllowUnexported(option{})); diff != "" && !strings.Contains(text, "=,") {
			t.Errorf("%q is not the same when it is written and read again:\n%s", text, diff)
		}
	})
}
