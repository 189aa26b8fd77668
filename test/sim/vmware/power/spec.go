package power

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// hardware is the machine that a VMX describes, as QEMU can give it. address is where the ports of the first card are
// reached.
func hardware(f *vmx.File, path, address string, ports []int) qemu.Spec {
	dir := filepath.Dir(path)
	s := qemu.Spec{
		Name:     f.Get("displayName"),
		UUID:     biosUUID(f),
		CPUs:     f.Int("numvcpus", 1),
		MemoryMB: f.Int("memsize", 512),
		Firmware: qemu.BIOS,
		Serial:   serialPorts(f, dir),
	}
	if f.EFI() {
		s.Firmware, s.NVRAM = qemu.UEFI, f.NVRAM(path)
	}
	for _, d := range f.Drives(dir) {
		s.Drives = append(s.Drives, drive(d, f.EFI()))
	}
	for i, n := range f.NICs() {
		card := qemu.NIC{Model: cards[n.Model], MAC: n.MAC}
		if card.Model == "" {
			card.Model = "pcnet" // VMware's vlance, what a card is that names no model
		}
		for _, port := range ports {
			if i == 0 && address != "" {
				card.Forwards = append(card.Forwards, qemu.Forward{Host: address, HostPort: port, GuestPort: port})
			}
		}
		s.NICs = append(s.NICs, card)
	}
	boot(&s, f.Get("bios.bootOrder"))
	s.Extra = slices.Concat(platform(f), floppy(f, dir))
	return s
}

// platform is what the firmware tells the guest of its machine, by which systems know that they run under VMware.
func platform(f *vmx.File) []string {
	return []string{
		"-smbios", "type=0,vendor=Phoenix Technologies LTD,version=6.00",
		"-smbios", "type=1,manufacturer=VMware,, Inc.,product=VMware Virtual Platform,version=None,serial=VMware-" + f.Get("uuid.bios"),
		"-smbios", "type=2,manufacturer=Intel Corporation,product=440BX Desktop Reference Platform",
	}
}

// floppy is the floppy drive, which hangs on the controller that QEMU's machine has anyway.
func floppy(f *vmx.File, dir string) []string {
	name := f.Get("floppy0.fileName")
	if !f.Bool("floppy0.present") || name == "" {
		return nil
	}
	path := strings.ReplaceAll(vmx.Absolute(dir, name), ",", ",,")
	return []string{"-drive", "if=floppy,index=0,format=raw,file=" + path, "-global", "isa-fdc.bootindexA=1"}
}

var cards = map[string]string{"e1000": "e1000-82545em", "e1000e": "e1000e", "vmxnet3": "vmxnet3"}

// bus is QEMU's of a controller of VMware's. QEMU has no LSI 53C1030, which is lsilogic, and no BusLogic; guests find a
// disk on the 53C895A, an older chip of the same house, with another driver. Debian's OVMF boots from none of them.
func bus(d vmx.Drive, efi bool) qemu.Bus {
	switch {
	case d.Bus == "ide":
		return qemu.IDE
	case d.Bus == "sata":
		return qemu.AHCI
	case d.Bus == "nvme":
		return qemu.NVMe
	case efi:
		return qemu.VirtioSCSI
	case d.Model == "pvscsi":
		return qemu.PVSCSI
	case d.Model == "lsisas1068":
		return qemu.SAS
	}
	return qemu.LSI
}

func drive(d vmx.Drive, efi bool) qemu.Drive {
	q := qemu.Drive{
		ID: strings.ReplaceAll(d.Key, ":", "-"), Path: d.File, Format: "vmdk", Bus: bus(d, efi),
		Controller: d.Controller, Unit: d.Unit, CD: d.CD,
	}
	if d.CD {
		q.Format = "raw"
	}
	if q.Bus == qemu.IDE { // QEMU counts through both channels
		q.Controller, q.Unit = 0, 2*d.Controller+d.Unit
	}
	return q
}

// boot numbers what the firmware tries after the floppy: what bios.bootOrder says, then disks and CDs. The network has no
// number unless it is named there, and is tried last.
func boot(s *qemu.Spec, order string) {
	wanted := strings.FieldsFunc(strings.ToLower(order), func(r rune) bool { return r == ',' || r == ' ' })
	for _, kind := range []string{"hdd", "cdrom"} {
		if !slices.Contains(wanted, kind) {
			wanted = append(wanted, kind)
		}
	}
	next := 2
	for _, kind := range wanted {
		for i := range s.Drives {
			d := &s.Drives[i]
			if d.BootIndex == 0 && kindOf(*d) == kind {
				d.BootIndex = next
				next++
			}
		}
		if strings.HasPrefix(kind, "ethernet") && len(s.NICs) > 0 && s.NICs[0].BootIndex == 0 {
			s.NICs[0].BootIndex = next
			next++
		}
	}
}

// kindOf is what bios.bootOrder calls a drive.
func kindOf(d qemu.Drive) string {
	if d.CD {
		return "cdrom"
	}
	return "hdd"
}

// serialPorts are the files of the serial ports; those that lead elsewhere lead nowhere.
func serialPorts(f *vmx.File, dir string) []string {
	var ports []string
	for _, node := range []string{"serial0", "serial1"} {
		if !f.Bool(node + ".present") {
			continue
		}
		file := ""
		if strings.EqualFold(f.Get(node+".fileType"), "file") && f.Get(node+".fileName") != "" {
			file = vmx.Absolute(dir, f.Get(node+".fileName"))
		}
		ports = append(ports, file)
	}
	return ports
}

// screen is the VNC server that a VMX asks for, nil if it asks for none. VMware listens at all addresses unless the VMX
// names one; the simulator never leaves the loopback interface.
func screen(f *vmx.File, faults host.Faults) *qemu.VNC {
	if !f.Bool("RemoteDisplay.vnc.enabled") || faults.Has(host.VNCNotServed) {
		return nil
	}
	v := &qemu.VNC{Host: f.Get("RemoteDisplay.vnc.ip"), Port: f.Int("RemoteDisplay.vnc.port", 5900), Password: f.Get("RemoteDisplay.vnc.password")}
	if !strings.HasPrefix(v.Host, "127.") {
		v.Host = "127.0.0.1"
	}
	if faults.Has(host.VNCTaken) {
		v.Password = "stranger"
	}
	return v
}
