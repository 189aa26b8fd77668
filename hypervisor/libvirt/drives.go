package libvirt

import (
	"fmt"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// layer is an image under an overlay.
type layer struct {
	Path   string `xml:"path,attr" json:"path"`
	Format string `xml:"format,attr" json:"format"`
}

const (
	deviceDisk   = "disk"
	deviceCD     = "cdrom"
	deviceFloppy = "floppy"
)

// drive is one disk, CD or floppy, ours or one that qemuargs add.
type drive struct {
	path, format, device   string
	bus                    string // virtio, sata, scsi, virtio-scsi, ide, fdc; empty: the machine's usual one
	cache, discard, zeroes string
	backing                []layer // from the top down
	readOnly               bool
}

// The SCSI controller behind disk_interface "scsi". QEMU's own if=scsi has had no controller since machine types of 2012;
// of those it has, the LSI SAS 1068 is the one that SeaBIOS, OVMF and Linux (mptsas) all drive.
const lsiModel = "lsisas1068"

// busPlan gives every drive its place, counting the units of each bus.
type busPlan struct {
	hw    *hardware
	used  map[string]int // drives so far by bus
	names map[string]int // device names so far by prefix
	scsi  []string       // controller models by index
}

// disks turns the drives into XML together with the controllers that they need.
func (hw *hardware) disks() ([]libvirtxml.DomainDisk, []libvirtxml.DomainController, error) {
	plan := busPlan{hw: hw, used: map[string]int{}, names: map[string]int{}}
	boots := hw.bootOrder()
	var disks []libvirtxml.DomainDisk
	for _, d := range hw.drives {
		x, err := plan.disk(d)
		if err != nil {
			return nil, nil, err
		}
		if order, ok := boots[d.device]; ok { // only the first of a kind
			x.Boot = &libvirtxml.DomainDeviceBoot{Order: order}
			delete(boots, d.device)
		}
		disks = append(disks, x)
	}
	return disks, plan.controllers(), nil
}

// bootOrder tells the place of each kind of drive. An empty disk falls through to the CD under SeaBIOS and OVMF, so the
// disk can come first and an installer does not start again after its reboot.
func (hw *hardware) bootOrder() map[string]uint {
	kinds := map[rune]string{'a': deviceFloppy, 'c': deviceDisk, 'd': deviceCD, 'n': "network"}
	order := map[string]uint{}
	for _, letter := range hw.boot {
		if kind := kinds[letter]; kind != "" && order[kind] == 0 {
			order[kind] = uint(len(order) + 1)
		}
	}
	return order
}

func (p *busPlan) disk(d drive) (libvirtxml.DomainDisk, error) {
	bus := p.bus(d)
	device := d.device
	if device == deviceCD && bus == "virtio" {
		device = deviceDisk // virtio has no CD drives: the guest sees a read-only disk, as under Packer
	}
	x := libvirtxml.DomainDisk{
		Device: device,
		Driver: &libvirtxml.DomainDiskDriver{
			Name: "qemu", Type: d.format, Cache: d.cache, Discard: d.discard, DetectZeros: d.zeroes,
		},
		Source:       p.source(d.path, d.readOnly),
		BackingStore: p.backing(d.backing),
	}
	if d.readOnly {
		x.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	return x, p.place(&x, bus)
}

// source is the file, unless QEMU can read it anyway without libvirt's help: then libvirt is told to leave its owner
// alone, which matters for media that belong to the user or serve two machines at once.
func (p *busPlan) source(path string, readOnly bool) *libvirtxml.DomainDiskSource {
	src := &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
	if readOnly && p.hw.host.asIs(path) {
		src.File.SecLabel = []libvirtxml.DomainDeviceSecLabel{{Model: "dac", Relabel: "no"}}
	}
	return src
}

func (p *busPlan) backing(chain []layer) *libvirtxml.DomainDiskBackingStore {
	return backingStore(chain, func(path string) *libvirtxml.DomainDiskSource { return p.source(path, true) })
}

// backingStore writes a chain of images, each over the next.
func backingStore(chain []layer, source func(path string) *libvirtxml.DomainDiskSource) *libvirtxml.DomainDiskBackingStore {
	if len(chain) == 0 {
		return nil
	}
	return &libvirtxml.DomainDiskBackingStore{
		Format:       &libvirtxml.DomainDiskFormat{Type: chain[0].Format},
		Source:       source(chain[0].Path),
		BackingStore: backingStore(chain[1:], source),
	}
}

// bus resolves the bus of a drive on this machine: q35 has no IDE, and an ISO under virt needs a SCSI controller.
func (p *busPlan) bus(d drive) string {
	chipset := p.hw.chipset()
	switch {
	case d.bus == "" && chipset == "virt":
		return "virtio-scsi"
	case d.bus == "" && chipset == "pc":
		return "ide"
	case d.bus == "", d.bus == "ide" && chipset == "q35":
		return "sata"
	}
	return d.bus
}

// place sets the target and the address of a disk.
func (p *busPlan) place(x *libvirtxml.DomainDisk, bus string) error {
	n := p.used[bus]
	p.used[bus]++
	switch bus {
	case "virtio":
		x.Target = p.target("vd", "virtio")
	case "fdc":
		x.Target = p.target("fd", "fdc")
	case "ide":
		if n >= 4 {
			return fmt.Errorf("%q: an ide controller takes 4 drives; use virtio, sata or scsi for some of them", x.Source.File.File)
		}
		x.Target, x.Address = p.target("hd", "ide"), driveAddress(0, n/2, n%2)
	case "sata":
		if n >= 6 {
			return fmt.Errorf("%q: a sata controller takes 6 drives; use virtio or scsi for some of them", x.Source.File.File)
		}
		x.Target, x.Address = p.target("sd", "sata"), driveAddress(0, 0, n)
	case "scsi":
		x.Target, x.Address = p.target("sd", "scsi"), driveAddress(p.controller(lsiModel), 0, n)
	case "virtio-scsi":
		x.Target, x.Address = p.target("sd", "scsi"), driveAddress(p.controller("virtio-scsi"), 0, n)
	default:
		return fmt.Errorf("%q: unknown bus %q; use one of %s", x.Source.File.File, bus, strings.Join(diskBuses, ", "))
	}
	return nil
}

func (p *busPlan) target(prefix, bus string) *libvirtxml.DomainDiskTarget {
	n := p.names[prefix]
	p.names[prefix]++
	return &libvirtxml.DomainDiskTarget{Dev: prefix + string(rune('a'+n%26)), Bus: bus}
}

// controller returns the index of the SCSI controller of that model.
func (p *busPlan) controller(model string) int {
	for i, m := range p.scsi {
		if m == model {
			return i
		}
	}
	p.scsi = append(p.scsi, model)
	return len(p.scsi) - 1
}

func (p *busPlan) controllers() []libvirtxml.DomainController {
	var out []libvirtxml.DomainController
	for i, model := range p.scsi {
		index := uint(i)
		out = append(out, libvirtxml.DomainController{Type: "scsi", Index: &index, Model: model})
	}
	return out
}

func driveAddress(controller, bus, unit int) *libvirtxml.DomainAddress {
	c, b, t, u := uint(controller), uint(bus), uint(0), uint(unit)
	return &libvirtxml.DomainAddress{Drive: &libvirtxml.DomainAddressDrive{Controller: &c, Bus: &b, Target: &t, Unit: &u}}
}
