package ovf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// device reads what hangs on others or follows them.
func (ir *itemReader) device(n *node, typ int) error {
	switch typ {
	case typeCPU, typeMemory, typeIDE, typeSCSI, typeStorage:
		return nil
	case typeDisk, typeCD, typeDVD, typeFloppy:
		return ir.drive(n, typ)
	case typeEthernet:
		return ir.card(n)
	case typeUSB, typeGraphics, typeSound, typeOther:
		ir.extra(n, typ)
		return nil
	case typeSerial:
		ir.remark(n, "Item %s: the serial port is left out: where it goes is the host's matter", n.instanceID())
		return nil
	}
	if n.required() {
		return n.errorf(`Item %s: ResourceType %d is not known here: set ovf:required="false" if the machine can do without`, n.instanceID(), typ)
	}
	ir.remark(n, "Item %s of ResourceType %d is left out", n.instanceID(), typ)
	return nil
}

func (ir *itemReader) drive(n *node, typ int) error {
	id := n.instanceID()
	d, err := ir.medium(n, typ)
	if err != nil {
		return err
	}
	bus := strings.TrimSpace(n.content("Parent"))
	at, ok := ir.parents[bus]
	switch {
	case typ == typeFloppy:
		at = ir.floppies()
	case !ok && !n.required() && d.Kind != hardware.Disk:
		ir.remark(n, "drive %s is left out: there is no controller %q", id, bus)
		return nil
	case !ok:
		return n.errorf("drive %s: its Parent %q is no controller of the machine", id, bus)
	}
	c := &ir.controllers[at.controller]
	place := at.channel * 2
	d.Port = place
	if text := strings.TrimSpace(n.content("AddressOnParent")); text != "" {
		port, err := number(text, 255)
		if err != nil || c.Bus == hardware.IDE && port > 1 {
			return n.errorf("drive %s: its AddressOnParent %q is no place of a drive", id, text)
		}
		d.Port = place + port
	} else if n := len(c.Drives); n > 0 && c.Drives[n-1].Port >= place {
		d.Port = c.Drives[n-1].Port + 1
	}
	if typ == typeFloppy && taken(c, d.Port) { // VirtualBox gives both drives the same number
		d.Port = len(c.Drives)
	}
	if taken(c, d.Port) {
		return n.errorf("drive %s: another is on port %d of the same controller: change AddressOnParent", id, d.Port)
	}
	c.Drives = append(c.Drives, d)
	return nil
}

// medium reads what is in a drive.
func (ir *itemReader) medium(n *node, typ int) (hardware.Drive, error) {
	d := hardware.Drive{Kind: hardware.CD}
	switch typ {
	case typeDisk:
		d.Kind = hardware.Disk
	case typeFloppy:
		d.Kind = hardware.FloppyDrive
	}
	resource := strings.TrimPrefix(strings.TrimSpace(n.content("HostResource")), "ovf:")
	if rest, ok := strings.CutPrefix(resource, "//"); ok { // an older spelling, which VirtualBox takes
		resource = "/" + rest
	}
	disk, isDisk := strings.CutPrefix(resource, "/disk/")
	file, isFile := strings.CutPrefix(resource, "/file/")
	entry, known := ir.disks[disk]
	switch {
	case resource == "" && d.Kind != hardware.Disk:
		return d, nil
	case isDisk && known:
		return entry.drive(d.Kind), nil
	case isFile && d.Kind != hardware.Disk && ir.files[file].ID != "":
		d.File, d.Size = ir.files[file].Name, ir.files[file].Size
		return d, nil
	case d.Kind != hardware.Disk: // VirtualBox takes such a drive for an empty one
		ir.remark(n, "drive %s: the medium %q is not in the package", n.instanceID(), resource)
		return d, nil
	case isDisk:
		return d, n.errorf("drive %s: its HostResource %q is no disk of DiskSection", n.instanceID(), resource)
	}
	return d, n.errorf("drive %s: its HostResource %q is not of the form ovf:/disk/vmdisk1", n.instanceID(), resource)
}

func (e diskEntry) drive(kind hardware.DriveKind) hardware.Drive {
	d := hardware.Drive{Kind: kind, File: e.file.Name, Size: e.file.Size, UUID: e.uuid}
	if kind == hardware.Disk {
		d.Format, d.Capacity = e.format, e.capacity
	}
	return d
}

// floppies is the controller of floppy drives, which OVF does not mention.
func (ir *itemReader) floppies() parent {
	at := slices.IndexFunc(ir.controllers, func(c hardware.Controller) bool { return c.Bus == hardware.Floppy })
	if at < 0 {
		at = len(ir.controllers)
		ir.controllers = append(ir.controllers, hardware.Controller{Bus: hardware.Floppy})
	}
	return parent{controller: at}
}

// ovfModels are the network cards by ResourceSubType in lower case. Products take their usual card where nothing is said.
var ovfModels = map[string]hardware.NICModel{
	"": hardware.E1000, "e1000": hardware.E1000, "e1000e": hardware.E1000e, "pcnet32": hardware.PCNet, "vmxnet3": hardware.VMXNet3,
	"virtio": hardware.Virtio, "flexible": hardware.PCNet, "vlance": hardware.PCNet,
}

func (ir *itemReader) card(n *node) error {
	card := hardware.NIC{Model: hardware.E1000}
	subTypes := strings.Fields(strings.ToLower(n.content("ResourceSubType")))
	if len(subTypes) > 0 { // several are a choice
		model, ok := ovfModels[subTypes[0]]
		if !ok {
			ir.remark(n, "Item %s: a network card %q is not known and taken for E1000", n.instanceID(), subTypes[0])
			model = hardware.E1000
		}
		card.Model = model
	}
	if mac := strings.TrimSpace(n.content("Address")); len(mac) > 2 { // else it is a number that says nothing
		var err error
		if card.MAC, err = parseMAC(mac); err != nil {
			return n.errorf("Item %s: %w", n.instanceID(), err)
		}
	}
	card.Unplugged = strings.TrimSpace(n.content("AutomaticAllocation")) == "false"
	card.Connection, card.Network = connection(n.content("Connection"))
	ir.d.Machine.NICs = append(ir.d.Machine.NICs, card)
	return nil
}

// connection reads the name of a network. The products' own kinds have names; others are networks of where the machine is from.
func connection(name string) (hardware.Connection, string) {
	switch strings.ToLower(name) {
	case "nat", "":
		return hardware.NAT, ""
	case "bridged":
		return hardware.Bridged, ""
	case "hostonly":
		return hardware.HostOnly, ""
	case "internal":
		return hardware.Internal, ""
	case "null":
		return hardware.Detached, ""
	}
	return hardware.Named, name
}

// parseMAC takes a MAC address with colons, dashes or nothing between.
func parseMAC(s string) (string, error) {
	digits := strings.ToLower(strings.NewReplacer(":", "", "-", "").Replace(s))
	if len(digits) != 12 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%q is no MAC address", s)
	}
	parts := make([]string, 0, 6)
	for i := 0; i < len(digits); i += 2 {
		parts = append(parts, digits[i:i+2])
	}
	return strings.Join(parts, ":"), nil
}

// extra reads what a machine can start without.
func (ir *itemReader) extra(n *node, typ int) {
	m := &ir.d.Machine
	subType := strings.ToLower(strings.TrimSpace(n.content("ResourceSubType")))
	settings := map[string]string{}
	for _, c := range n.all("Config") {
		key, _ := c.attrIn(nsVMW, "key")
		settings[key], _ = c.attrIn(nsVMW, "value")
	}
	switch {
	case typ == typeUSB && subType == "vmware.usb.xhci":
		m.USB = hardware.USB3
	case typ == typeUSB && m.USB != hardware.USB3:
		m.USB = hardware.USB1
		if subType == "vmware.usb.ehci" && settings["ehciEnabled"] != "false" {
			m.USB = hardware.USB2
		}
	case typ == typeGraphics:
		if kib, err := number(settings["videoRamSizeInKB"], 16<<20); err == nil {
			m.VideoMiB = kib >> 10
		}
	case typ == typeSound:
		m.Sound = hardware.AC97 // VirtualBox writes one word for all of its cards
	case typ == typeOther && strings.HasPrefix(subType, "vmware.soundcard."):
		for sound, name := range vmwareSounds {
			if name == subType {
				m.Sound = sound
			}
		}
	case typ == typeOther && !strings.HasPrefix(subType, "vmware."):
		ir.remark(n, "Item %s (%q) is left out", n.instanceID(), subType)
	}
}

func taken(c *hardware.Controller, port int) bool {
	return slices.ContainsFunc(c.Drives, func(d hardware.Drive) bool { return d.Port == port })
}
