package ovf

import (
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// settingsVersion is the lowest version of VirtualBox's settings that says what m needs (Settings.cpp,
// bumpSettingsVersionIfNeeded): 5.1's knows NVMe and disks that cannot be pulled out, 6.1 added virtio-scsi.
func settingsVersion(m hardware.Machine) string {
	for _, c := range m.Controllers {
		if c.Bus == hardware.VirtioSCSI {
			return "1.18-linux"
		}
	}
	return "1.16-linux"
}

// vboxMachine writes VirtualBox's own settings. It goes by them when it imports, and makes the UUIDs of media new.
func vboxMachine(b *builder, m hardware.Machine) {
	b.start("vbox:Machine", "ovf:required", "false", "version", settingsVersion(m), "uuid", "{"+m.UUID+"}", "name", m.Name,
		"OSType", m.Guest.OS().VirtualBox, "snapshotFolder", "Snapshots")
	b.text("ovf:Info", "Complete VirtualBox machine configuration in VirtualBox format")
	if m.Description != "" {
		b.text("Description", m.Description)
	}
	b.start("Hardware")
	vboxProcessor(b, m)
	vboxBoot(b, m)
	if m.VideoMiB > 0 {
		b.empty("Display", "VRAMSize", strconv.Itoa(m.VideoMiB))
	}
	b.start("BIOS")
	b.empty("IOAPIC", "enabled", "true")
	b.empty("SmbiosUuidLittleEndian", "enabled", "true")
	b.finish()
	vboxUSB(b, m.USB)
	vboxCards(b, m.NICs)
	vboxSerial(b, m.Serial)
	if m.Sound != hardware.NoSound {
		b.empty("AudioAdapter", "controller", strings.ToUpper(string(m.Sound)), "driver", "Null", "enabled", "true")
	}
	clock := "local"
	if m.RTCUTC {
		clock = "UTC"
	}
	b.empty("RTC", "localOrUTC", clock)
	b.empty("Clipboard")
	b.finish()
	vboxStorage(b, m)
	b.finish()
}

func vboxProcessor(b *builder, m hardware.Machine) {
	if m.CPUs > 1 {
		b.start("CPU", "count", strconv.Itoa(m.CPUs))
	} else {
		b.start("CPU")
	}
	b.empty("PAE", "enabled", "true")
	if m.Guest.Is64() {
		b.empty("LongMode", "enabled", "true")
	}
	b.empty("HardwareVirtExLargePages", "enabled", "false")
	b.finish()
	b.empty("Memory", "RAMSize", strconv.Itoa(m.MemoryMiB))
	if firmware := map[hardware.Firmware]string{hardware.UEFI: "EFI", hardware.UEFI32: "EFI32"}[m.Firmware]; firmware != "" {
		b.empty("Firmware", "type", firmware)
	}
	if m.Chipset == hardware.ICH9 {
		b.empty("Chipset", "type", "ICH9")
	}
}

// vboxDevices are VirtualBox's names of what a machine can start from.
var vboxDevices = map[hardware.BootDevice]string{
	hardware.BootDisk: "HardDisk", hardware.BootCD: "DVD", hardware.BootFloppy: "Floppy", hardware.BootNetwork: "Network",
}

func vboxBoot(b *builder, m hardware.Machine) {
	if len(m.Boot) == 0 {
		return
	}
	b.start("Boot")
	for i := range 4 {
		device := "None"
		if i < len(m.Boot) {
			device = vboxDevices[m.Boot[i]]
		}
		b.empty("Order", "position", strconv.Itoa(i+1), "device", device)
	}
	b.finish()
}

func vboxUSB(b *builder, usb hardware.USB) {
	if usb == hardware.NoUSB {
		return
	}
	b.start("USB")
	b.start("Controllers")
	if usb == hardware.USB3 {
		b.empty("Controller", "name", "xHCI", "type", "XHCI")
	} else {
		b.empty("Controller", "name", "OHCI", "type", "OHCI")
	}
	if usb == hardware.USB2 {
		b.empty("Controller", "name", "EHCI", "type", "EHCI")
	}
	b.finish()
	b.finish()
}

// vboxModels are VirtualBox's names of network cards.
var vboxModels = map[hardware.NICModel]string{
	hardware.E1000: "82540EM", hardware.E1000Server: "82545EM", hardware.E1000T: "82543GC", hardware.Virtio: "virtio",
	hardware.PCNet: "Am79C970A", hardware.PCNetFast: "Am79C973",
}

// vboxAttachments are the elements that say what a network card is connected to.
var vboxAttachments = map[hardware.Connection]string{
	hardware.NAT: "NAT", hardware.Bridged: "BridgedInterface", hardware.HostOnly: "HostOnlyInterface",
	hardware.Internal: "InternalNetwork", hardware.Named: "NATNetwork",
}

func vboxCards(b *builder, cards []hardware.NIC) {
	b.start("Network")
	for i, n := range cards {
		attrs := []string{"slot", strconv.Itoa(i), "enabled", "true"}
		if n.MAC != "" {
			attrs = append(attrs, "MACAddress", strings.ToUpper(strings.ReplaceAll(n.MAC, ":", "")))
		}
		if n.Unplugged {
			attrs = append(attrs, "cable", "false")
		}
		attrs = append(attrs, "type", vboxModels[n.Model])
		attachment := vboxAttachments[n.Connection]
		if attachment == "" {
			b.empty("Adapter", attrs...)
			continue
		}
		b.start("Adapter", attrs...)
		if n.Network == "" || n.Connection == hardware.NAT {
			b.empty(attachment)
		} else {
			b.empty(attachment, "name", n.Network)
		}
		b.finish()
	}
	b.finish()
}

func vboxSerial(b *builder, ports []hardware.Serial) {
	if len(ports) == 0 {
		return
	}
	resources := [4][2]string{{"0x3f8", "4"}, {"0x2f8", "3"}, {"0x3e8", "4"}, {"0x2e8", "3"}}
	b.start("UART")
	for _, s := range ports {
		attrs := []string{"slot", strconv.Itoa(s.Port), "enabled", "true", "IOBase", resources[s.Port][0], "IRQ", resources[s.Port][1]}
		switch s.Kind {
		case hardware.SerialFile:
			attrs = append(attrs, "path", s.Path, "hostMode", "RawFile")
		case hardware.SerialPipe:
			attrs = append(attrs, "path", s.Path, "hostMode", "HostPipe", "server", "true")
		default:
			attrs = append(attrs, "hostMode", "Disconnected")
		}
		b.empty("Port", attrs...)
	}
	b.finish()
}

// vboxBus is how VirtualBox speaks of a controller. Of a variable number of ports there are as many as needed.
type vboxBus struct {
	typ, name string
	ports     int
	variable  bool
	cached    bool // through the host's cache, as VirtualBox has it for slow buses
}

var vboxBuses = map[hardware.Bus]vboxBus{
	hardware.IDE:         {"PIIX4", "IDE", 2, false, true},
	hardware.SATA:        {"AHCI", "SATA", 1, true, false},
	hardware.LsiLogic:    {"LsiLogic", "SCSI", 16, false, false},
	hardware.BusLogic:    {"BusLogic", "SCSI", 16, false, false},
	hardware.LsiLogicSAS: {"LsiLogicSas", "SAS", 8, true, false},
	hardware.VirtioSCSI:  {"VirtioSCSI", "VirtioSCSI", 1, true, false},
	hardware.NVMe:        {"NVMe", "NVMe", 1, true, false},
	hardware.Floppy:      {"I82078", "Floppy", 1, false, true},
}

// neededPorts is how many ports a controller has at least.
func (k vboxBus) neededPorts(c hardware.Controller) int {
	need := k.ports
	if n := len(c.Drives); k.variable && n > 0 {
		need = max(need, c.Drives[n-1].Port+1)
	}
	return need
}

func vboxStorage(b *builder, m hardware.Machine) {
	b.start("StorageControllers")
	taken := map[string]bool{}
	for _, c := range m.Controllers {
		taken[c.Name] = true
	}
	for _, c := range m.Controllers {
		kind := vboxBuses[c.Bus]
		name := c.Name
		for name == "" || name != c.Name && taken[name] {
			kind.name, name = kind.name+" Controller", kind.name
		}
		taken[name] = true
		ports := kind.neededPorts(c)
		if kind.variable {
			ports = max(ports, c.Ports)
		}
		attrs := []string{"name", name, "type", kind.typ, "PortCount", strconv.Itoa(ports), "useHostIOCache", boolean(kind.cached), "Bootable", "true"}
		if c.Bus == hardware.SATA {
			attrs = append(attrs, "IDE0MasterEmulationPort", "0", "IDE0SlaveEmulationPort", "1", "IDE1MasterEmulationPort", "2", "IDE1SlaveEmulationPort", "3")
		}
		if len(c.Drives) == 0 {
			b.empty("StorageController", attrs...)
			continue
		}
		b.start("StorageController", attrs...)
		for _, d := range c.Drives {
			vboxDrive(b, c.Bus, d)
		}
		b.finish()
	}
	b.finish()
}

func vboxDrive(b *builder, bus hardware.Bus, d hardware.Drive) {
	port, device := d.Port, 0
	switch bus {
	case hardware.IDE:
		port, device = d.Port/2, d.Port%2
	case hardware.Floppy:
		port, device = 0, d.Port
	}
	place := []string{"hotpluggable", "false", "port", strconv.Itoa(port), "device", strconv.Itoa(device)}
	attrs := map[hardware.DriveKind][]string{
		hardware.Disk: {"type", "HardDisk"}, hardware.CD: {"passthrough", "false", "type", "DVD"}, hardware.FloppyDrive: {"type", "Floppy"},
	}[d.Kind]
	attrs = append(attrs, place...)
	if d.File == "" || d.Kind == hardware.FloppyDrive {
		b.empty("AttachedDevice", attrs...)
		return
	}
	b.start("AttachedDevice", attrs...)
	b.empty("Image", "uuid", "{"+d.UUID+"}")
	b.finish()
}
