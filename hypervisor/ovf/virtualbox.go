package ovf

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// writeVirtualBox writes an OVF 1.0 as VirtualBox does (ApplianceImplExport.cpp): Items in two passes, because drives name their
// controllers, and the machine's settings once more in vbox:Machine, which is what VirtualBox goes by when it imports.
func writeVirtualBox(b *builder, m hardware.Machine) {
	files, at := media(m, func(d hardware.Drive) bool { return d.Kind != hardware.FloppyDrive })
	b.WriteString("<?xml version=\"1.0\"?>\n")
	b.start("Envelope", "ovf:version", "1.0", "xml:lang", "en-US", "xmlns", nsEnvelope1, "xmlns:ovf", nsEnvelope1, "xmlns:rasd", nsRASD,
		"xmlns:vssd", nsVSSD, "xmlns:xsi", nsXSI, "xmlns:vbox", nsVBox)
	b.start("References")
	for _, f := range files {
		b.empty("File", "ovf:id", f.file, "ovf:href", f.File)
	}
	b.finish()
	b.start("DiskSection")
	b.text("Info", "List of the virtual disks used in the package")
	for _, f := range files {
		uri, capacity := formatURI(f.Format), f.Capacity
		if f.Kind == hardware.CD {
			uri, capacity = uriISO, f.Size
		}
		b.empty("Disk", "ovf:capacity", strconv.FormatInt(capacity, 10), "ovf:diskId", f.disk, "ovf:fileRef", f.file,
			"ovf:format", uri, "vbox:uuid", f.UUID)
	}
	b.finish()
	vboxNetworks(b, m)
	b.start("VirtualSystem", "ovf:id", m.Name)
	b.text("Info", "A virtual machine")
	if m.Description != "" {
		b.start("AnnotationSection")
		b.text("Info", "A human-readable annotation")
		b.text("Annotation", m.Description)
		b.finish()
	}
	os := m.Guest.OS()
	b.start("OperatingSystemSection", "ovf:id", strconv.Itoa(os.CIM))
	b.text("Info", "The kind of installed guest operating system")
	b.text("Description", hardware.GuestOfCIM(os.CIM).OS().VirtualBox)
	b.text("vbox:OSType", os.VirtualBox, "ovf:required", "false")
	b.finish()
	vboxItems(b, m, at)
	vboxMachine(b, m)
	b.finish()
	b.finish()
}

func vboxNetworks(b *builder, m hardware.Machine) {
	b.start("NetworkSection")
	b.text("Info", "Logical networks used in the package")
	seen := map[string]bool{}
	for _, n := range m.NICs {
		name := vboxConnection(n.Connection)
		if seen[name] {
			continue
		}
		seen[name] = true
		b.start("Network", "ovf:name", name)
		b.text("Description", "Logical network used by this appliance.")
		b.finish()
	}
	b.finish()
}

func vboxConnection(c hardware.Connection) string {
	return map[hardware.Connection]string{
		hardware.NAT: "NAT", hardware.Bridged: "Bridged", hardware.HostOnly: "HostOnly", hardware.Internal: "Internal",
		hardware.Named: "NATNetwork", hardware.Detached: "Null",
	}[c]
}

func vboxItems(b *builder, m hardware.Machine, at map[slot]medium) {
	b.start("VirtualHardwareSection")
	b.text("Info", "Virtual hardware requirements for a virtual machine")
	b.start("System")
	b.text("vssd:ElementName", "Virtual Hardware Family")
	b.text("vssd:InstanceID", "0")
	b.text("vssd:VirtualSystemIdentifier", m.Name)
	b.text("vssd:VirtualSystemType", "virtualbox-2.2")
	b.finish()
	list := &items{builder: b}
	list.vbox(fmt.Sprintf("%d virtual CPU", m.CPUs), "Number of virtual CPUs", typeCPU, item{"VirtualQuantity": strconv.Itoa(m.CPUs)})
	list.vbox(fmt.Sprintf("%d MB of memory", m.MemoryMiB), "Memory Size", typeMemory,
		item{"AllocationUnits": "MegaBytes", "VirtualQuantity": strconv.Itoa(m.MemoryMiB)})
	parents := list.vboxControllers(m)
	if m.USB != hardware.NoUSB {
		list.vbox("usb", "USB Controller", typeUSB, item{"Address": "0"})
	}
	if m.Sound != hardware.NoSound {
		list.vbox("sound", "Sound Card", typeSound, item{"AddressOnParent": "3", "AutomaticAllocation": "false", "ResourceSubType": "ensoniq1371"})
	}
	list.vboxDrives(m, at, parents)
	for _, n := range m.NICs {
		connection := vboxConnection(n.Connection)
		it := item{"AutomaticAllocation": "true", "Connection": connection}
		list.vbox("Ethernet adapter on '"+connection+"'", "", typeEthernet, it.set("ResourceSubType", vboxSubType(n.Model)))
	}
	b.finish()
}

// vboxSubType: OVF's words are coarser than VirtualBox's; it has none for virtio.
func vboxSubType(m hardware.NICModel) string {
	switch m {
	case hardware.PCNet, hardware.PCNetFast:
		return "PCNet32"
	case hardware.Virtio:
		return ""
	}
	return "E1000"
}

// vbox writes an Item with its caption as the name, too.
func (b *items) vbox(caption, description string, resourceType int, it item) int {
	it["Caption"], it["ElementName"] = caption, caption
	return b.item(it.set("Description", description), resourceType, true)
}

// vboxControllers writes the Items of controllers in VirtualBox's order and returns their numbers by bus. The number of the second channel
// of IDE is one more than that of the first.
func (b *items) vboxControllers(m hardware.Machine) map[hardware.Bus]int {
	parents := map[hardware.Bus]int{}
	for _, bus := range []hardware.Bus{
		hardware.IDE, hardware.SATA, hardware.LsiLogic, hardware.BusLogic, hardware.LsiLogicSAS,
		hardware.VirtioSCSI, hardware.NVMe, hardware.Floppy,
	} {
		for _, c := range m.Controllers {
			if c.Bus == bus {
				parents[bus] = b.vboxController(c)
			}
		}
	}
	return parents
}

func (b *items) vboxController(c hardware.Controller) int {
	other := func(caption, description, subType string) int {
		return b.vbox(caption, description, typeStorage, item{"Address": "0", "ResourceSubType": subType})
	}
	switch c.Bus {
	case hardware.IDE:
		first := b.vbox("ideController0", "IDE Controller", typeIDE, item{"Address": "0", "ResourceSubType": "PIIX4"})
		b.vbox("ideController1", "IDE Controller", typeIDE, item{"Address": "1", "ResourceSubType": "PIIX4"})
		return first
	case hardware.SATA:
		return other("sataController0", "SATA Controller", "AHCI")
	case hardware.VirtioSCSI:
		return other("virtioSCSIController0", "VirtioSCSI Controller", "VirtioSCSI")
	case hardware.NVMe:
		return other("nvmeController0", "NVMe Controller", "NVMe")
	case hardware.Floppy:
		for range c.Drives {
			b.vbox("floppy0", "Floppy Drive", typeFloppy, item{"AddressOnParent": "0", "AutomaticAllocation": "false"})
		}
		return 0
	}
	return b.vbox("scsiController0", "SCSI Controller", typeSCSI, item{"Address": "0", "ResourceSubType": scsiSubType(c.Bus)})
}

func scsiSubType(bus hardware.Bus) string {
	return map[hardware.Bus]string{
		hardware.LsiLogic: "lsilogic", hardware.LsiLogicSAS: "lsilogicsas", hardware.BusLogic: "buslogic", hardware.PVSCSI: "VirtualSCSI",
	}[bus]
}

// vboxDrives writes disks and CD drives under their controllers.
func (b *items) vboxDrives(m hardware.Machine, at map[slot]medium, parents map[hardware.Bus]int) {
	place := func(bus hardware.Bus, port int) item {
		parent := parents[bus]
		if bus == hardware.IDE {
			parent, port = parent+port/2, port%2
		}
		return item{"AddressOnParent": strconv.Itoa(port), "Parent": strconv.Itoa(parent)}
	}
	disks, cds := 0, 0
	eachDrive(m, hardware.Disk, func(s slot, bus hardware.Bus, d hardware.Drive) {
		disks++
		b.vbox("disk"+strconv.Itoa(disks), "Disk Image", typeDisk, place(bus, d.Port).set("HostResource", "/disk/"+at[s].disk))
	})
	eachDrive(m, hardware.CD, func(s slot, bus hardware.Bus, d hardware.Drive) {
		cds++
		it := place(bus, d.Port).set("AutomaticAllocation", "true")
		if d.File != "" {
			it.set("HostResource", "/disk/"+at[s].disk)
		}
		b.vbox("cdrom"+strconv.Itoa(cds), "CD-ROM Drive", typeCD, it)
	})
}

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
