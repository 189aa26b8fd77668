package vmx_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/hardware/hardwaretest"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

var update = flag.Bool("update", false, "write the golden file anew")

// rich has much of what a file can say.
func rich() hardware.Machine {
	return hardware.Machine{
		Name: "box & co", Description: "golden image\nof \"today\"", UUID: "564d1a2b-3c4d-5e6f-7081-92a3b4c5d6e7", Guest: "debian12-64",
		CPUs: 4, CoresPerSocket: 2, MemoryMiB: 2048, VideoMiB: 16, Firmware: hardware.UEFI, SecureBoot: true, NVRAM: "box.nvram", RTCUTC: true,
		Boot: []hardware.BootDevice{hardware.BootDisk, hardware.BootCD, hardware.BootNetwork}, VMwareVersion: 19,
		Controllers: []hardware.Controller{
			{Bus: hardware.IDE, Drives: []hardware.Drive{{Kind: hardware.CD, Port: 2, File: "tools.iso"}}},
			{Bus: hardware.SATA, Drives: []hardware.Drive{{Kind: hardware.CD, Port: 1}}},
			{Bus: hardware.LsiLogicSAS, Drives: []hardware.Drive{{Kind: hardware.Disk, File: "box.vmdk"}}},
			{Bus: hardware.PVSCSI, Drives: []hardware.Drive{{Kind: hardware.Disk, Port: 8, File: "data.vmdk"}}},
			{Bus: hardware.NVMe, Drives: []hardware.Drive{{Kind: hardware.Disk, File: "fast.vmdk"}}},
			{Bus: hardware.Floppy, Drives: []hardware.Drive{{Kind: hardware.FloppyDrive, File: "answers.img"}}},
		},
		NICs: []hardware.NIC{
			{Model: hardware.VMXNet3, MAC: "08:00:27:00:00:01", Connection: hardware.NAT},
			{Model: hardware.E1000e, Connection: hardware.Named, Network: "vmnet2", Unplugged: true},
		},
		USB: hardware.USB3, Sound: hardware.HDA,
		Serial: []hardware.Serial{{Port: 0, Kind: hardware.SerialFile, Path: "serial.log"}, {Port: 1, Kind: hardware.SerialNone}},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	f, err := vmx.FromMachine(rich())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "machine.vmx")
	if *update {
		if err := os.WriteFile(path, []byte(written(t, f)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), written(t, f)); diff != "" {
		t.Errorf("(-golden +now; write it anew with -update)\n%s", diff)
	}
	if got, err := f.ToMachine(); err != nil || !cmp.Equal(got, rich()) {
		t.Errorf("%v (-written +read)\n%s", err, cmp.Diff(rich(), got))
	}
}

// TestWorkstation reads what Workstation wrote.
func TestWorkstation(t *testing.T) {
	t.Parallel()
	got, err := parse(t, workstation(t)).ToMachine()
	if err != nil {
		t.Fatal(err)
	}
	want := hardware.Machine{
		Name: `Debian "testing" 64-bit`, UUID: "564d1a2b-3c4d-5e6f-7081-92a3b4c5d6e7", Guest: "debian12-64", CPUs: 4, CoresPerSocket: 2,
		MemoryMiB: 2048, VideoMiB: 256, Firmware: hardware.UEFI, NVRAM: "Debian 12.x 64-bit.nvram", VMwareVersion: 19,
		Controllers: []hardware.Controller{
			{Bus: hardware.SATA, Drives: []hardware.Drive{{Kind: hardware.CD, Port: 1, File: "/home/u/iso/debian-12.5.0-amd64-netinst.iso"}}},
			{Bus: hardware.LsiLogicSAS, Drives: []hardware.Drive{{Kind: hardware.Disk, File: "Debian 12.x 64-bit.vmdk"}}},
		},
		NICs: []hardware.NIC{{Model: hardware.E1000, MAC: "00:0c:29:c5:d6:e7", Connection: hardware.NAT}},
		USB:  hardware.USB3, Sound: hardware.ES1371, Serial: []hardware.Serial{{Kind: hardware.SerialFile, Path: "serial.log"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// lossless takes out of m what Losses tells, field by field.
func lossless(m hardware.Machine) hardware.Machine {
	m = m.Clone()
	m.Chipset = hardware.PIIX3
	for i := range m.NICs {
		n := &m.NICs[i]
		switch n.Connection {
		case hardware.Internal:
			n.Connection, n.Network = hardware.HostOnly, ""
		case hardware.Detached:
			n.Connection, n.Network, n.Unplugged = hardware.NAT, "", true
		case hardware.Named:
		default:
			n.Network = ""
		}
	}
	m.Controllers = slices.DeleteFunc(m.Controllers, func(c hardware.Controller) bool {
		return len(c.Drives) == 0 && (c.Bus == hardware.IDE || c.Bus == hardware.Floppy)
	})
	return m
}

// canonical takes out what a VMX file does not hold and Losses does not count.
func canonical(m hardware.Machine) hardware.Machine {
	m = m.Clone()
	m.Guest = hardware.GuestOfVMX(m.Guest.OS().VMX)
	for i := range m.Controllers {
		c := &m.Controllers[i]
		c.Name, c.Ports = "", 0
		for j := range c.Drives {
			d := &c.Drives[j]
			*d = hardware.Drive{Kind: d.Kind, Port: d.Port, File: d.File}
		}
	}
	order := []hardware.Bus{hardware.IDE, hardware.SATA, hardware.LsiLogic, hardware.NVMe, hardware.Floppy}
	at := func(c hardware.Controller) int {
		if c.Bus.SCSI() {
			return 2
		}
		return slices.Index(order, c.Bus)
	}
	slices.SortStableFunc(m.Controllers, func(a, b hardware.Controller) int { return at(a) - at(b) })
	return m.Clone()
}

// TestRoundTrip: a machine comes back as it was written, but for what Losses told; without losses nothing is missing.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	machines := 0
	rapid.Check(t, func(rt *rapid.T) {
		machines++
		roundTrip(rt, hardwaretest.Machine(rt, hardware.VMware))
	})
	generated := rapid.Custom(func(rt *rapid.T) hardware.Machine { return hardwaretest.Machine(rt, hardware.VMware) })
	for seed := 0; machines < 200; seed++ { // rapid makes 100 unless told
		machines++
		roundTrip(t, generated.Example(seed))
	}
}

func roundTrip(t rapid.TB, m hardware.Machine) {
	less := lossless(m)
	if lost := vmx.Losses(less); len(lost) > 0 {
		t.Fatalf("a machine without losses has some: %q", lost)
	}
	if same := cmp.Equal(m.Clone(), less.Clone()); same != (len(vmx.Losses(m)) == 0) {
		t.Fatalf("told losses %q, but the machines differ so: %s", vmx.Losses(m), cmp.Diff(m, less))
	}
	for _, machine := range []hardware.Machine{m, less} {
		f, err := vmx.FromMachine(machine)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		again, err := vmx.Parse(&b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := again.ToMachine()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(canonical(less), got); diff != "" {
			t.Fatalf("(-written +read)\n%s\n%s", diff, text)
		}
	}
}

func TestFromMachineRefuses(t *testing.T) {
	t.Parallel()
	m := rich()
	m.NICs[0].Model = hardware.Virtio
	if _, err := vmx.FromMachine(m); err == nil || !strings.Contains(err.Error(), `has no "virtio"`) {
		t.Errorf("got %v", err)
	}
}

func TestToMachineRefuses(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		`memsize = "x"`:           "memsize",
		`memsize = "-1"`:          "memsize",
		`numvcpus = "9999"`:       "numvcpus",
		`uuid.bios = "1 2 3"`:     "no UUID",
		`scsi0.virtualDev = "x"`:  "no such controller",
		`virtualHW.version = "0"`: "virtualHW.version is missing",
		`scsi0:0.fileName = ""`:   "has no fileName",
	} {
		if _, err := parse(t, workstation(t)+change+"\n").ToMachine(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want something with %q", change, err, want)
		}
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	f := parse(t, workstation(t))
	f.SetBool("ide1:0.present", true)
	f.Set("ide1:0.deviceType", "atapi-cdrom")
	f.Set("ide1:0.fileName", "auto detect")
	f.SetBool("nvme0:0.present", true)
	f.Set("nvme0:0.fileName", "fast.vmdk")
	f.SetBool("SCSI0:10.Present", true)
	f.Set("scsi0:10.filename", "ten.vmdk")
	f.SetBool("scsi0:2.present", false)
	f.Set("scsi0:2.fileName", "gone.vmdk")
	want := []vmx.Device{
		{Key: "ide1:0", Kind: hardware.CD, Bus: "ide", Number: 1},
		{Key: "sata0:1", Kind: hardware.CD, File: "/home/u/iso/debian-12.5.0-amd64-netinst.iso", Bus: "sata", Unit: 1},
		{Key: "scsi0:0", Kind: hardware.Disk, File: "Debian 12.x 64-bit.vmdk", Bus: "scsi"},
		{Key: "scsi0:10", Kind: hardware.Disk, File: "ten.vmdk", Bus: "scsi", Unit: 10},
		{Key: "nvme0:0", Kind: hardware.Disk, File: "fast.vmdk", Bus: "nvme"},
	}
	if diff := cmp.Diff(want, f.Devices()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if nics := f.NICs(); !slices.Equal(nics, []int{0}) || f.MAC(0) != "00:0c:29:c5:d6:e7" || f.MAC(1) != "" {
		t.Errorf("cards %v, MAC %q", nics, f.MAC(0))
	}
}

// TestCleanForBox: what is in the drives, the VNC server and identity go; all else stays as it was, byte for byte.
func TestCleanForBox(t *testing.T) {
	t.Parallel()
	f := parse(t, workstation(t))
	f.SetBool("floppy0.present", true)
	f.Set("floppy0.fileName", "answers.img")
	f.CleanForBox(vmx.BoxOptions{})
	text := written(t, f)
	for _, gone := range []string{
		"answers.img", "netinst.iso", "BDgQBSYCDAQ=", "5901", "uuid.", "generatedAddress", "vmci0.id", "checkpoint.vmState", "cleanShutdown", "redo",
	} {
		if strings.Contains(text, gone) {
			t.Errorf("%s is left in\n%s", gone, text)
		}
	}
	for _, there := range []string{
		"sata0:1.deviceType = \"cdrom-raw\"\n", "sata0:1.fileName = \"auto detect\"\n", "sata0:1.clientDevice = \"TRUE\"\n",
		"floppy0.present = \"FALSE\"\n", "RemoteDisplay.vnc.enabled = \"FALSE\"\n", "ethernet0.present = \"TRUE\"\n",
	} {
		if strings.Count(text, there) != 1 {
			t.Errorf("%q is not once in\n%s", there, text)
		}
	}
	for line := range strings.Lines(workstation(t)) {
		key, _, _ := strings.Cut(line, " =")
		kept := !strings.HasPrefix(key, "sata0:1.") && !strings.HasPrefix(key, "RemoteDisplay") && !strings.HasPrefix(key, "floppy0")
		if _, there := f.Get(key); there && kept && !strings.Contains(text, line) {
			t.Errorf("%q was changed", line)
		}
	}
	f.CleanForBox(vmx.BoxOptions{NoNICs: true})
	if strings.Contains(written(t, f), "ethernet") {
		t.Error("the network cards are left")
	}
}
