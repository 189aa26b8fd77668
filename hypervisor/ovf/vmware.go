package ovf

import (
	"fmt"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// writeVMware writes an OVF 1.x as ovftool does: sizes of files, sections of VMware's own for what OVF has no words for, none of them
// required, so that others can read on.
func writeVMware(b *builder, m hardware.Machine) {
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	b.start("Envelope", "xml:lang", "en-US", "xmlns", nsEnvelope1, "xmlns:ovf", nsEnvelope1, "xmlns:rasd", nsRASD,
		"xmlns:vmw", nsVMW, "xmlns:vssd", nsVSSD, "xmlns:xsi", nsXSI)
	at, nvram := vmwareFiles(b, m)
	vmwareNetworks(b, m)
	b.start("VirtualSystem", "ovf:id", "vm")
	b.text("Info", "A virtual machine")
	b.text("Name", m.Name)
	os := m.Guest.OS()
	b.start("OperatingSystemSection", "ovf:id", strconv.Itoa(os.CIM), "vmw:osType", os.VIM)
	b.text("Info", "The kind of installed guest operating system")
	b.finish()
	vmwareHardware(b, m, at, nvram)
	if m.Description != "" {
		b.start("AnnotationSection", "ovf:required", "false")
		b.text("Info", "A human-readable annotation")
		b.text("Annotation", m.Description)
		b.finish()
	}
	b.finish()
	b.finish()
}

// vmwareFiles writes the files and which of them are disks. It returns what is in which drive, and the id of the file of UEFI variables.
func vmwareFiles(b *builder, m hardware.Machine) (at map[slot]medium, nvram string) {
	files, at := media(m, func(hardware.Drive) bool { return true })
	b.start("References")
	for _, f := range files {
		attrs := []string{"ovf:href", f.File, "ovf:id", f.file}
		if f.Size > 0 {
			attrs = append(attrs, "ovf:size", strconv.FormatInt(f.Size, 10))
		}
		b.empty("File", attrs...)
	}
	if m.NVRAM != "" {
		nvram = "file" + strconv.Itoa(len(files)+1)
		b.empty("File", "ovf:href", m.NVRAM, "ovf:id", nvram)
	}
	b.finish()
	b.start("DiskSection")
	b.text("Info", "Virtual disk information")
	for _, f := range files {
		if f.Kind == hardware.Disk {
			b.empty("Disk", "ovf:capacity", strconv.FormatInt(f.Capacity, 10), "ovf:capacityAllocationUnits", "byte",
				"ovf:diskId", f.disk, "ovf:fileRef", f.file, "ovf:format", formatURI(f.Format))
		}
	}
	b.finish()
	return at, nvram
}

// vmwareNetwork is the name of the network that a card is on. Workstation's ovftool names the three kinds so.
func vmwareNetwork(n hardware.NIC) string {
	switch n.Connection {
	case hardware.Named:
		return n.Network
	case hardware.Internal, hardware.HostOnly:
		return "hostonly"
	case hardware.Bridged:
		return "bridged"
	}
	return "nat"
}

func vmwareNetworks(b *builder, m hardware.Machine) {
	if len(m.NICs) == 0 {
		return
	}
	b.start("NetworkSection")
	b.text("Info", "The list of logical networks")
	seen := map[string]bool{}
	for _, n := range m.NICs {
		name := vmwareNetwork(n)
		if seen[name] {
			continue
		}
		seen[name] = true
		b.start("Network", "ovf:name", name)
		b.text("Description", "The "+name+" network")
		b.finish()
	}
	b.finish()
}

func vmwareVersion(m hardware.Machine) int {
	if m.VMwareVersion == 0 {
		return hardware.DefaultVMwareVersion
	}
	return m.VMwareVersion
}

func vmwareHardware(b *builder, m hardware.Machine, at map[slot]medium, nvram string) {
	b.start("VirtualHardwareSection")
	b.text("Info", "Virtual hardware requirements")
	b.start("System")
	b.text("vssd:ElementName", "Virtual Hardware Family")
	b.text("vssd:InstanceID", "0")
	b.text("vssd:VirtualSystemIdentifier", m.Name)
	b.text("vssd:VirtualSystemType", fmt.Sprintf("vmx-%02d", vmwareVersion(m)))
	b.finish()
	list := &items{builder: b}
	list.vmwareProcessor(m)
	parents := list.vmwareControllers(m, at)
	list.vmwareDrives(m, at, parents)
	list.vmwareCards(m.NICs)
	list.vmwareExtras(m)
	if m.Firmware == hardware.UEFI {
		b.config("firmware", "efi")
	}
	if m.SecureBoot {
		b.config("bootOptions.efiSecureBootEnabled", "true")
	}
	if nvram != "" {
		b.empty("vmw:ExtraConfig", "ovf:required", "false", "vmw:key", "nvram", "vmw:value", "ovf:/file/"+nvram)
	}
	b.finish()
}

// config writes a setting of VMware's that others may leave out.
func (b *builder) config(key, value string) {
	b.empty("vmw:Config", "ovf:required", "false", "vmw:key", key, "vmw:value", value)
}

func (b *items) vmwareProcessor(m hardware.Machine) {
	cores := func() {
		if m.CoresPerSocket > 0 {
			b.text("vmw:CoresPerSocket", strconv.Itoa(m.CoresPerSocket), "ovf:required", "false")
		}
	}
	b.item(item{
		"AllocationUnits": "hertz * 10^6", "Description": "Number of Virtual CPUs",
		"ElementName": fmt.Sprintf("%d virtual CPU(s)", m.CPUs), "VirtualQuantity": strconv.Itoa(m.CPUs),
	}, typeCPU, true, cores)
	b.item(item{
		"AllocationUnits": "byte * 2^20", "Description": "Memory Size",
		"ElementName": fmt.Sprintf("%dMB of memory", m.MemoryMiB), "VirtualQuantity": strconv.Itoa(m.MemoryMiB),
	}, typeMemory, true)
}

// vmwareControllers writes the Items of controllers, and floppy drives, which have none. It returns their numbers by index; for
// IDE that of the first channel, one below the second's.
func (b *items) vmwareControllers(m hardware.Machine, at map[slot]medium) map[int]int {
	parents := map[int]int{}
	count := map[string]int{} // SCSI controllers count together, SATA and NVMe each for themselves
	for i, c := range m.Controllers {
		description, subType, kind, typ := "SCSI Controller", scsiSubType(c.Bus), "scsi", typeSCSI
		switch c.Bus {
		case hardware.Floppy:
			b.vmwareFloppies(i, c, at)
			continue
		case hardware.IDE:
			parents[i] = b.item(item{"Address": "0", "Description": "IDE Controller", "ElementName": "ideController0"}, typeIDE, true)
			b.item(item{"Address": "1", "Description": "IDE Controller", "ElementName": "ideController1"}, typeIDE, true)
			continue
		case hardware.SATA:
			description, subType, kind, typ = "SATA Controller", "vmware.sata.ahci", "sata", typeStorage
		case hardware.NVMe:
			description, subType, kind, typ = "NVMe Controller", "vmware.nvme.controller", "nvme", typeStorage
		}
		n := strconv.Itoa(count[kind])
		count[kind]++
		parents[i] = b.item(item{"Address": n, "Description": description, "ElementName": kind + "Controller" + n, "ResourceSubType": subType}, typ, true)
	}
	return parents
}

func (b *items) vmwareFloppies(i int, c hardware.Controller, at map[slot]medium) {
	for _, d := range c.Drives {
		it := item{
			"AddressOnParent": strconv.Itoa(d.Port), "AutomaticAllocation": "false", "Description": "Floppy Drive",
			"ElementName": "floppy" + strconv.Itoa(d.Port), "ResourceSubType": "vmware.floppy.remotedevice",
		}
		if d.File != "" {
			it["HostResource"], it["ResourceSubType"] = "ovf:/file/"+at[slot{i, d.Port}].file, "vmware.floppy.image"
		}
		b.item(it, typeFloppy, false)
	}
}

func (b *items) vmwareDrives(m hardware.Machine, at map[slot]medium, parents map[int]int) {
	place := func(s slot, bus hardware.Bus) item {
		parent, port := parents[s.controller], s.port
		if bus == hardware.IDE {
			parent, port = parent+port/2, port%2
		}
		return item{"AddressOnParent": strconv.Itoa(port), "Parent": strconv.Itoa(parent)}
	}
	disks, cds := 0, 0
	eachDrive(m, hardware.Disk, func(s slot, bus hardware.Bus, _ hardware.Drive) {
		it := place(s, bus).set("ElementName", "disk"+strconv.Itoa(disks)).set("HostResource", "ovf:/disk/"+at[s].disk)
		b.item(it, typeDisk, true)
		disks++
	})
	eachDrive(m, hardware.CD, func(s slot, bus hardware.Bus, d hardware.Drive) {
		it := place(s, bus).set("ElementName", "cdrom"+strconv.Itoa(cds)).set("AutomaticAllocation", "false").
			set("ResourceSubType", "vmware.cdrom.remotepassthrough")
		if d.File != "" {
			it.set("AutomaticAllocation", "true").set("ResourceSubType", "vmware.cdrom.iso").set("HostResource", "ovf:/file/"+at[s].file)
		}
		b.item(it, typeCD, d.File != "")
		cds++
	})
}

// vmwareModels are OVF's names of VMware's network cards.
var vmwareModels = map[hardware.NICModel]string{
	hardware.E1000: "E1000", hardware.E1000e: "E1000e", hardware.VMXNet3: "VmxNet3", hardware.PCNet: "PCNet32",
}

// vmwareCards writes network cards, with their MAC where ovftool --exportFlags=mac has it.
func (b *items) vmwareCards(cards []hardware.NIC) {
	for i, n := range cards {
		network := vmwareNetwork(n)
		b.item(item{
			"AddressOnParent": strconv.Itoa(i), "Connection": network, "ElementName": "ethernet" + strconv.Itoa(i),
			"AutomaticAllocation": boolean(!n.Unplugged && n.Connection != hardware.Detached),
			"Description":         fmt.Sprintf("%s ethernet adapter on %q", vmwareModels[n.Model], network),
			"ResourceSubType":     vmwareModels[n.Model],
		}.set("Address", n.MAC), typeEthernet, true)
	}
}

// vmwareSounds are OVF's names of VMware's sound cards.
var vmwareSounds = map[hardware.Sound]string{
	hardware.HDA: "vmware.soundcard.hdaudio", hardware.SB16: "vmware.soundcard.sb16", hardware.ES1371: "vmware.soundcard.ensoniq1371",
}

func (b *items) vmwareExtras(m hardware.Machine) {
	if m.VideoMiB > 0 {
		b.item(item{"AutomaticAllocation": "false", "ElementName": "video"}, typeGraphics, false, func() {
			b.config("videoRamSizeInKB", strconv.Itoa(m.VideoMiB<<10))
		})
	}
	if subType := vmwareSounds[m.Sound]; subType != "" {
		b.item(item{"AutomaticAllocation": "false", "ElementName": "sound", "ResourceSubType": subType}, typeOther, false)
	}
	switch m.USB {
	case hardware.USB1, hardware.USB2:
		b.item(item{"Address": "0", "Description": "USB Controller (EHCI)", "ElementName": "usb", "ResourceSubType": "vmware.usb.ehci"}, typeUSB, false, func() {
			b.config("ehciEnabled", boolean(m.USB == hardware.USB2))
		})
	case hardware.USB3:
		b.item(item{"Address": "0", "Description": "USB Controller (XHCI)", "ElementName": "usb", "ResourceSubType": "vmware.usb.xhci"}, typeUSB, false)
	}
}
