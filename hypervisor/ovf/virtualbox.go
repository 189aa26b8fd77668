package ovf

import (
	"fmt"
	"strconv"

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
