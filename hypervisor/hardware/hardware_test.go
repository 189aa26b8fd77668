package hardware_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/types"
	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/hardware/hardwaretest"
)

// TestGuestTable compares VMware's names with those that its own library has, and reads every name back.
func TestGuestTable(t *testing.T) {
	t.Parallel()
	ids := map[hardware.Guest]bool{}
	known := map[string]bool{}
	for _, id := range types.VirtualMachineGuestOsIdentifier("").Strings() {
		known[id] = true
	}
	for _, o := range hardware.Guests() {
		if ids[o.ID] {
			t.Errorf("%s is there twice", o.ID)
		}
		ids[o.ID] = true
		if !known[o.VIM] {
			t.Errorf("%s: VMware has no %q", o.ID, o.VIM)
		}
		if o.ID.Is64() != strings.Contains(o.VMX, "-64") || o.ID.Is64() != strings.Contains(o.VirtualBox, "_64") {
			t.Errorf("%s: its names differ in width: %+v", o.ID, o)
		}
		if got := hardware.GuestOfVMX(o.VMX).OS().VMX; got != o.VMX {
			t.Errorf("%s: %s is read as %s", o.ID, o.VMX, got)
		}
		if got := hardware.GuestOfVIM(o.VIM).OS().VIM; got != o.VIM {
			t.Errorf("%s: %s is read as %s", o.ID, o.VIM, got)
		}
		if got := hardware.GuestOfVirtualBox(o.VirtualBox).OS().VirtualBox; got != o.VirtualBox {
			t.Errorf("%s: %s is read as %s", o.ID, o.VirtualBox, got)
		}
		if got := hardware.GuestOfCIM(o.CIM).OS().CIM; got != o.CIM {
			t.Errorf("%s: %d is read as %d", o.ID, o.CIM, got)
		}
	}
}

func TestGuestsOfOthers(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]hardware.Guest{
		"Debian_64": "debian12-64", "Debian12_64": "debian12-64", "Ubuntu22_LTS_64": "ubuntu-64", "Ubuntu": "ubuntu",
		"Windows10_64": "windows10-64", "Haiku_x64": hardware.Other, "Haiku_64": hardware.Other64, "": hardware.Other,
	} {
		if got := hardware.GuestOfVirtualBox(id); got != want {
			t.Errorf("%s is read as %s, want %s", id, got, want)
		}
	}
	for id, want := range map[string]hardware.Guest{
		"Debian12-64": "debian12-64", "debian12-64": "debian12-64", "asianux-64": hardware.Other64, "vmkernel": hardware.Other,
	} {
		if got := hardware.GuestOfVMX(id); got != want {
			t.Errorf("%s is read as %s, want %s", id, got, want)
		}
	}
	if os := hardware.Guest("haiku-64").OS(); os.VMX != "other-64" || hardware.Guest("haiku-64").Known() {
		t.Errorf("a system that nobody knows is %+v", os)
	}
}

// TestCheckTakesGenerated keeps the generator and the check together.
func TestCheckTakesGenerated(t *testing.T) {
	t.Parallel()
	for _, p := range []hardware.Product{hardware.VirtualBox, hardware.VMware} {
		rapid.Check(t, func(t *rapid.T) {
			if m := hardwaretest.Machine(t, p); m.Check(p) != nil {
				t.Fatalf("%s: %v\n%+v", p, m.Check(p), m)
			}
		})
	}
}

func valid() hardware.Machine {
	return hardware.Machine{
		Name: "box", Guest: "debian12-64", CPUs: 2, MemoryMiB: 512,
		Controllers: []hardware.Controller{{Bus: hardware.SATA, Drives: []hardware.Drive{{Kind: hardware.Disk, File: "box.vmdk"}}}},
		NICs:        []hardware.NIC{{Model: hardware.E1000, Connection: hardware.NAT}},
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	drive := func(d hardware.Drive) func(*hardware.Machine) {
		return func(m *hardware.Machine) { m.Controllers[0].Drives = append(m.Controllers[0].Drives, d) }
	}
	bus := func(b hardware.Bus) func(*hardware.Machine) {
		return func(m *hardware.Machine) { m.Controllers = append(m.Controllers, hardware.Controller{Bus: b}) }
	}
	for name, c := range map[string]struct {
		change func(*hardware.Machine)
		p      hardware.Product
		want   string
	}{
		"name":          {func(m *hardware.Machine) { m.Name = "../box" }, hardware.VMware, "name of a machine"},
		"control":       {func(m *hardware.Machine) { m.Description = "a\x00b" }, hardware.VMware, "cannot be written"},
		"cpus":          {func(m *hardware.Machine) { m.CPUs = 0 }, hardware.VMware, "0 processors"},
		"cores":         {func(m *hardware.Machine) { m.CoresPerSocket = 3 }, hardware.VMware, "do not divide"},
		"memory":        {func(m *hardware.Machine) { m.MemoryMiB = 0 }, hardware.VMware, "MiB of memory"},
		"firmware":      {func(m *hardware.Machine) { m.Firmware = hardware.UEFI32 }, hardware.VMware, "32-bit UEFI"},
		"secure boot":   {func(m *hardware.Machine) { m.SecureBoot = true }, hardware.VMware, "needs UEFI"},
		"boot":          {func(m *hardware.Machine) { m.Boot = []hardware.BootDevice{"disk", "disk"} }, hardware.VMware, "boot order"},
		"pvscsi":        {bus(hardware.PVSCSI), hardware.VirtualBox, "no pvscsi controller"},
		"virtio-scsi":   {bus(hardware.VirtioSCSI), hardware.VMware, "no virtio-scsi controller"},
		"two of a kind": {bus(hardware.SATA), hardware.VirtualBox, "takes 1 sata"},
		"one port":      {drive(hardware.Drive{Kind: hardware.CD}), hardware.VMware, "not in order"},
		"no port":       {drive(hardware.Drive{Kind: hardware.CD, Port: 30}), hardware.VMware, "no port 30"},
		"wrong place":   {drive(hardware.Drive{Kind: hardware.FloppyDrive, Port: 1}), hardware.VMware, "cannot be there"},
		"no file":       {drive(hardware.Drive{Kind: hardware.Disk, Port: 1}), hardware.VMware, "needs a file"},
		"escape":        {drive(hardware.Drive{Kind: hardware.CD, Port: 1, File: "../x.iso"}), hardware.VMware, "rename the file"},
		"percent":       {drive(hardware.Drive{Kind: hardware.CD, Port: 1, File: "a%20b.iso"}), hardware.VMware, "rename the file"},
		"uuid":          {drive(hardware.Drive{Kind: hardware.CD, Port: 1, UUID: "{1}"}), hardware.VMware, "uuid"},
		"model":         {func(m *hardware.Machine) { m.NICs[0].Model = hardware.VMXNet3 }, hardware.VirtualBox, "has no \"vmxnet3\""},
		"mac":           {func(m *hardware.Machine) { m.NICs[0].MAC = "080027" }, hardware.VirtualBox, "no MAC address"},
		"network":       {func(m *hardware.Machine) { m.NICs[0].Connection = hardware.Named }, hardware.VMware, "name the network"},
		"cards":         {func(m *hardware.Machine) { m.NICs = make([]hardware.NIC, 9) }, hardware.VirtualBox, "9 network cards"},
		"sound":         {func(m *hardware.Machine) { m.Sound = hardware.AC97 }, hardware.VMware, "no sound card"},
		"product":       {func(*hardware.Machine) {}, "xen", "no product"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := valid()
			if err := errors.Join(m.Check(hardware.VirtualBox), m.Check(hardware.VMware)); err != nil {
				t.Fatal(err)
			}
			c.change(&m)
			if err := m.Check(c.p); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

func TestDisks(t *testing.T) {
	t.Parallel()
	m := valid()
	m.Controllers[0].Drives = append(m.Controllers[0].Drives, hardware.Drive{Kind: hardware.CD, Port: 1})
	if disks := m.Disks(); len(disks) != 1 || disks[0].File != "box.vmdk" {
		t.Errorf("disks: %+v", disks)
	}
}
