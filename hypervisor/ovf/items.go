package ovf

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// hardware reads the Items of a section.
func (rd *reader) hardware(n *node) error {
	m := &rd.d.Machine
	rd.d.SystemType = strings.TrimSpace(n.child("System").content("VirtualSystemType"))
	rd.systemType()
	if n.child("Info") == nil {
		rd.remark(n, "it has no Info, which the schema wants")
	}
	ir := itemReader{reader: rd, seen: map[string]bool{}, parents: map[string]parent{}}
	var devices []*node
	for _, c := range n.children {
		switch c.name {
		case "Item", "StorageItem", "EthernetPortItem": // the latter two since OVF 2.0
			if rd.counts(c) {
				devices = append(devices, c)
			}
		case "Info", "System", "Label", "Transport":
		case "Config":
			rd.config(c)
		case "ExtraConfig":
			if err := rd.extraConfig(c); err != nil {
				return err
			}
		default:
			if err := rd.section(c); err != nil {
				return err
			}
		}
	}
	// Drives name their controllers, which may come after them.
	for _, pass := range []func(*node, int) error{ir.base, ir.device} {
		for _, c := range devices {
			typ, err := ir.resourceType(c)
			if err != nil {
				return err
			}
			if err := pass(c, typ); err != nil {
				return err
			}
		}
		clear(ir.seen)
	}
	if m.CPUs == 0 || m.MemoryMiB == 0 {
		return n.errorf("it has no Item for the processors (ResourceType 3) or none for the memory (4)")
	}
	m.Controllers = ir.controllers
	for i, c := range m.Controllers {
		slices.SortFunc(c.Drives, func(a, b hardware.Drive) int { return cmp.Compare(a.Port, b.Port) })
		m.Controllers[i] = c
	}
	return nil
}

// systemType takes the product and the version out of the hardware family. Several families may be there.
func (rd *reader) systemType() {
	for _, family := range strings.Fields(rd.d.SystemType) {
		version, vmware := strings.CutPrefix(strings.ToLower(family), "vmx-")
		switch {
		case vmware && rd.d.Flavour == "":
			rd.d.Flavour = VMware
		case strings.HasPrefix(family, "virtualbox"):
			rd.d.Flavour = VirtualBox
		}
		if n, err := number(version, 99); vmware && err == nil {
			rd.d.Machine.VMwareVersion = max(rd.d.Machine.VMwareVersion, n)
		}
	}
}

// counts tells whether an Item is part of the machine itself, not of a range of allowed values or of another deployment option.
func (rd *reader) counts(n *node) bool {
	if _, bound := n.attr("bound"); bound {
		return false
	}
	options, ok := n.attr("configuration")
	return !ok || slices.Contains(strings.Fields(options), rd.configuration)
}

// config reads a setting of VMware's.
func (rd *reader) config(n *node) {
	m := &rd.d.Machine
	key, _ := n.attrIn(nsVMW, "key")
	value, _ := n.attrIn(nsVMW, "value")
	switch {
	case key == "firmware" && value == "efi":
		m.Firmware = hardware.UEFI
	case strings.EqualFold(key, "bootOptions.efiSecureBootEnabled"), strings.EqualFold(key, "uefi.secureBoot.enabled"):
		m.SecureBoot = value == "true"
	}
}

func (rd *reader) extraConfig(n *node) error {
	if key, _ := n.attrIn(nsVMW, "key"); key != "nvram" {
		return nil
	}
	value, _ := n.attrIn(nsVMW, "value")
	if id, ok := strings.CutPrefix(value, "ovf:/file/"); ok {
		file, ok := rd.files[id]
		if !ok {
			return n.errorf("nvram is %q, and References names no such file", value)
		}
		rd.d.Machine.NVRAM = file.Name
		return nil
	}
	name, err := fileName(value)
	if err != nil {
		return n.errorf("%w", err)
	}
	rd.d.Machine.NVRAM = name
	return nil
}

// parent is what drives name: a controller, and for IDE one of its channels.
type parent struct{ controller, channel int }

// itemReader puts Items together to controllers, drives and cards.
type itemReader struct {
	*reader
	seen        map[string]bool // InstanceIDs
	parents     map[string]parent
	controllers []hardware.Controller
	channels    int // of IDE, so far
}

// resourceType checks what every Item needs.
func (ir *itemReader) resourceType(n *node) (int, error) {
	id := n.instanceID()
	if id == "" || ir.seen[id] {
		return 0, n.errorf("InstanceID %q is missing, or there twice: number the Items", id)
	}
	ir.seen[id] = true
	typ, err := number(n.content("ResourceType"), 1<<16)
	if err != nil {
		return 0, n.errorf("Item %s: its ResourceType %w", id, err)
	}
	return typ, nil
}

// instanceID was spelled otherwise in OVF 0.9.
func (n *node) instanceID() string {
	return strings.TrimSpace(n.content("InstanceID") + n.content("InstanceId"))
}

// base reads what stands for itself: processors, memory, controllers.
func (ir *itemReader) base(n *node, typ int) error {
	m := &ir.d.Machine
	ir.order(n)
	switch typ {
	case typeCPU:
		cpus, err := number(n.content("VirtualQuantity"), 1024)
		if err != nil {
			return n.errorf("number of processors %w", err)
		}
		m.CPUs = cpus
		if text := n.content("CoresPerSocket"); text != "" {
			m.CoresPerSocket, err = number(text, 1024)
		}
		if err != nil || m.CoresPerSocket > 0 && cpus%m.CoresPerSocket != 0 {
			return n.errorf("its CoresPerSocket does not divide %d processors", cpus)
		}
	case typeMemory:
		size, err := bytesOf(n.content("VirtualQuantity"), strings.TrimSpace(n.content("AllocationUnits")))
		if err != nil {
			return n.errorf("memory: %w", err)
		}
		m.MemoryMiB = int(size >> 20)
	case typeIDE, typeSCSI, typeStorage:
		return ir.controller(n, typ)
	case typeFloppy:
		ir.floppies()
	}
	return nil
}

// order notes what the schema does not allow: VMware refuses elements that are not in alphabetical order, VirtualBox does not.
func (ir *itemReader) order(n *node) {
	last := ""
	for _, c := range n.children {
		if c.space == nsVMW || c.space == nsVBox {
			continue
		}
		if c.name < last {
			ir.remark(n, "Item %s: %s comes after %s; VMware wants them in alphabetical order", n.instanceID(), c.name, last)
			return
		}
		last = c.name
	}
}

// storageBuses are the controllers by ResourceType and ResourceSubType, in lower case. An empty sub-type is the product's choice.
var storageBuses = map[string]hardware.Bus{
	"6:lsilogic": hardware.LsiLogic, "6:lsilogicsas": hardware.LsiLogicSAS, "6:buslogic": hardware.BusLogic,
	"6:virtualscsi": hardware.PVSCSI, "6:": hardware.LsiLogic,
	"20:ahci": hardware.SATA, "20:vmware.sata.ahci": hardware.SATA, "20:virtioscsi": hardware.VirtioSCSI,
	"20:nvme": hardware.NVMe, "20:vmware.nvme.controller": hardware.NVMe,
}

func (ir *itemReader) controller(n *node, typ int) error {
	id := n.instanceID()
	if typ == typeIDE {
		return ir.ideChannel(n)
	}
	subTypes := strings.Fields(strings.ToLower(n.content("ResourceSubType")))
	if len(subTypes) == 0 {
		subTypes = []string{""}
	}
	for _, subType := range subTypes { // several are a choice
		if bus, ok := storageBuses[strconv.Itoa(typ)+":"+subType]; ok {
			ir.parents[id] = parent{controller: len(ir.controllers)}
			ir.controllers = append(ir.controllers, hardware.Controller{Bus: bus})
			return nil
		}
	}
	if n.required() {
		return n.errorf("Item %s: no product has the controller %q (ResourceType %d): use AHCI, VirtioSCSI, lsilogic, lsilogicsas or buslogic",
			id, n.content("ResourceSubType"), typ)
	}
	ir.remark(n, "Item %s: the controller %q is left out", id, n.content("ResourceSubType"))
	return nil
}

// ideChannel: OVF has an Item for each channel of the one IDE controller.
func (ir *itemReader) ideChannel(n *node) error {
	at := slices.IndexFunc(ir.controllers, func(c hardware.Controller) bool { return c.Bus == hardware.IDE })
	if at < 0 {
		at = len(ir.controllers)
		ir.controllers = append(ir.controllers, hardware.Controller{Bus: hardware.IDE})
	}
	channel := ir.channels
	if text := strings.TrimSpace(n.content("Address")); text != "" {
		if address, err := number(text, 1); err == nil {
			channel = address
		}
	}
	if channel > 1 {
		return n.errorf("Item %s: a third IDE channel, and no product has more than two", n.instanceID())
	}
	ir.channels++
	ir.parents[n.instanceID()] = parent{at, channel}
	return nil
}

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
	disk, isDisk := strings.CutPrefix(resource, "/disk/")
	file, isFile := strings.CutPrefix(resource, "/file/")
	switch {
	case resource == "" && d.Kind != hardware.Disk:
		return d, nil
	case isDisk:
		entry, ok := ir.disks[disk]
		if !ok {
			return d, n.errorf("drive %s: its HostResource %q is no disk of DiskSection", n.instanceID(), resource)
		}
		return entry.drive(d.Kind), nil
	case isFile && d.Kind != hardware.Disk && ir.files[file].ID != "":
		d.File, d.Size = ir.files[file].Name, ir.files[file].Size
		return d, nil
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
