package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
)

const storageFile = "VBoxManageStorageController.cpp"

func storageCtl(c *call, args []string) error {
	rest, opts, err := c.parse(args, []option{
		{name: "--name", more: []string{"-n"}, value: true}, {name: "--add", more: []string{"-a"}, value: true},
		{name: "--controller", more: []string{"-c"}, value: true}, {name: "--portcount", more: []string{"-p"}, value: true},
		{name: "--remove", more: []string{"-r"}}, {name: "--rename", more: []string{"-R"}, value: true},
		{name: "--hostiocache", more: []string{"-i"}, value: true}, {name: "--bootable", more: []string{"-b"}, value: true},
	})
	if err != nil {
		return c.softly(err)
	}
	vm, err := one(rest, "Too few parameters")
	if err != nil {
		return err
	}
	name := valueOf(opts, "--name")
	if name == "" {
		return syntax("Storage controller name not specified")
	}
	return c.changeMachine(vm, storageFile+":1057", func(s *state, m *machine) error {
		if slices.ContainsFunc(opts, func(o given) bool { return o.name == "--remove" }) {
			_, err := m.controller(name)
			m.Storage = slices.DeleteFunc(m.Storage, func(ctl *controller) bool { return ctl.Name == name })
			return err
		}
		if bus := valueOf(opts, "--add"); bus != "" {
			if err := m.addController(name, bus); err != nil {
				return err
			}
		}
		ctl, err := m.controller(name)
		if err != nil {
			return err
		}
		for _, o := range opts {
			if err := m.modifyController(ctl, o); err != nil {
				return err
			}
		}
		return m.save(c.profile)
	})
}

func (m *machine) addController(name, bus string) error {
	bus = strings.ToLower(bus)
	if bus == "virtio-scsi" {
		bus = "virtio"
	}
	k, ok := kindOf(bus)
	if !ok {
		return badArgument("Invalid --add argument '%s'", bus)
	}
	if _, err := m.controller(name); err == nil {
		return &comError{code: inUse, component: "SessionMachine", text: fmt.Sprintf("Storage controller named '%s' already exists", name),
			context: "AddStorageController(Bstr(pszCtl).raw(), StorageBus_" + strings.ToUpper(bus) + ", ctl.asOutParam())", file: storageFile + ":1089"}
	}
	if slices.ContainsFunc(m.Storage, func(ctl *controller) bool { return ctl.Bus == bus }) && (bus == "ide" || bus == "floppy") {
		return &comError{code: invalidArg, component: "SessionMachine", text: "Too many storage controllers of this type"}
	}
	m.Storage = append(m.Storage, &controller{Name: name, Bus: bus, Type: k.chip, Ports: k.ports, Bootable: bus != "usb"})
	return nil
}

func (m *machine) modifyController(ctl *controller, o given) error {
	k, _ := kindOf(ctl.Bus)
	switch o.name {
	case "--controller":
		chip, ok := chip(o.value)
		if !ok {
			return badArgument("Invalid --type argument '%s'", o.value)
		}
		if chips[chip] != ctl.Bus {
			return &comError{code: invalidArg, component: "StorageControllerWrap", text: "Invalid controller type"}
		}
		ctl.Type = chip
	case "--portcount":
		n, err := number(o.name, o.value)
		if err != nil {
			return err
		}
		if n < 1 || n > k.max || k.bus == "ide" && n != 2 || k.bus == "scsi" && n != 16 {
			return &comError{code: invalidArg, component: "StorageControllerWrap", text: fmt.Sprintf("Invalid port count: %d (must be in range [%d, %d])", n, 1, k.max),
				context: "COMSETTER(PortCount)(portcount)", file: storageFile + ":1170"}
		}
		ctl.Ports = n
	case "--hostiocache", "--bootable":
		on, err := switchOn(o.name, o.value)
		if err != nil {
			return err
		}
		if o.name == "--bootable" {
			ctl.Bootable = on
		} else {
			ctl.HostIOCache = on
		}
	case "--rename":
		ctl.Name = o.value
	}
	return nil
}

// unsaid is a port or device that was not given, which is all right where there is only one.
const unsaid = -1

// attachRequest is what storageattach was asked.
type attachRequest struct {
	controller   string
	port, device int
	kind, medium string
	mtype        string
	flags        []given
}

func storageAttach(c *call, args []string) error {
	rest, opts, err := c.parse(args, []option{
		{name: "--storagectl", value: true}, {name: "--port", value: true}, {name: "--device", value: true}, {name: "--type", value: true},
		{name: "--medium", value: true}, {name: "--mtype", value: true}, {name: "--comment", value: true}, {name: "--setuuid", value: true},
		{name: "--setparentuuid", value: true}, {name: "--passthrough", value: true}, {name: "--tempeject", value: true},
		{name: "--nonrotational", value: true}, {name: "--discard", value: true}, {name: "--hotpluggable", value: true},
		{name: "--bandwidthgroup", value: true}, {name: "--forceunmount"},
	})
	if err != nil {
		return c.softly(err)
	}
	vm, err := one(rest, "Too few parameters")
	if err != nil {
		return err
	}
	req := attachRequest{port: unsaid, device: unsaid, controller: valueOf(opts, "--storagectl"), kind: valueOf(opts, "--type"), medium: valueOf(opts, "--medium"), mtype: valueOf(opts, "--mtype")}
	if err := req.read(opts); err != nil {
		return c.softly(err)
	}
	if req.controller == "" {
		return syntax("Storage controller name not specified")
	}
	if !slices.Contains([]string{"", "hdd", "dvddrive", "fdd"}, req.kind) {
		return badArgument("Invalid --type argument '%s'", req.kind)
	}
	return c.change(func(s *state) error { return c.attach(s, vm, req) })
}

// attach does what was asked, to a running machine if it is only about the medium of a drive.
func (c *call) attach(s *state, vm string, req attachRequest) error {
	m, status, err := c.findSession(s, vm)
	if err != nil {
		return err
	}
	ctl, err := m.controller(req.controller)
	if err != nil {
		c.complain(fmt.Sprintf("Could not find a controller named '%s'", req.controller))
		return quietError(exitFailure)
	}
	k, _ := kindOf(ctl.Bus)
	if err := req.settle(k); err != nil {
		return err
	}
	if req.port >= k.max || req.device >= k.units {
		return &comError{code: invalidArg, component: "SessionMachine", text: fmt.Sprintf(
			"The port and/or device parameter are out of range: port=%d (must be in range [0, %d]), device=%d (must be in range [0, %d])", req.port, k.max-1, req.device, k.units-1)}
	}
	old := ctl.at(req.port, req.device)
	if status.Locked && !status.State.Alive() {
		return lockedForSession(m.Name, storageFile+":222")
	}
	if status.Locked && (old == nil || old.Type == "hdd" || req.medium == "none") {
		return &comError{code: notSupported, component: "SessionMachine", text: fmt.Sprintf(
			"The device slot %d on port %d of controller '%s' does not support hot-plugging", req.device, req.port, ctl.Name)}
	}
	if err := c.attachMedium(s, ctl, old, req); err != nil {
		return err
	}
	if err := ctl.setFlags(req); err != nil {
		return err
	}
	if status.State.Alive() {
		return c.changeRunning(s, m, ctl, ctl.at(req.port, req.device))
	}
	return m.save(c.profile)
}

// read takes the place and the switches out of the options.
func (req *attachRequest) read(opts []given) (err error) {
	for _, o := range opts {
		switch o.name {
		case "--port":
			req.port, err = number(o.name, o.value)
		case "--device":
			req.device, err = number(o.name, o.value)
		case "--nonrotational", "--discard", "--hotpluggable", "--tempeject":
			req.flags = append(req.flags, o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settle fills in what was not said.
func (req *attachRequest) settle(k kind) error {
	for _, x := range []struct {
		value *int
		only  bool
		name  string
	}{{&req.port, k.max == 1, "Port"}, {&req.device, k.units == 1, "Device"}} {
		if *x.value != unsaid {
			continue
		}
		if !x.only {
			return syntax("%s not specified", x.name)
		}
		*x.value = 0
	}
	return nil
}

// attachMedium changes what is in a place.
func (c *call) attachMedium(s *state, ctl *controller, old *attachment, req attachRequest) error {
	if req.medium == "none" {
		ctl.detach(req.port, req.device)
		return nil
	}
	kind := req.kind
	if kind == "" && old != nil {
		kind = old.Type
	}
	if req.medium == "" {
		if old == nil {
			return noDevice(ctl, req)
		}
		return nil
	}
	switch {
	case ctl.Bus == "floppy":
		kind = "fdd"
	case req.medium == "additions", req.medium == "emptydrive" && kind == "":
		kind = "dvddrive"
	}
	if kind == "" {
		return complain("Argument --type must be specified")
	}
	if req.medium == "emptydrive" && (ctl.Bus == "pcie" || kind == "hdd") {
		return complain("The attachment is not supported by the storage controller '%s'", ctl.Name)
	}
	if (kind == "fdd") != (ctl.Bus == "floppy") || kind == "dvddrive" && ctl.Bus == "pcie" {
		return complain("The given attachment is not supported by the storage controller '%s'", ctl.Name)
	}
	if old != nil && old.Type == "hdd" && kind == "hdd" {
		path := old.Medium
		if x := s.findMedium(old.Medium); x != nil {
			path = x.Path
		}
		if req.medium == path {
			return &comError{code: inUse, component: "SessionMachine", text: fmt.Sprintf(
				"Medium '%s' is already attached to port %d, device %d of controller '%s' of this virtual machine", path, req.port, req.device, ctl.Name),
				context: "AttachDevice(Bstr(pszCtl).raw(), port, device, DeviceType_HardDisk, pMedium2Mount)", file: storageFile + ":801"}
		}
	}
	return c.attachImage(s, ctl, kind, req)
}

func (c *call) attachImage(s *state, ctl *controller, kind string, req attachRequest) error {
	a := &attachment{Port: req.port, Device: req.device, Type: kind}
	device := map[string]string{"hdd": "disk", "dvddrive": "dvd", "fdd": "floppy"}[kind]
	name := req.medium
	switch {
	case name == "emptydrive":
		ctl.attach(a)
		return nil
	case name == "additions":
		name = additionsISO()
	case strings.HasPrefix(name, "host:"):
		return &comError{code: notFound, component: "HostWrap", text: fmt.Sprintf("Could not find the host drive named '%s'", strings.TrimPrefix(name, "host:"))}
	}
	x, err := c.openMedium(s, device, name)
	if err != nil {
		return err
	}
	if device == "disk" {
		if err := s.wantUnattached(x, ctl, req); err != nil {
			return err
		}
		if req.mtype != "" {
			x.Type = req.mtype
		}
	}
	a.Medium = x.UUID
	ctl.attach(a)
	return nil
}

// wantUnattached tells if no machine has a disk.
func (s *state) wantUnattached(x *medium, here *controller, req attachRequest) error {
	for _, m := range s.Machines {
		for _, ctl := range m.Storage {
			for _, a := range ctl.Attached {
				if a.Medium == x.UUID && (ctl != here || a.Port != req.port || a.Device != req.device) && x.Type != "shareable" && x.Type != "multiattach" {
					return &comError{code: inUse, component: "SessionMachine", text: fmt.Sprintf(
						"Medium '%s' is already attached to port %d, device %d of controller '%s' of this virtual machine", x.Path, a.Port, a.Device, ctl.Name),
						context: "AttachDevice(Bstr(pszCtl).raw(), port, device, DeviceType_HardDisk, pMedium2Mount)", file: storageFile + ":801"}
				}
			}
		}
	}
	return nil
}

func noDevice(ctl *controller, req attachRequest) error {
	return &comError{code: notFound, component: "SessionMachine", text: fmt.Sprintf(
		"No storage device attached to device slot %d on port %d of controller '%s'", req.device, req.port, ctl.Name)}
}

// setFlags sets the switches of a drive.
func (ctl *controller) setFlags(req attachRequest) error {
	a := ctl.at(req.port, req.device)
	for _, o := range req.flags {
		if a == nil {
			return noDevice(ctl, req)
		}
		on, err := switchOn(o.name, o.value)
		if err != nil {
			return err
		}
		switch o.name {
		case "--nonrotational":
			a.NonRotational = on
		case "--discard":
			a.Discard = on
		case "--hotpluggable":
			a.HotPluggable = on
		case "--tempeject":
			a.TempEject = on
		}
	}
	return nil
}

// changeRunning puts a medium into a drive of a running machine.
func (c *call) changeRunning(s *state, m *machine, ctl *controller, a *attachment) error {
	if a == nil || a.Type == "hdd" {
		return nil
	}
	path := ""
	if x := s.findMedium(a.Medium); x != nil {
		path = x.Path
	}
	return c.withGuest(m, func(g *qemu.Guest) error { return g.ChangeMedium(c.ctx, driveID(m, ctl, a), path) })
}
