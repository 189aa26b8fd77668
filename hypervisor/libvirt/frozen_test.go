package libvirt

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"github.com/boxkiln/boxkiln/hypervisor"
)

func argsOf(args ...string) *libvirtxml.DomainQEMUCommandline {
	c := &libvirtxml.DomainQEMUCommandline{}
	for _, a := range args {
		c.Args = append(c.Args, libvirtxml.DomainQEMUCommandlineArg{Value: a})
	}
	return c
}

func driveAt(path string, readOnly bool) libvirtxml.DomainDisk {
	d := libvirtxml.DomainDisk{
		Device: deviceDisk,
		Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}},
		Target: &libvirtxml.DomainDiskTarget{Dev: "vda", Bus: "virtio"},
	}
	if readOnly {
		d.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	return d
}

func TestObstacles(t *testing.T) {
	t.Parallel()
	meta := metadata{Network: networkUser, Disks: []diskMeta{{Path: "/vm/d"}}}
	devices := func(change func(d *libvirtxml.DomainDeviceList)) *libvirtxml.Domain {
		d := &libvirtxml.DomainDeviceList{Disks: []libvirtxml.DomainDisk{driveAt("/vm/d", false)}}
		if change != nil {
			change(d)
		}
		return &libvirtxml.Domain{Devices: d}
	}
	args := func(args ...string) *libvirtxml.Domain {
		x := devices(nil)
		x.QEMUCommandline = argsOf(args...)
		return x
	}
	for name, c := range map[string]struct {
		x    *libvirtxml.Domain
		want string // empty: nothing is in the way
	}{
		"plain":             {devices(nil), ""},
		"our card":          {args("-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:0-:22", "-device", "virtio-net-pci,netdev=user.0"), ""},
		"firmware":          {args("-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/fw"), ""},
		"nvme":              {args("-device", "nvme,serial=x,drive=drive0"), "nvme (drive0)"},
		"nvme by serial":    {args("-device", "nvme,serial=x"), "nvme (x)"},
		"nvme as JSON":      {args("-device", `{"driver":"nvme","drive":"n0"}`), "nvme (n0)"},
		"passed through":    {args("-device", "vfio-pci,host=01:00.0"), "vfio-pci"},
		"a drive":           {args("-drive", "if=none,id=n0,file=/x.img"), "-drive if=none,id=n0,file=/x.img"},
		"a block device":    {args("-blockdev", `{"driver":"file","node-name":"n"}`), "-blockdev"},
		"a read-only one":   {args("-blockdev", `{"driver":"file","read-only":true}`), ""},
		"an old hard disk":  {args("-hdb", "/x.img"), "-hdb /x.img"},
		"a tap":             {args("-netdev", "tap,id=t"), "-netdev tap,id=t"},
		"a second user net": {args("-nic", "user,model=e1000"), ""},
		"tpm":               {devices(func(d *libvirtxml.DomainDeviceList) { d.TPMs = make([]libvirtxml.DomainTPM, 1) }), "TPM"},
		"hostdev":           {devices(func(d *libvirtxml.DomainDeviceList) { d.Hostdevs = make([]libvirtxml.DomainHostdev, 1) }), "passed-through"},
		"another's disk":    {devices(func(d *libvirtxml.DomainDeviceList) { d.Disks = append(d.Disks, driveAt("/home/x", false)) }), "/home/x"},
		"a CD":              {devices(func(d *libvirtxml.DomainDeviceList) { d.Disks = append(d.Disks, driveAt("/home/x", true)) }), ""},
		"our disk by hand":  {devices(func(d *libvirtxml.DomainDeviceList) { d.Disks = nil }), `"/vm/d"`},
	} {
		got := strings.Join(obstacles(c.x, meta), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: in the way is %q; want %q", name, got, c.want)
		}
	}
	meta.Network = "lease"
	x := devices(func(d *libvirtxml.DomainDeviceList) {
		d.Interfaces = []libvirtxml.DomainInterface{{Source: &libvirtxml.DomainInterfaceSource{
			Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: "default"},
		}}}
	})
	if got := strings.Join(obstacles(x, meta), "; "); !strings.Contains(got, "same address on the network default") {
		t.Errorf("a libvirt network: %q", got)
	}
}

// frozenHost is the host of frozenMachine.
var frozenHost = hypervisor.Host{Hypervisor: "QEMU 7.2.22, libvirt 9.0.0", Machine: "pc-i440fx-7.2", Accelerator: "tcg", CPU: "qemu64"}

// describe is the description of a machine with two disks.
func describe(t *testing.T, more map[string]any, change func(*hypervisor.Spec)) (hypervisor.Spec, *libvirtxml.Domain) {
	t.Helper()
	var spec hypervisor.Spec
	all := map[string]any{"disk_additional_size": []string{"1G"}}
	maps.Copy(all, more)
	text, err := testDomain(t, all, testHost(), func(s *hypervisor.Spec) {
		s.CDs = []string{"/iso/a.iso"}
		if change != nil {
			change(s)
		}
		spec = *s
	})
	if err != nil {
		t.Fatal(err)
	}
	x := &libvirtxml.Domain{}
	if err := x.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	return spec, x
}

// frozenMachine is a machine with memory as Freeze describes it.
func frozenMachine(t *testing.T) hypervisor.Frozen {
	t.Helper()
	_, x := describe(t, nil, nil)
	x.Memory.Value, x.Memory.Unit = x.Memory.Value<<10, "KiB" // libvirt's words
	slot, zero := uint(0x1a), uint(0)
	x.Devices.Disks[0].Address = &libvirtxml.DomainAddress{PCI: &libvirtxml.DomainAddressPCI{Domain: &zero, Bus: &zero, Slot: &slot, Function: &zero}}
	x.Devices.Consoles = []libvirtxml.DomainConsole{{Source: x.Devices.Serials[0].Source}}
	text, err := x.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	d, err := json.Marshal(detail{Domain: text, MAC: "52:54:00:01:02:03", Under: [][]layer{{{"/older/disk-0.qcow2", "qcow2"}}, nil}})
	if err != nil {
		t.Fatal(err)
	}
	return hypervisor.Frozen{
		Driver: Name, Memory: memoryFile, Detail: d, Host: frozenHost,
		Disks: []hypervisor.FrozenDisk{{Name: "disk-0.qcow2", Format: "qcow2", VirtualSize: 1 << 30}, {Name: "disk-1.raw", Format: "raw", VirtualSize: 1 << 30}},
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	spec, _ := describe(t, nil, func(s *hypervisor.Spec) { s.Name, s.Dir = "bk-2", "/data/two" })
	th, err := newThawing(frozenMachine(t), "/checkpoints/1", spec)
	if err != nil {
		t.Fatal(err)
	}
	if th.spec.Network.MAC != "52:54:00:01:02:03" || th.spec.Disks[1].Image != "/checkpoints/1/disk-1.raw" || spec.Disks[1].Image != "" {
		t.Errorf("the new spec is %+v", th.spec)
	}
	h := testHost()
	h.uuid, h.under, h.sshPort = "00000000-0000-4000-8000-00000000abcd", th.detail.Under, 2300
	fresh, err := domain(th.spec, settings{}, h)
	if err != nil {
		t.Fatal(err)
	}
	x, err := th.merge(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if err := th.compare(fresh, frozenHost); err != nil {
		t.Errorf("compare: %v", err)
	}
	d := x.Devices.Disks[0]
	if x.Name != "bk-2" || x.UUID != h.uuid || diskFile(d) != "/data/two/bk-2" || d.Address == nil || *d.Address.PCI.Slot != 0x1a {
		t.Errorf("the machine is %s (%s) with the disk %+v", x.Name, x.UUID, d)
	}
	if b := d.BackingStore; b == nil || b.Source.File.File != "/checkpoints/1/disk-0.qcow2" || b.BackingStore == nil ||
		b.BackingStore.Source.File.File != "/older/disk-0.qcow2" {
		t.Errorf("the disk is based on %+v", d.BackingStore)
	}
	text, err := x.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"/data/vm", "bk-1", ">6f9619ff"} {
		if strings.Contains(text, old) {
			t.Errorf("the new machine still names %s of the old one:\n%s", old, text)
		}
	}
	if !strings.Contains(text, "hostfwd=tcp:127.0.0.1:2300-:22") {
		t.Errorf("the new machine has another forward:\n%s", text)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	type args = map[string]any
	host := func(change func(*hypervisor.Host)) hypervisor.Host {
		h := frozenHost
		change(&h)
		return h
	}
	for name, c := range map[string]struct {
		args   args
		change func(*hypervisor.Spec)
		here   hypervisor.Host
		want   string
	}{
		"the same": {here: frozenHost},
		"hypervisor": {here: host(func(h *hypervisor.Host) { h.Hypervisor = "QEMU 8.0.0" }),
			want: "frozen by QEMU 7.2.22, libvirt 9.0.0, and this host has QEMU 8.0.0"},
		"accelerator": {here: host(func(h *hypervisor.Host) { h.Accelerator = "kvm" }), want: "frozen under tcg, and here it would run under kvm"},
		"processor":   {here: host(func(h *hypervisor.Host) { h.CPU = "max" }), want: "processor qemu64, and here it would run with the processor max"},
		"machine":     {here: host(func(h *hypervisor.Host) { h.Machine = "pc-q35-7.2" }), want: "machine type pc-i440fx-7.2"},
		"memory":      {args: args{"memory": 1024}, here: frozenHost, want: "with 512 MiB of memory, and here it would run with 1024 MiB"},
		"processors":  {args: args{"cpus": 2}, here: frozenHost, want: "with 1 processors, and here it would run with 2"},
		"bus":         {args: args{"disk_interface": "sata"}, here: frozenHost, want: "frozen with a disk vda"},
		"another CD":  {change: func(s *hypervisor.Spec) { s.CDs = append(s.CDs, "/iso/b.iso") }, here: frozenHost, want: "without the cdrom"},
		"no CD":       {change: func(s *hypervisor.Spec) { s.CDs = nil }, here: frozenHost, want: "with a cdrom"},
		"card":        {args: args{"net_device": "e1000"}, here: frozenHost, want: "added devices virtio-net"},
	} {
		spec, fresh := describe(t, c.args, c.change)
		th, err := newThawing(frozenMachine(t), "/checkpoints/1", spec)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = errors.Join(th.compare(fresh, c.here), th.mergeDrives(fresh))
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func TestFrozenRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(f *hypervisor.Frozen, s *hypervisor.Spec)
		want   string
	}{
		"driver":    {func(f *hypervisor.Frozen, _ *hypervisor.Spec) { f.Driver = "fake" }, `"fake"`},
		"detail":    {func(f *hypervisor.Frozen, _ *hypervisor.Spec) { f.Detail = json.RawMessage("{") }, "cannot be read"},
		"no domain": {func(f *hypervisor.Frozen, _ *hypervisor.Spec) { f.Detail = json.RawMessage("{}") }, "cannot be read"},
		"empty domain": {func(f *hypervisor.Frozen, _ *hypervisor.Spec) {
			f.Detail = json.RawMessage(`{"domain":"<domain type='qemu'/>"}`)
		}, "cannot be read"},
		"disks":    {func(_ *hypervisor.Frozen, s *hypervisor.Spec) { s.Disks = s.Disks[:1] }, "frozen with 2 disks, and this machine has 1"},
		"firmware": {func(_ *hypervisor.Frozen, s *hypervisor.Spec) { s.Firmware.UEFI = true }, "a BIOS, and this machine has UEFI"},
		"path":     {func(f *hypervisor.Frozen, _ *hypervisor.Spec) { f.Memory = "../memory" }, "no plain name"},
		"disk path": {func(f *hypervisor.Frozen, _ *hypervisor.Spec) {
			f.Disks = []hypervisor.FrozenDisk{{Name: "/etc/passwd"}, {Name: "x"}}
		}, "no plain name"},
	} {
		spec, _ := describe(t, nil, nil)
		f := frozenMachine(t)
		c.change(&f, &spec)
		if _, err := newThawing(f, "/checkpoints/1", spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func TestProcessor(t *testing.T) {
	t.Parallel()
	const one = "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu vmx\ncpu MHz\t: 1\n\nprocessor\t: 1\nflags\t: other\n"
	name := processor(one)
	if !strings.HasPrefix(name, "Xeon (") || name != processor(strings.ReplaceAll(one, "MHz\t: 1", "MHz\t: 2")) {
		t.Errorf("processor = %q", name)
	}
	if other := processor(strings.ReplaceAll(one, "fpu vmx", "fpu svm")); other == name {
		t.Errorf("processors with other flags are both %q", name)
	}
}
