package ovf

import (
	"bytes"
	"encoding/xml"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// The namespaces.
const (
	nsEnvelope09 = "http://www.vmware.com/schema/ovf/1/envelope"
	nsEnvelope1  = "http://schemas.dmtf.org/ovf/envelope/1"
	nsEnvelope2  = "http://schemas.dmtf.org/ovf/envelope/2"
	nsRASD       = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
	nsVSSD       = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
	nsXSI        = "http://www.w3.org/2001/XMLSchema-instance"
	nsVBox       = "http://www.virtualbox.org/ovf/machine"
	nsVMW        = "http://www.vmware.com/schema/ovf"
)

// The resource types of Items, CIM_ResourceAllocationSettingData.ResourceType.
const (
	typeOther    = 1 // VMware's sound cards
	typeCPU      = 3
	typeMemory   = 4
	typeIDE      = 5
	typeSCSI     = 6
	typeEthernet = 10
	typeFloppy   = 14
	typeCD       = 15
	typeDVD      = 16
	typeDisk     = 17
	typeStorage  = 20 // SATA, NVMe, virtio
	typeSerial   = 21
	typeUSB      = 23
	typeGraphics = 24
	typeSound    = 35 // VirtualBox's sound cards
)

// The formats of disks, by URI.
const (
	uriStream = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
	uriSparse = "http://www.vmware.com/specifications/vmdk.html#sparse"
	uriVHD    = "http://go.microsoft.com/fwlink/?LinkId=137171"
	uriISO    = "http://www.ecma-international.org/publications/standards/Ecma-119.htm"
)

func formatURI(f hardware.DiskFormat) string {
	return map[hardware.DiskFormat]string{hardware.StreamVMDK: uriStream, hardware.SparseVMDK: uriSparse, hardware.VHD: uriVHD}[f]
}

// builder writes indented XML. Attributes are pairs of name and value.
type builder struct {
	bytes.Buffer
	open []string
}

func (b *builder) indent() { b.WriteString(strings.Repeat("  ", len(b.open))) }

func (b *builder) escape(s string) {
	_ = xml.EscapeText(b, []byte(s)) // a Buffer takes everything
}

func (b *builder) tag(name string, attrs []string, end string) {
	b.indent()
	b.WriteString("<" + name)
	for i := 0; i+1 < len(attrs); i += 2 {
		b.WriteString(" " + attrs[i] + `="`)
		b.escape(attrs[i+1])
		b.WriteString(`"`)
	}
	b.WriteString(end)
}

// start opens an element, whose content follows until finish.
func (b *builder) start(name string, attrs ...string) {
	b.tag(name, attrs, ">\n")
	b.open = append(b.open, name)
}

func (b *builder) finish() {
	name := b.open[len(b.open)-1]
	b.open = b.open[:len(b.open)-1]
	b.indent()
	b.WriteString("</" + name + ">\n")
}

// empty writes an element without content.
func (b *builder) empty(name string, attrs ...string) { b.tag(name, attrs, "/>\n") }

// text writes an element that holds text.
func (b *builder) text(name, content string, attrs ...string) {
	b.tag(name, attrs, ">")
	b.escape(content)
	b.WriteString("</" + name + ">\n")
}

// item is an Item by the names of its rasd elements. They are written in the alphabetical order that the schema wants and VMware insists on.
type item map[string]string

// set adds elements whose value is not empty.
func (it item) set(name, value string) item {
	if value != "" {
		it[name] = value
	}
	return it
}

// item writes an Item, with the next InstanceID. What more adds follows the rasd elements.
func (b *items) item(it item, resourceType int, required bool, more ...func()) int {
	b.last++
	it["InstanceID"] = strconv.Itoa(b.last)
	it["ResourceType"] = strconv.Itoa(resourceType)
	if required {
		b.start("Item")
	} else {
		b.start("Item", "ovf:required", "false")
	}
	for _, name := range slices.Sorted(maps.Keys(it)) {
		b.text("rasd:"+name, it[name])
	}
	for _, add := range more {
		add()
	}
	b.finish()
	return b.last
}

// items numbers the Items of a section.
type items struct {
	*builder
	last int
}

// medium is a file of a package and the drive that it is in.
type medium struct {
	hardware.Drive
	disk, file string // ids
}

// slot names a drive of a machine: the controller's index and the port.
type slot struct{ controller, port int }

// media numbers the files of a machine: disks first, then what is in its other drives.
func media(m hardware.Machine, with func(hardware.Drive) bool) ([]medium, map[slot]medium) {
	var list []medium
	at := map[slot]medium{}
	for _, kind := range []hardware.DriveKind{hardware.Disk, hardware.CD, hardware.FloppyDrive} {
		for i, c := range m.Controllers {
			for _, d := range c.Drives {
				if d.Kind != kind || d.File == "" || !with(d) {
					continue
				}
				n := strconv.Itoa(len(list) + 1)
				med := medium{Drive: d, disk: "vmdisk" + n, file: "file" + n}
				if kind == hardware.CD {
					med.disk = "iso" + n
				}
				list = append(list, med)
				at[slot{i, d.Port}] = med
			}
		}
	}
	return list, at
}

// eachDrive calls f for the drives of a kind, controller by controller.
func eachDrive(m hardware.Machine, kind hardware.DriveKind, f func(s slot, bus hardware.Bus, d hardware.Drive)) {
	for i, c := range m.Controllers {
		for _, d := range c.Drives {
			if d.Kind == kind {
				f(slot{i, d.Port}, c.Bus, d)
			}
		}
	}
}

func boolean(v bool) string { return strconv.FormatBool(v) }
