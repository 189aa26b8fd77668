package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// The writer of descriptors follows ApplianceImplExport.cpp: two passes of items, no sizes of files, the whole machine once
// more in a vbox:Machine.

const (
	streamURI = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
	isoURI    = "http://www.ecma-international.org/publications/standards/Ecma-119.htm"
	vboxNS    = "http://www.virtualbox.org/ovf/machine"
	cimNS     = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
	envelope1 = "http://schemas.dmtf.org/ovf/envelope/1"
	envelope2 = "http://schemas.dmtf.org/ovf/envelope/2"
	envelope0 = "http://www.vmware.com/schema/ovf/1/envelope"
)

// exportedFile is a disk or CD of an appliance.
type exportedFile struct {
	name, uuid string
	capacity   int64
	iso        bool
	medium     string // UUID of the medium that it comes from
}

// descriptor writes an OVF file.
type descriptor struct {
	c       *call
	s       *state
	m       *machine
	o       exportOptions
	files   []exportedFile
	b       strings.Builder
	next    int            // InstanceID
	parents map[string]int // "bus port" of a controller to the InstanceID
}

// x escapes a text.
func x(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}

func (d *descriptor) line(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

func (d *descriptor) write() string {
	ns, version := envelope1, "1.0"
	extra := ""
	if d.o.ovf20 {
		ns, version = envelope2, "2.0"
		extra = fmt.Sprintf(" xmlns:epasd=\"%sCIM_EthernetPortAllocationSettingData.xsd\" xmlns:sasd=\"%sCIM_StorageAllocationSettingData.xsd\"", cimNS, cimNS)
	}
	d.line(`<?xml version="1.0"?>`)
	d.line(`<Envelope ovf:version="%s" xml:lang="en-US" xmlns="%s" xmlns:ovf="%s" xmlns:rasd="%sCIM_ResourceAllocationSettingData" xmlns:vssd="%sCIM_VirtualSystemSettingData" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:vbox="%s"%s>`,
		version, ns, ns, cimNS, cimNS, vboxNS, extra)
	d.references()
	d.networks()
	d.line(`  <VirtualSystem ovf:id="%s">`, x(d.name()))
	d.line(`    <Info>A virtual machine</Info>`)
	d.product()
	d.operatingSystem()
	d.hardware()
	d.vboxMachine()
	d.line(`  </VirtualSystem>`)
	d.line(`</Envelope>`)
	return d.b.String()
}

func (d *descriptor) name() string { return cmp.Or(d.o.vsys["vmname"], d.m.Name) }

func (d *descriptor) references() {
	d.line(`  <References>`)
	for i, f := range d.files {
		d.line(`    <File ovf:id="file%d" ovf:href="%s"/>`, i+1, x(f.name))
	}
	d.line("  </References>\n  <DiskSection>\n    <Info>List of the virtual disks used in the package</Info>")
	for i, f := range d.files {
		if f.iso {
			d.line(`    <Disk ovf:diskId="vmdisk%d" ovf:fileRef="file%d" ovf:format="%s" vbox:uuid="%s"/>`, i+1, i+1, isoURI, f.uuid)
			continue
		}
		d.line(`    <Disk ovf:capacity="%d" ovf:diskId="vmdisk%d" ovf:fileRef="file%d" ovf:format="%s" vbox:uuid="%s"/>`, f.capacity, i+1, i+1, streamURI, f.uuid)
	}
	d.line(`  </DiskSection>`)
}

// connection is what a card's network is called.
func connection(n nic) string {
	return map[string]string{"nat": "NAT", "bridged": "Bridged", "intnet": "Internal", "hostonly": "HostOnly", "natnetwork": "NATNetwork"}[n.Type]
}

func (d *descriptor) networks() {
	var names []string
	for _, n := range d.m.NICs {
		if name := connection(n); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	d.line("  <NetworkSection>\n    <Info>Logical networks used in the package</Info>")
	for _, name := range names {
		d.line("    <Network ovf:name=\"%s\">\n      <Description>Logical network used by this appliance.</Description>\n    </Network>", name)
	}
	d.line("  </NetworkSection>")
}

// product are the sections of what was said with --vsys.
func (d *descriptor) product() {
	v := d.o.vsys
	if v["product"]+v["vendor"]+v["version"]+v["producturl"]+v["vendorurl"] != "" {
		d.line("    <ProductSection>\n      <Info>Meta-information about the installed software</Info>")
		for _, e := range [][2]string{{"Product", "product"}, {"Vendor", "vendor"}, {"Version", "version"}, {"ProductUrl", "producturl"}, {"VendorUrl", "vendorurl"}} {
			if v[e[1]] != "" {
				d.line("      <%s>%s</%s>", e[0], x(v[e[1]]), e[0])
			}
		}
		d.line("    </ProductSection>")
	}
	if v["description"] != "" {
		d.line("    <AnnotationSection>\n      <Info>A human-readable annotation</Info>\n      <Annotation>%s</Annotation>\n    </AnnotationSection>", x(v["description"]))
	}
	if v["eula"] != "" {
		d.line("    <EulaSection>\n      <Info>License agreement for the virtual system</Info>\n      <License>%s</License>\n    </EulaSection>", x(v["eula"]))
	}
}

func (d *descriptor) operatingSystem() {
	number, back := cimOf(d.m.OSType)
	d.line("    <OperatingSystemSection ovf:id=\"%d\">\n      <Info>The kind of installed guest operating system</Info>", number)
	d.line("      <Description>%s</Description>\n      <vbox:OSType ovf:required=\"false\">%s</vbox:OSType>\n    </OperatingSystemSection>", back, d.m.OSType)
}

// element is a child of an item, given in any order.
type element struct{ name, value string }

// item writes a hardware item with its children in alphabetical order, and returns its InstanceID.
func (d *descriptor) item(kind string, elements ...element) int {
	tag, prefix := "Item", "rasd"
	if d.o.ovf20 {
		switch kind {
		case "storage":
			tag, prefix = "StorageItem", "sasd"
		case "ethernet":
			tag, prefix = "EthernetPortItem", "epasd"
		}
	}
	d.next++
	elements = append(elements, element{"InstanceID", fmt.Sprint(d.next)})
	slices.SortFunc(elements, func(a, b element) int { return strings.Compare(a.name, b.name) })
	d.line("      <%s>", tag)
	for _, e := range elements {
		d.line("        <%s:%s>%s</%s:%s>", prefix, e.name, x(e.value), prefix, e.name)
	}
	d.line("      </%s>", tag)
	return d.next
}

func titled(caption, description, resource string, more ...element) []element {
	return append(more, element{"Caption", caption}, element{"ElementName", caption}, element{"Description", description}, element{"ResourceType", resource})
}

func (d *descriptor) hardware() {
	d.line("    <VirtualHardwareSection>\n      <Info>Virtual hardware requirements for a virtual machine</Info>")
	d.line("      <System>\n        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>\n        <vssd:InstanceID>0</vssd:InstanceID>")
	d.line("        <vssd:VirtualSystemIdentifier>%s</vssd:VirtualSystemIdentifier>\n        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>\n      </System>", x(d.name()))
	cpus, memory := d.m.Settings["cpus"], d.m.Settings["memory"]
	d.item("", titled(cpus+" virtual CPU", "Number of virtual CPUs", "3", element{"VirtualQuantity", cpus})...)
	d.item("", titled(memory+" MB of memory", "Memory Size", "4", element{"VirtualQuantity", memory}, element{"AllocationUnits", "MegaBytes"})...)
	d.parents = map[string]int{}
	for _, bus := range []string{"ide", "sata", "scsi", "sas", "virtio"} {
		d.controllers(bus)
	}
	d.pass1Rest()
	d.disks()
	d.cards()
	d.line("    </VirtualHardwareSection>")
}

func (d *descriptor) controllers(bus string) {
	i := 0
	for _, ctl := range d.m.Storage {
		if ctl.Bus != bus {
			continue
		}
		switch bus {
		case "ide":
			for channel := range 2 {
				name := fmt.Sprintf("ideController%d", channel)
				id := d.item("", titled(name, "IDE Controller", "5", element{"Address", fmt.Sprint(channel)}, element{"ResourceSubType", ctl.Type})...)
				d.parents[fmt.Sprintf("%s %d", ctl.Name, channel)] = id
			}
			continue
		case "sata":
			name := fmt.Sprintf("sataController%d", i)
			d.parents[ctl.Name] = d.item("", titled(name, "SATA Controller", "20", element{"Address", fmt.Sprint(i)}, element{"ResourceSubType", "AHCI"})...)
		case "virtio":
			name := fmt.Sprintf("virtioSCSIController%d", i)
			d.parents[ctl.Name] = d.item("", titled(name, "Virtio SCSI Controller", "20", element{"Address", fmt.Sprint(i)}, element{"ResourceSubType", "VirtioSCSI"})...)
		default:
			name := fmt.Sprintf("scsiController%d", i)
			d.parents[ctl.Name] = d.item("", titled(name, "SCSI Controller", "6", element{"Address", fmt.Sprint(i)}, element{"ResourceSubType", strings.ToLower(ctl.Type)})...)
		}
		i++
	}
}

// pass1Rest are floppy, USB and sound.
func (d *descriptor) pass1Rest() {
	for _, ctl := range d.m.Storage {
		if ctl.Bus == "floppy" {
			d.item("", titled("floppy0", "Floppy Drive", "14", element{"AutomaticAllocation", "false"}, element{"AddressOnParent", "0"})...)
		}
	}
	if d.m.Settings["usb"] == "on" || d.m.Settings["usbehci"] == "on" {
		d.item("", titled("usb", "USB Controller", "23", element{"Address", "0"})...)
	}
	if d.m.Settings["audio"] != "none" {
		d.item("", titled("sound", "Sound Card", "35", element{"AddressOnParent", "3"}, element{"AutomaticAllocation", "false"}, element{"ResourceSubType", "ensoniq1371"})...)
	}
}

// place is the parent and the address of a drive.
func (d *descriptor) place(ctl *controller, a *attachment) []element {
	if ctl.Bus == "ide" {
		return []element{{"Parent", fmt.Sprint(d.parents[fmt.Sprintf("%s %d", ctl.Name, a.Port)])}, {"AddressOnParent", fmt.Sprint(a.Device)}}
	}
	return []element{{"Parent", fmt.Sprint(d.parents[ctl.Name])}, {"AddressOnParent", fmt.Sprint(a.Port)}}
}

func (d *descriptor) disks() {
	disk, cd := 0, 0
	for _, kind := range []string{"hdd", "dvddrive"} {
		for _, ctl := range d.m.Storage {
			for _, a := range ctl.Attached {
				if a.Type != kind || ctl.Bus == "pcie" || ctl.Bus == "floppy" || ctl.Bus == "usb" {
					continue
				}
				more := d.place(ctl, a)
				if i := slices.IndexFunc(d.files, func(f exportedFile) bool { return f.medium == a.Medium }); i >= 0 {
					more = append(more, element{"HostResource", fmt.Sprintf("/disk/vmdisk%d", i+1)})
				}
				if kind == "hdd" {
					disk++
					d.item("storage", titled(fmt.Sprintf("disk%d", disk), "Disk Image", "17", more...)...)
					continue
				}
				cd++
				d.item("storage", titled(fmt.Sprintf("cdrom%d", cd), "CD-ROM Drive", "15", append(more, element{"AutomaticAllocation", "true"})...)...)
			}
		}
	}
}

func (d *descriptor) cards() {
	types := map[string]string{"Am79C970A": "PCNet32", "Am79C973": "PCNet32", "virtio": "VirtioNet"}
	for _, n := range d.m.NICs {
		name := connection(n)
		if name == "" {
			continue
		}
		caption := fmt.Sprintf("Ethernet adapter on '%s'", name)
		d.item("ethernet", element{"AutomaticAllocation", "true"}, element{"Caption", caption}, element{"Connection", name}, element{"ElementName", caption},
			element{"ResourceSubType", cmp.Or(types[n.Model], "E1000")}, element{"ResourceType", "10"})
	}
}
