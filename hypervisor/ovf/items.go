package ovf

import (
	"cmp"
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
	devices, err := rd.itemsOf(n)
	if err != nil {
		return err
	}
	ir := itemReader{reader: rd, seen: map[string]bool{}, parents: map[string]parent{}}
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
	for _, c := range m.Controllers {
		slices.SortFunc(c.Drives, byPort)
	}
	return nil
}

func byPort(a, b hardware.Drive) int { return cmp.Compare(a.Port, b.Port) }

// itemsOf returns the Items of a section that count, and reads what stands beside them.
func (rd *reader) itemsOf(n *node) ([]*node, error) {
	var devices []*node
	for _, c := range n.children {
		var err error
		switch c.name {
		case "Item", "StorageItem", "EthernetPortItem": // the latter two since OVF 2.0
			if rd.counts(c) {
				devices = append(devices, c)
			}
		case "Info", "System", "Label", "Transport":
		case "Config":
			rd.config(c)
		case "ExtraConfig":
			err = rd.extraConfig(c)
		default:
			err = rd.section(c)
		}
		if err != nil {
			return nil, err
		}
	}
	return devices, nil
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
	"20:ahci": hardware.SATA, "20:vmware.sata.ahci": hardware.SATA, "20:virtioscsi": hardware.VirtioSCSI, "20:virtio-scsi": hardware.VirtioSCSI,
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
