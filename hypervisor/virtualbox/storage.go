package virtualbox

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// bus is a kind of storage controller as templates name it, with the name and the switches that packer-plugin-virtualbox
// gives it.
type bus struct {
	arg   string // in templates
	name  string // of the controller
	add   string // storagectl --add
	chip  string // storagectl --controller
	disks int    // places for disks beside the CDs
	cds   []place
}

// place is where on a controller something is attached.
type place struct{ port, device int }

// buses are the controllers of new machines. CDs have fixed places: the medium to boot from, the guest additions, the seed.
func buses() []bus {
	onIDE := []place{{0, 1}, {1, 0}, {1, 1}}
	high := []place{{13, 0}, {14, 0}, {15, 0}}
	return []bus{
		{arg: "ide", name: "IDE", add: "ide", chip: "PIIX4", disks: 1, cds: onIDE},
		{arg: "sata", name: "SATA", add: "sata", chip: "IntelAhci", disks: 13, cds: high},
		{arg: "scsi", name: "SCSI", add: "scsi", chip: "LSILogic", disks: 16},
		{arg: "pcie", name: "NVMe", add: "pcie", chip: "NVMe", disks: 255},
		{arg: "virtio", name: "VirtioSCSI", add: "virtio", chip: "VirtIO", disks: 13, cds: high},
	}
}

// busOf returns the bus of that argument.
func busOf(arg string) (bus, error) {
	for _, b := range buses() {
		if b.arg == arg {
			return b, nil
		}
	}
	return bus{}, fmt.Errorf("a disk on %q: VirtualBox has ide, sata, scsi, pcie and virtio", arg)
}

// diskPlaces is how many disks a bus has room for.
func diskPlaces(arg string) int {
	b, err := busOf(arg)
	if err != nil {
		return 1 // the argument is refused anyway
	}
	return b.disks
}

// The order of CDs at a controller, in bus.cds.
const (
	cdBoot = iota
	cdAdditions
	cdSeed
)

// ports is how many ports a controller needs for disks and CDs; 0 where the number is fixed.
func (b bus) ports(s storageSettings, disks int, cds bool) int {
	n := disks
	switch b.arg {
	case "sata":
		n = max(n, s.SATAPorts)
	case "pcie":
		return max(n, s.NVMePorts)
	case "virtio":
	default:
		return 0
	}
	if cds {
		n = max(n, b.cds[len(b.cds)-1].port+1)
	}
	return n
}

// addController makes a controller.
func (d *Driver) addController(ctx context.Context, machine string, b bus, ports int) error {
	args := []string{"storagectl", machine, "--name", b.name, "--add", b.add, "--controller", b.chip}
	if ports > 0 {
		args = append(args, "--portcount", strconv.Itoa(ports))
	}
	_, err := d.vbox.run(ctx, args...)
	return err
}

// attach puts a medium into a place of a controller: kind is hdd, dvddrive or fdd.
func (d *Driver) attach(ctx context.Context, machine string, at attachment, kind string, more ...string) error {
	args := append(at.args(machine), "--type", kind, "--medium", at.medium)
	_, err := d.vbox.run(ctx, append(args, more...)...)
	return err
}

// detach takes whatever is there away, the drive too.
func (d *Driver) detach(ctx context.Context, machine string, at attachment) error {
	_, err := d.vbox.run(ctx, append(at.args(machine), "--medium", "none")...)
	return err
}

func (a attachment) args(machine string) []string {
	return []string{"storageattach", machine, "--storagectl", a.controller, "--port", strconv.Itoa(a.port), "--device", strconv.Itoa(a.device)}
}

// diskSwitches are those of storageattach for a disk.
func diskSwitches(disk hypervisor.Disk, s storageSettings) []string {
	var args []string
	if s.Nonrotational {
		args = append(args, "--nonrotational", "on")
	}
	if disk.Discard == "unmap" {
		args = append(args, "--discard", "on")
	}
	return args
}

// cd is an image to attach, with the place that it has in new machines.
type cd struct {
	path string
	kind int // cdBoot, cdAdditions, cdSeed
	bus  string
}

// cds are the CDs of a machine. Where there is no medium to boot from, the first is the seed.
func cds(spec hypervisor.Spec, s settings) []cd {
	var all []cd
	for i, path := range spec.CDs {
		kind := cdSeed
		if i == 0 && s.Kind == kindISO {
			kind = cdBoot
		}
		all = append(all, cd{path, kind, s.Storage.ISO})
	}
	if s.Additions.Mode == "attach" {
		all = append(all, cd{spec.Fetched[additionsName], cdAdditions, s.Additions.Interface})
	}
	return all
}

// needed lists the controllers of a new machine with their ports. IDE is always there: templates attach things to it.
func needed(spec hypervisor.Spec, s settings) (list []bus, ports []int, err error) {
	discs := cds(spec, s)
	for _, b := range buses() {
		disks := 0
		for _, d := range spec.Disks {
			if d.Interface == b.arg {
				disks++
			}
		}
		hasCD := slices.ContainsFunc(discs, func(c cd) bool { return c.bus == b.arg })
		if hasCD && b.cds == nil {
			return nil, nil, fmt.Errorf("a CD on %s: VirtualBox cannot do that", b.arg)
		}
		if b.arg == "ide" || disks > 0 || hasCD {
			list, ports = append(list, b), append(ports, b.ports(s.Storage, disks, hasCD))
		}
	}
	return list, ports, nil
}

// attachCDs attaches the CDs to their places in a new machine, or to free ones in a machine that was not made here. What it
// attached is noted in the record, to be taken away again.
func (d *Driver) attachCDs(ctx context.Context, m *Machine, spec hypervisor.Spec) error {
	for _, c := range cds(spec, m.record.Settings) {
		at, err := d.placeOf(ctx, m, c)
		if err != nil {
			return err
		}
		at.medium = c.path
		if err := d.attach(ctx, m.uuid, at, "dvddrive"); err != nil {
			return err
		}
		m.record.CDs = append(m.record.CDs, slot{at.controller, at.port, at.device})
	}
	return nil
}

// placeOf is where a CD goes.
func (d *Driver) placeOf(ctx context.Context, m *Machine, c cd) (attachment, error) {
	b, err := busOf(c.bus)
	if err != nil {
		return attachment{}, err
	}
	in, err := d.vbox.info(ctx, m.uuid)
	if err != nil {
		return attachment{}, err
	}
	if m.record.Settings.Kind == kindISO {
		at := b.cds[c.kind]
		if !in.taken(b.name, at.port, at.device) {
			return attachment{controller: b.name, port: at.port, device: at.device}, nil
		}
	}
	return d.freePlace(ctx, m, b, in)
}

// kindsOf are the chips that VirtualBox has for a bus. Source: VirtualBox 6.1 VBoxManageInfo.cpp.
var kindsOf = map[string][]string{
	"ide": {"PIIX3", "PIIX4", "ICH6"}, "sata": {"IntelAhci", "IntelAHCI"}, "virtio": {"VirtIO", "VirtioSCSI"},
}

// freePlace finds room for a CD on any controller of the bus, and makes one if there is none.
func (d *Driver) freePlace(ctx context.Context, m *Machine, b bus, in info) (attachment, error) {
	for _, c := range in.controllers {
		if !slices.Contains(kindsOf[b.arg], c.kind) {
			continue
		}
		for _, at := range places(b) {
			if !in.taken(c.name, at.port, at.device) {
				return attachment{controller: c.name, port: at.port, device: at.device}, nil
			}
		}
	}
	if in.controllerNamed(b.name) {
		return attachment{}, fmt.Errorf("a CD: the controller %q of the machine has no free place", b.name)
	}
	at := places(b)[0]
	if err := d.addController(ctx, m.uuid, b, b.ports(storageSettings{}, 1, true)); err != nil {
		return attachment{}, err
	}
	m.record.Controllers = append(m.record.Controllers, b.name)
	return attachment{controller: b.name, port: at.port, device: at.device}, nil
}

// places are all on a controller, the second half of an IDE bus first: disks are in the first one.
func places(b bus) []place {
	if b.arg == "ide" {
		return []place{{1, 0}, {1, 1}, {0, 1}, {0, 0}}
	}
	const most = 30
	var all []place
	for port := range most {
		all = append(all, place{port: port})
	}
	return all
}

// floppyController is the name of the controller that is added for the seed floppy.
const floppyController = "Floppy"

func (d *Driver) attachFloppy(ctx context.Context, m *Machine, path string) error {
	if path == "" {
		return nil
	}
	if _, err := d.vbox.run(ctx, "storagectl", m.uuid, "--name", floppyController, "--add", "floppy", "--controller", "I82078"); err != nil {
		return err
	}
	m.record.Controllers = append(m.record.Controllers, floppyController)
	return d.attach(ctx, m.uuid, attachment{controller: floppyController, medium: path}, "fdd")
}
