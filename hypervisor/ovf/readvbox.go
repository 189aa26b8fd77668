package ovf

import (
	"cmp"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// vboxMachine reads VirtualBox's settings and lets them stand for what the Items said of the same things. It takes their versions up to
// 1.22 (VirtualBox 7.3), which moved elements around.
func (rd *reader) vboxMachine(n *node) error {
	m := &rd.d.Machine
	if name, ok := n.attr("name"); ok && name != "" {
		m.Name = name
	}
	uuid, _ := n.attr("uuid")
	m.UUID = plainUUID(uuid)
	if id, ok := n.attr("OSType"); ok {
		m.Guest = better(hardware.GuestOfVirtualBox(id), m.Guest)
	}
	if text := n.content("Description"); text != "" {
		m.Description = text
	}
	hw := n.child("Hardware")
	if hw == nil {
		return n.errorf("it has no Hardware")
	}
	storage := n.child("StorageControllers")
	if storage == nil {
		storage = hw.child("StorageControllers") // since 7.0
	}
	if err := rd.vboxHardware(hw); err != nil {
		return err
	}
	if storage == nil {
		return n.errorf("it has no StorageControllers")
	}
	return rd.vboxStorage(storage)
}

func (rd *reader) vboxHardware(hw *node) error {
	m := &rd.d.Machine
	firmware := strings.ToUpper(hw.child("Firmware").attrOr("type", ""))
	switch {
	case firmware == "EFI32":
		m.Firmware = hardware.UEFI32
	case strings.HasPrefix(firmware, "EFI"):
		m.Firmware = hardware.UEFI
	}
	chipset := hw.child("Chipset")
	if chipset == nil {
		chipset = hw.child("Platform", "Chipset") // since 7.1
	}
	if strings.EqualFold(chipset.attrOr("type", ""), "ICH9") {
		m.Chipset = hardware.ICH9
	}
	clock := hw.child("RTC")
	if clock == nil {
		clock = hw.child("Platform", "RTC")
	}
	m.RTCUTC = strings.EqualFold(clock.attrOr("localOrUTC", ""), "UTC")
	m.Boot = vboxBootOrder(hw.child("Boot"))
	for _, size := range []struct {
		element, attr string
		to            *int
	}{{"Memory", "RAMSize", &m.MemoryMiB}, {"Display", "VRAMSize", &m.VideoMiB}, {"CPU", "count", &m.CPUs}} {
		if c := hw.child(size.element); c != nil {
			if text, ok := c.attr(size.attr); ok {
				n, err := number(text, 64<<20)
				if err != nil {
					return c.errorf("%s %w", size.attr, err)
				}
				*size.to = n
			}
		}
	}
	m.USB = vboxUSBKind(hw.child("USB"))
	m.Sound = vboxSound(hw.child("AudioAdapter"))
	m.Serial = rd.vboxPorts(hw.child("UART"))
	return rd.vboxAdapters(hw.child("Network"))
}

func vboxBootOrder(n *node) []hardware.BootDevice {
	var order []hardware.BootDevice
	for _, o := range n.all("Order") {
		for device, name := range vboxDevices {
			if o.attrOr("device", "") == name && !slices.Contains(order, device) {
				order = append(order, device)
			}
		}
	}
	return order
}

func vboxUSBKind(n *node) hardware.USB {
	kind := hardware.NoUSB
	for _, c := range n.child("Controllers").all("Controller") {
		switch strings.ToUpper(c.attrOr("type", "")) {
		case "XHCI":
			return hardware.USB3
		case "EHCI":
			kind = hardware.USB2
		case "OHCI":
			if kind == hardware.NoUSB {
				kind = hardware.USB1
			}
		}
	}
	return kind
}

func vboxSound(n *node) hardware.Sound {
	if n == nil || n.attrOr("enabled", "true") != "true" {
		return hardware.NoSound
	}
	switch sound := hardware.Sound(strings.ToLower(n.attrOr("controller", "AC97"))); sound {
	case hardware.HDA, hardware.SB16:
		return sound
	}
	return hardware.AC97
}

func (rd *reader) vboxPorts(n *node) []hardware.Serial {
	var ports []hardware.Serial
	for _, p := range n.all("Port") {
		slot, err := number(p.attrOr("slot", ""), 3)
		if err != nil || p.attrOr("enabled", "true") != "true" {
			continue
		}
		s := hardware.Serial{Port: slot, Kind: hardware.SerialNone}
		path := p.attrOr("path", "")
		switch mode := p.attrOr("hostMode", ""); {
		case path == "" || mode == "Disconnected":
		case mode == "RawFile":
			s.Kind, s.Path = hardware.SerialFile, path
		case mode == "HostPipe":
			s.Kind, s.Path = hardware.SerialPipe, path
		default:
			rd.remark(p, "serial port %d goes to a %s of the host: nothing is behind it here", slot, mode)
		}
		ports = append(ports, s)
	}
	slices.SortFunc(ports, func(a, b hardware.Serial) int { return cmp.Compare(a.Port, b.Port) })
	return ports
}

// vboxAdapters reads the network cards in the order of their slots; those that are not enabled are not there.
func (rd *reader) vboxAdapters(n *node) error {
	type slotted struct {
		slot int
		card hardware.NIC
	}
	var found []slotted
	for _, a := range n.all("Adapter") {
		slot, err := number(a.attrOr("slot", ""), 35)
		if err != nil {
			return a.errorf("slot %w", err)
		}
		if a.attrOr("enabled", "false") != "true" {
			continue
		}
		card, err := rd.vboxAdapter(a)
		if err != nil {
			return err
		}
		found = append(found, slotted{slot, card})
	}
	slices.SortStableFunc(found, func(a, b slotted) int { return cmp.Compare(a.slot, b.slot) })
	rd.d.Machine.NICs = nil
	for _, f := range found {
		rd.d.Machine.NICs = append(rd.d.Machine.NICs, f.card)
	}
	return nil
}

func (rd *reader) vboxAdapter(a *node) (hardware.NIC, error) {
	card := hardware.NIC{Unplugged: a.attrOr("cable", "true") == "false", Connection: hardware.Detached}
	model := a.attrOr("type", vboxModels[hardware.PCNet])
	for m, name := range vboxModels {
		if name == model {
			card.Model = m
		}
	}
	if card.Model == "" {
		rd.remark(a, "a network card %q is not known and taken for an %s", model, vboxModels[hardware.PCNet])
		card.Model = hardware.PCNet
	}
	if mac := a.attrOr("MACAddress", ""); mac != "" {
		var err error
		if card.MAC, err = parseMAC(mac); err != nil {
			return card, a.errorf("%w", err)
		}
	}
	for _, c := range a.children {
		for connection, element := range vboxAttachments {
			if c.name == element {
				card.Connection, card.Network = connection, c.attrOr("name", "")
			}
		}
	}
	if card.Connection == hardware.Named && card.Network == "" {
		card.Network = "NatNetwork" // VirtualBox's first
	}
	return card, nil
}

func (rd *reader) vboxStorage(n *node) error {
	var controllers []hardware.Controller
	for _, s := range n.all("StorageController") {
		c := hardware.Controller{Name: s.attrOr("name", ""), Bus: vboxBusOf(s.attrOr("type", ""))}
		if c.Bus == "" {
			rd.remark(s, "controller %q of type %q is left out with its drives", c.Name, s.attrOr("type", ""))
			continue
		}
		for _, a := range s.all("AttachedDevice") {
			if err := rd.vboxAttached(a, &c); err != nil {
				return err
			}
		}
		slices.SortFunc(c.Drives, byPort)
		kind := vboxBuses[c.Bus]
		if ports, err := number(s.attrOr("PortCount", "0"), 255); err == nil && kind.variable && ports > kind.neededPorts(c) {
			c.Ports = ports
		}
		controllers = append(controllers, c)
	}
	rd.d.Machine.Controllers = controllers
	return nil
}

// vboxBusOf reads the type of a controller, "" if it is not known.
func vboxBusOf(typ string) hardware.Bus {
	if typ == "PIIX3" || typ == "ICH6" { // what differs no guest needs to know
		return hardware.IDE
	}
	for bus, kind := range vboxBuses {
		if strings.EqualFold(kind.typ, typ) {
			return bus
		}
	}
	return ""
}

func (rd *reader) vboxAttached(a *node, c *hardware.Controller) error {
	port, errPort := number(a.attrOr("port", "0"), 255)
	device, errDevice := number(a.attrOr("device", "0"), 1)
	if errPort != nil || errDevice != nil || c.Bus == hardware.IDE && port > 1 {
		return a.errorf("port %q and device %q are no place of a drive", a.attrOr("port", ""), a.attrOr("device", ""))
	}
	d := hardware.Drive{Kind: hardware.CD}
	switch a.attrOr("type", "HardDisk") {
	case "HardDisk":
		d.Kind = hardware.Disk
	case "Floppy":
		d.Kind = hardware.FloppyDrive
	}
	if image := a.child("Image"); image != nil {
		uuid := plainUUID(image.attrOr("uuid", ""))
		entry, ok := rd.images[uuid]
		switch {
		case ok:
			d = entry.drive(d.Kind)
		case d.Kind == hardware.Disk:
			return a.errorf("controller %q: it has the disk image {%s}, but DiskSection describes no such image: export the machine again", c.Name, uuid)
		default:
			rd.remark(a, "the medium {%s} is not in the package", uuid)
		}
	} else if d.Kind == hardware.Disk {
		return a.errorf("controller %q: a disk without an image", c.Name)
	}
	switch c.Bus {
	case hardware.IDE:
		d.Port = port*2 + device
	case hardware.Floppy:
		d.Port = device
	default:
		d.Port = port
	}
	if taken(c, d.Port) {
		return a.errorf("controller %q: two drives are on port %d", c.Name, d.Port)
	}
	c.Drives = append(c.Drives, d)
	return nil
}
