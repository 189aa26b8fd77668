package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fromMachine takes from vbox:Machine what the OVF proper has no words for.
func (p *importPlan) fromMachine(v *vboxMachine, o importOptions) {
	m, hw := p.machine, v.Hardware
	set := func(key, value string) {
		if value != "" {
			m.Settings[key] = value
		}
	}
	set("firmware", hw.Firmware.Type)
	set("chipset", strings.ToLower(hw.Chipset.Type))
	set("vram", hw.Display.VRAM)
	set("graphicscontroller", strings.ToLower(hw.Display.Controller))
	if hw.CPU.PAE.Enabled != "" {
		m.Settings["pae"] = onOff(hw.CPU.PAE.Enabled == "true")
	}
	m.Settings["rtcuseutc"] = onOff(hw.RTC.LocalOrUTC == "UTC")
	devices := map[string]string{"HardDisk": "disk", "DVD": "dvd", "Floppy": "floppy", "Network": "net", "None": "none"}
	for _, b := range hw.Boot {
		if b.Position >= 1 && b.Position <= len(m.Boot) {
			m.Boot[b.Position-1] = cmp.Or(devices[b.Device], "none")
		}
	}
	for _, a := range hw.Adapters {
		if a.Slot >= 0 && a.Slot < len(m.NICs) && a.Enabled == "true" {
			a.apply(&m.NICs[a.Slot], o)
		}
	}
}

// apply makes a card what it was. It gets a new address unless asked to keep it.
func (a vboxAdapter) apply(n *nic, o importOptions) {
	n.Type, n.Model, n.Cable = "null", cmp.Or(a.Type, n.Model), a.Cable != "false"
	switch {
	case a.NAT != nil:
		n.Type, n.Reachable = "nat", a.NAT.Reachable == "true"
		n.Forwards = nil
		for _, f := range a.NAT.Forwards {
			protocol := map[int]string{0: "udp", 1: "tcp"}[f.Proto]
			n.Forwards = append(n.Forwards, forward{f.Name, protocol, f.HostIP, f.HostPort, f.GuestIP, f.GuestPort})
		}
	case a.Bridged != nil:
		n.Type, n.Net = "bridged", a.Bridged.Name
	case a.HostOnly != nil:
		n.Type, n.Net = "hostonly", a.HostOnly.Name
	case a.Internal != nil:
		n.Type, n.Net = "intnet", a.Internal.Name
	}
	if a.MAC != "" && (o.keepMACs == "all" || o.keepMACs == "nat" && n.Type == "nat") {
		n.MAC = a.MAC
	}
}

// storage plans controllers and drives: from vbox:Machine if there is one, else from the items.
func (p *importPlan) storage(o importOptions) error {
	first := len(p.units)
	seen := map[string]bool{}
	for _, ctl := range p.system.controllers {
		key := ctl.kind
		if key != "ide" {
			key += ctl.id
		}
		if seen[key] && ctl.kind == "ide" {
			continue
		}
		seen[key] = true
		label := map[string]string{"ide": "IDE", "sata": "SATA", "scsi": "SCSI", "sas": "SAS", "virtio": "Virtio SCSI"}[ctl.kind]
		kind := ctl.chip
		if ctl.kind == "sata" {
			kind = "AHCI"
		}
		p.add("%s controller, type %s\n    (disable with \"--vsys %d --unit %d --ignore\")", label, kind, p.index, len(p.units))
	}
	p.controllers()
	for i, d := range p.system.drives {
		if d.cd {
			continue
		}
		if err := p.disk(i, d, first, o); err != nil {
			return err
		}
	}
	return nil
}

// controllers gives the machine its controllers.
func (p *importPlan) controllers() {
	m := p.machine
	if v := p.system.machine; v != nil && len(v.controllers()) > 0 {
		for _, ctl := range v.controllers() {
			chip, ok := chip(map[bool]string{true: "IntelAhci", false: ctl.Type}[ctl.Type == "AHCI"])
			if !ok {
				continue
			}
			m.Storage = append(m.Storage, &controller{Name: ctl.Name, Bus: chips[chip], Type: chip, Ports: ctl.PortCount, Bootable: ctl.Bootable != "false"})
			for _, dev := range ctl.Devices {
				if kind := map[string]string{"DVD": "dvddrive", "Floppy": "fdd"}[dev.Type]; kind != "" {
					m.Storage[len(m.Storage)-1].attach(&attachment{Port: dev.Port, Device: dev.Device, Type: kind})
				}
			}
		}
		return
	}
	for _, ctl := range p.system.controllers {
		name := map[string]string{"ide": "IDE Controller", "sata": "SATA Controller", "scsi": "SCSI Controller", "sas": "SAS Controller", "virtio": "Virtio SCSI Controller"}[ctl.kind]
		if slices.ContainsFunc(m.Storage, func(c *controller) bool { return c.Name == name }) {
			continue
		}
		k, _ := kindOf(ctl.kind)
		ports := k.ports
		if ctl.kind == "sata" {
			ports = 1
		}
		m.Storage = append(m.Storage, &controller{Name: name, Bus: ctl.kind, Type: ctl.chip, Ports: ports, Bootable: true})
	}
	for _, d := range p.system.drives {
		if ctl, port, device := p.place(d); d.cd && ctl != nil {
			ctl.attach(&attachment{Port: port, Device: device, Type: "dvddrive"})
		}
	}
}

// place is where a drive goes by its item.
func (p *importPlan) place(d ovfDrive) (ctl *controller, port, device int) {
	for _, c := range p.system.controllers {
		if c.id != d.parent {
			continue
		}
		for _, ctl := range p.machine.Storage {
			if ctl.Bus != c.kind {
				continue
			}
			if c.kind == "ide" {
				return ctl, c.address, d.address
			}
			return ctl, d.address, 0
		}
	}
	return nil, 0, 0
}

// disk plans a hard disk: its target, and the line about it.
func (p *importPlan) disk(i int, d ovfDrive, first int, o importOptions) error {
	number := len(p.units)
	source := p.sourceOf(d)
	target := filepath.Base(source.href)
	if o.vdi {
		target = strings.TrimSuffix(target, filepath.Ext(target)) + ".vdi"
	}
	if p.args[fmt.Sprintf("ignore %d", number)] != "" {
		p.units = append(p.units, unit{text: fmt.Sprintf("Hard disk image: source image=%s -- disabled", source.href), drive: i, ignored: true})
		return nil
	}
	where := fmt.Sprintf("controller=%d;channel=%d", first, d.address)
	if path := p.args[fmt.Sprintf("disk %d", number)]; path != "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		p.targets[i] = abs
		p.units = append(p.units, unit{text: fmt.Sprintf("Hard disk image: source image=%s, target path=%s, %s", source.href, path, where), drive: i})
		return nil
	}
	p.targets[i] = filepath.Join(p.machine.Folder, target)
	p.units = append(p.units, unit{drive: i, text: fmt.Sprintf(
		"Hard disk image: source image=%s, target path=%s, %s\n    (change target path with \"--vsys %d --unit %d --disk path\";\n    disable with \"--vsys %d --unit %d --ignore\")",
		source.href, target, where, p.index, number, p.index, number)})
	return nil
}

func (p *importPlan) sourceOf(d ovfDrive) ovfDisk {
	for _, x := range p.system.disks {
		if x.id == d.disk {
			return x
		}
	}
	return ovfDisk{}
}

// carryOut makes the machines. If one cannot be made, none of them stays.
func (c *call) carryOut(source *source, plans []*importPlan, o importOptions) (err error) {
	var undo []string
	defer func() {
		if err != nil {
			for _, path := range slices.Backward(undo) {
				os.Remove(path)
			}
		}
	}()
	var media []*medium
	for _, p := range plans {
		if err := os.MkdirAll(p.machine.Folder, 0o700); err != nil {
			return err
		}
		undo = append(undo, p.machine.Folder)
		for i, d := range p.system.drives {
			target := p.targets[i]
			if target == "" {
				continue
			}
			x, err := p.importDisk(source, d, target)
			if err != nil {
				return err
			}
			undo = append(undo, target)
			media = append(media, x)
		}
		p.machine.Registered = true
	}
	return c.change(func(s *state) error {
		for _, p := range plans {
			if err := s.wantFree(p.machine); err != nil {
				return err
			}
			s.Machines = append(s.Machines, p.machine)
			if err := p.machine.save(c.profile); err != nil {
				return err
			}
		}
		s.Media = append(s.Media, media...)
		return nil
	})
}

// importDisk converts a disk and attaches it.
func (p *importPlan) importDisk(source *source, d ovfDrive, target string) (*medium, error) {
	from := p.sourceOf(d)
	if _, err := os.Stat(target); err == nil {
		return nil, &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Destination file '%s' exists", target)}
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return nil, err
	}
	path, err := source.file(from.href)
	if err != nil {
		return nil, err
	}
	format := "VMDK"
	for _, f := range imageFormats {
		if strings.EqualFold(filepath.Ext(target), f.suffix) && f.name != "RAW" && f.name != "QCOW" {
			format = f.name
		}
	}
	x := &medium{UUID: newUUID(), Device: "disk", Path: target, Format: format, Type: "normal"}
	image, err := probeMedium("disk", path)
	if err != nil {
		return nil, err
	}
	if err := convert(image, x, "Standard"); err != nil {
		return nil, &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf(
			"Could not create the imported medium '%s'.\nVBoxManage: error: VMDK: %v (VERR_VD_VMDK_INVALID_HEADER)", target, err)}
	}
	p.attach(d, from, x)
	return x, nil
}

// attach puts a disk where vbox:Machine says, by the UUID of its image, or else its item.
func (p *importPlan) attach(d ovfDrive, from ovfDisk, x *medium) {
	a := &attachment{Type: "hdd", Medium: x.UUID}
	if v := p.system.machine; v != nil {
		for _, ctl := range v.controllers() {
			for _, dev := range ctl.Devices {
				if dev.Type != "HardDisk" || dev.Image == nil || asUUID(dev.Image.UUID) != from.uuid {
					continue
				}
				if here, err := p.machine.controller(ctl.Name); err == nil {
					a.Port, a.Device = dev.Port, dev.Device
					here.attach(a)
					return
				}
			}
		}
	}
	if ctl, port, device := p.place(d); ctl != nil {
		a.Port, a.Device = port, device
		ctl.attach(a)
	}
}
