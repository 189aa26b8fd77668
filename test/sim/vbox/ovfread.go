package main

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// appliance is what an OVF file says, checked.
type appliance struct {
	path    string
	disks   []ovfDisk
	systems []ovfSystem
}

type ovfDisk struct {
	id, href, format, uuid string
	capacity               int64
}

type ovfSystem struct {
	name, os, license, description, product string
	cpus, memory                            int
	controllers                             []ovfController
	drives                                  []ovfDrive
	nics                                    []ovfNIC
	usb, sound, floppy                      bool
	machine                                 *vboxMachine
	disks                                   []ovfDisk // of the whole appliance
}

type ovfController struct {
	id, kind, chip string // kind is a bus: ide, sata, scsi, sas, virtio
	address        int
}

type ovfDrive struct {
	disk    string // id in DiskSection; empty for a drive without a medium
	cd      bool
	parent  string // InstanceID
	address int
}

type ovfNIC struct{ connection, model string }

// unreadable is how the reader refuses.
func unreadable(path, format string, args ...any) error {
	return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Error reading \"%s\": %s", path, fmt.Sprintf(format, args...)),
		context: "RTEXITCODE handleImportAppliance(HandlerArg *)", file: "VBoxManageAppliance.cpp:330"}
}

// readOVF reads a descriptor; path is only named. It refuses what ovfreader.cpp refuses, in nearly its words, and passes over the
// rest.
func readOVF(path string, data []byte) (*appliance, error) {
	var e envelope
	if err := xml.Unmarshal(data, &e); err != nil {
		return nil, unreadable(path, "%v", err)
	}
	if e.XMLName.Local != "Envelope" {
		return nil, unreadable(path, "Root element in OVF file must be \"Envelope\".")
	}
	if !slices.Contains([]string{envelope0, envelope1, envelope2}, e.XMLName.Space) {
		return nil, unreadable(path, "Root element in OVF file must be in a namespace of OVF, not \"%s\".", e.XMLName.Space)
	}
	a := &appliance{path: path}
	if err := a.readDisks(e); err != nil {
		return nil, err
	}
	for _, s := range append(e.Systems, e.Collection...) {
		if err := a.readSystem(s); err != nil {
			return nil, err
		}
	}
	if len(a.systems) == 0 {
		return nil, unreadable(path, "There is no virtual system in it.")
	}
	return a, nil
}

// formatURIs are the kinds of files that VirtualBox knows in a DiskSection.
var formatURIs = []string{
	streamURI, isoURI, "http://www.vmware.com/specifications/vmdk.html#sparse", "http://www.vmware.com/specifications/vmdk.html#compressed",
	"http://www.vmware.com/interfaces/specifications/vmdk.html#sparse", "http://www.vmware.com/interfaces/specifications/vmdk.html#compressed",
	"http://www.vmware.com/specifications/vmdk.html#streamOptimized", "http://www.vmware.com/interfaces/specifications/vmdk.html",
	"http://www.vmware.com/specifications/vmdk.html", "http://go.microsoft.com/fwlink/?LinkId=137171",
}

func (a *appliance) readDisks(e envelope) error {
	for _, d := range e.Disks {
		disk := ovfDisk{id: d.ID, format: d.Format, uuid: asUUID(d.UUID)}
		if d.ID == "" {
			return unreadable(a.path, "Error reading \"DiskSection\": missing or invalid attribute 'diskId' in 'DiskSection' element.")
		}
		if !slices.Contains(formatURIs, d.Format) {
			return unreadable(a.path, "Invalid format attribute \"%s\" of disk \"%s\".", d.Format, d.ID)
		}
		for _, f := range e.Files {
			if f.ID == d.FileRef {
				disk.href = f.Href
			}
			if f.ID == d.FileRef && (f.ChunkSize != "" || f.Compression != "" && f.Compression != "identity") {
				return unreadable(a.path, "File \"%s\" is in chunks or compressed, which is not supported.", f.Href)
			}
		}
		if d.FileRef != "" && disk.href == "" {
			return unreadable(a.path, "cannot find referenced file \"%s\" for disk \"%s\" in \"References\" element.", d.FileRef, d.ID)
		}
		capacity, err := capacityOf(d.Capacity, d.Units)
		if err != nil && d.Format != isoURI {
			return unreadable(a.path, "missing or invalid attribute 'capacity' in 'Disk' element \"%s\".", d.ID)
		}
		disk.capacity = capacity
		a.disks = append(a.disks, disk)
	}
	return nil
}

// capacityOf reads "40" and "byte * 2^30".
func capacityOf(number, units string) (int64, error) {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("capacity %q", number)
	}
	units = strings.ReplaceAll(strings.ToLower(units), " ", "")
	if units == "" || units == "byte" {
		return n, nil
	}
	power, ok := strings.CutPrefix(units, "byte*2^")
	shift, err := strconv.ParseUint(power, 10, 6)
	if !ok || err != nil {
		return 0, fmt.Errorf("units %q", units)
	}
	return n << shift, nil
}

func (a *appliance) readSystem(v virtualSystem) error {
	s := ovfSystem{
		name: v.ID, os: v.OS.Type, license: strings.TrimSpace(v.License), description: v.Annotation, product: v.Product, machine: v.Machine, cpus: 1,
	}
	if v.Name != "" {
		s.name = v.Name
	}
	if s.os == "" {
		s.os = osOfCIM(v.OS.Number)
	}
	items := slices.Concat(v.Items, v.Storage, v.Ethernet)
	ids := map[string]bool{}
	for i := range items {
		item := &items[i]
		if item.InstanceID == "" {
			item.InstanceID = item.InstanceId
		}
		if _, err := strconv.Atoi(item.InstanceID); err != nil {
			return unreadable(a.path, "Element InstanceID is absent under Item element")
		}
		if ids[item.InstanceID] {
			return unreadable(a.path, "Duplicate InstanceID %s in hardware items", item.InstanceID)
		}
		ids[item.InstanceID] = true
	}
	// Drives name controllers, which may come after them.
	for _, drives := range []bool{false, true} {
		for _, item := range items {
			if isDrive := slices.Contains([]string{"15", "16", "17"}, item.ResourceType); isDrive != drives {
				continue
			}
			if err := a.readItem(&s, item); err != nil {
				return err
			}
		}
	}
	if err := a.checkMachine(s); err != nil {
		return err
	}
	a.systems = append(a.systems, s)
	return nil
}

func (a *appliance) readItem(s *ovfSystem, item rasd) error {
	kind, err := strconv.Atoi(item.ResourceType)
	if err != nil {
		return unreadable(a.path, "Element ResourceType is absent under Item element")
	}
	switch kind {
	case 3:
		s.cpus, err = strconv.Atoi(item.VirtualQuantity)
		if err != nil || s.cpus < 1 {
			return unreadable(a.path, "Invalid number of CPUs \"%s\"", item.VirtualQuantity)
		}
	case 4:
		return a.readMemory(s, item)
	case 5, 6, 20:
		return a.readController(s, kind, item)
	case 10:
		s.nics = append(s.nics, ovfNIC{item.Connection, item.ResourceSubType})
	case 14:
		s.floppy = true
	case 15, 16, 17:
		return a.readDrive(s, kind != 17, item)
	case 23:
		s.usb = true
	case 35:
		s.sound = true
	default:
		if item.Required != "false" {
			return unreadable(a.path, "Virtual system \"%s\": Unknown resource type %d in hardware item", s.name, kind)
		}
	}
	return nil
}

// readMemory takes what is counted in MiB, in the spellings that VirtualBox knows.
func (a *appliance) readMemory(s *ovfSystem, item rasd) error {
	units := strings.ReplaceAll(strings.ToLower(item.AllocationUnits), " ", "")
	if !slices.Contains([]string{"megabytes", "mb", "byte*2^20"}, units) {
		return unreadable(a.path, "Invalid allocation unit \"%s\" specified with memory size item", item.AllocationUnits)
	}
	n, err := strconv.Atoi(item.VirtualQuantity)
	if err != nil || n < 1 {
		return unreadable(a.path, "Invalid memory size \"%s\"", item.VirtualQuantity)
	}
	s.memory = n
	return nil
}

func (a *appliance) readController(s *ovfSystem, kind int, item rasd) error {
	address, _ := strconv.Atoi(item.Address) // without one it is 0
	c := ovfController{id: item.InstanceID, address: address}
	sub := strings.ToLower(item.ResourceSubType)
	switch kind {
	case 5:
		c.kind, c.chip = "ide", "PIIX4"
		if chip, ok := chip(item.ResourceSubType); ok && chips[chip] == "ide" {
			c.chip = chip
		}
	case 6:
		c.kind, c.chip = "scsi", "LsiLogic"
		switch sub {
		case "buslogic":
			c.chip = "BusLogic"
		case "lsilogicsas":
			c.kind, c.chip = "sas", "LsiLogicSas"
		}
	case 20:
		switch {
		case strings.HasPrefix(sub, "ahci"), strings.HasPrefix(sub, "vmware.sata.ahci"):
			c.kind, c.chip = "sata", "IntelAhci"
		case strings.HasPrefix(sub, "virtioscsi"):
			c.kind, c.chip = "virtio", "VirtioSCSI"
		default:
			return unreadable(a.path, "Host resource of type \"Other Storage Device (%d)\" is supported with SATA AHCI or Virtio-SCSI controllers only (subtype: %s)",
				kind, item.ResourceSubType)
		}
	}
	s.controllers = append(s.controllers, c)
	return nil
}

func (a *appliance) readDrive(s *ovfSystem, cd bool, item rasd) error {
	d := ovfDrive{cd: cd, parent: item.Parent}
	d.address, _ = strconv.Atoi(item.AddressOnParent) // without one it is 0
	if !slices.ContainsFunc(s.controllers, func(c ovfController) bool { return c.id == item.Parent }) && item.Parent != "" {
		return unreadable(a.path, "Hard disk item with instance ID %s specifies invalid parent %s", item.InstanceID, item.Parent)
	}
	if item.HostResource == "" {
		if !cd {
			return unreadable(a.path, "Invalid host resource \"\" specified with hard disk item with instance ID %s", item.InstanceID)
		}
		s.drives = append(s.drives, d)
		return nil
	}
	id, ok := strings.CutPrefix(strings.TrimPrefix(item.HostResource, "ovf:"), "/disk/")
	if !ok && !cd {
		return unreadable(a.path, "Unsupported host resource \"%s\" specified with hard disk item with instance ID %s", item.HostResource, item.InstanceID)
	}
	if _, err := a.disk(id); err != nil && !cd {
		return err
	}
	d.disk = id
	s.drives = append(s.drives, d)
	return nil
}

func (a *appliance) disk(id string) (ovfDisk, error) {
	for _, d := range a.disks {
		if d.id == id {
			return d, nil
		}
	}
	return ovfDisk{}, unreadable(a.path, "Invalid disk \"%s\" specified with hard disk item", id)
}

// checkMachine looks if vbox:Machine speaks only of images that the OVF has.
func (a *appliance) checkMachine(s ovfSystem) error {
	if s.machine == nil {
		return nil
	}
	for _, ctl := range s.machine.controllers() {
		for _, dev := range ctl.Devices {
			if dev.Image == nil || dev.Type != "HardDisk" {
				continue
			}
			id := asUUID(dev.Image.UUID)
			if !slices.ContainsFunc(a.disks, func(d ovfDisk) bool { return d.uuid == id }) {
				return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf(
					"<vbox:Machine> element in OVF contains a medium attachment for the disk image {%s} but the OVF describes no such image", id)}
			}
		}
	}
	return nil
}
