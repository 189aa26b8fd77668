package hardware

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Product is whose machine it is to be.
type Product string

// The products.
const (
	VirtualBox Product = "virtualbox"
	VMware     Product = "vmware"
)

// limits are what a product takes of one kind of controller.
type limits struct {
	ports       int // drives on one of them
	reserved    int // a port that is the controller's own; -1: none
	controllers int // how many of them a machine may have
}

// buses says which controllers a product has. VirtualBox's own exports hold one controller of a kind (ApplianceImplExport.cpp), and
// count all kinds of SCSI as one.
func (p Product) buses() map[Bus]limits {
	if p == VirtualBox {
		return map[Bus]limits{
			IDE: {4, -1, 1}, SATA: {30, -1, 1}, Floppy: {2, -1, 1}, NVMe: {255, -1, 1}, VirtioSCSI: {256, -1, 1},
			LsiLogic: {16, 7, 1}, BusLogic: {16, 7, 1}, LsiLogicSAS: {255, -1, 1},
		}
	}
	return map[Bus]limits{
		IDE: {4, -1, 1}, SATA: {30, -1, 4}, Floppy: {2, -1, 1}, NVMe: {15, -1, 4},
		LsiLogic: {16, 7, 4}, BusLogic: {16, 7, 4}, LsiLogicSAS: {16, 7, 4}, PVSCSI: {16, 7, 4},
	}
}

func (p Product) models() []NICModel {
	if p == VirtualBox {
		return []NICModel{E1000, E1000Server, E1000T, Virtio, PCNet, PCNetFast}
	}
	return []NICModel{E1000, E1000e, VMXNet3, PCNet}
}

func (p Product) cards() int {
	if p == VirtualBox {
		return 8
	}
	return 10
}

func (p Product) title() string {
	if p == VirtualBox {
		return "VirtualBox"
	}
	return "VMware"
}

// SCSI tells whether the bus is one of the kinds of SCSI controllers that products number together.
func (b Bus) SCSI() bool {
	return slices.Contains([]Bus{LsiLogic, LsiLogicSAS, BusLogic, PVSCSI}, b)
}

// Check tells, all at once, why a product could not start m. Field names in the errors are those of the machine.
func (m Machine) Check(p Product) error {
	if p != VirtualBox && p != VMware {
		return fmt.Errorf("there is no product %q: use %q or %q", p, VirtualBox, VMware)
	}
	errs := []error{checkName(m.Name), checkText("description", m.Description), checkUUID("the machine's", m.UUID), checkFile("nvram", m.NVRAM)}
	if m.CPUs < 1 || m.CPUs > maxCPUs {
		errs = append(errs, fmt.Errorf("%d processors: give it 1 to %d", m.CPUs, maxCPUs))
	}
	if m.CoresPerSocket < 0 || m.CoresPerSocket > 0 && m.CPUs%m.CoresPerSocket != 0 {
		errs = append(errs, fmt.Errorf("%d cores a socket do not divide %d processors", m.CoresPerSocket, m.CPUs))
	}
	if m.MemoryMiB < 1 || m.MemoryMiB > maxMemory || m.VideoMiB < 0 || m.VideoMiB > maxVideo {
		errs = append(errs, fmt.Errorf("%d MiB of memory and %d of video memory: both have their limits", m.MemoryMiB, m.VideoMiB))
	}
	errs = append(errs, m.checkFirmware(p), m.checkBoot(), m.checkControllers(p), m.checkCards(p), m.checkExtras(p))
	return errors.Join(errs...)
}

// Limits beyond all products', so that numbers of a strange file cannot overflow anything.
const (
	maxCPUs     = 1024
	maxMemory   = 64 << 20 // MiB
	maxVideo    = 16 << 10
	maxCapacity = 1 << 60 // bytes
	maxSerial   = 4
)

func (m Machine) checkFirmware(p Product) error {
	switch {
	case !slices.Contains([]Firmware{BIOS, UEFI, UEFI32}, m.Firmware):
		return fmt.Errorf("firmware %q is not known: use bios (empty), %q or %q", m.Firmware, UEFI, UEFI32)
	case m.Firmware == UEFI32 && p == VMware:
		return errors.New("VMware has no 32-bit UEFI: use uefi")
	case m.SecureBoot && m.Firmware == BIOS:
		return errors.New("secure boot needs UEFI")
	case m.Chipset != PIIX3 && m.Chipset != ICH9:
		return fmt.Errorf("chipset %q is not known: use piix3 (empty) or %q", m.Chipset, ICH9)
	}
	return nil
}

func (m Machine) checkBoot() error {
	for i, d := range m.Boot {
		if !slices.Contains([]BootDevice{BootDisk, BootCD, BootFloppy, BootNetwork}, d) || slices.Contains(m.Boot[:i], d) {
			return fmt.Errorf("boot order %v: name each of disk, cd, floppy, network once at most", m.Boot)
		}
	}
	return nil
}

func (m Machine) checkControllers(p Product) error {
	var errs []error
	buses := p.buses()
	count, names := map[Bus]int{}, map[string]bool{}
	for i, c := range m.Controllers {
		limit, ok := buses[c.Bus]
		if !ok {
			errs = append(errs, fmt.Errorf("controller %d: %s has no %s controller; move its drives to another", i, p.title(), c.Bus))
			continue
		}
		kind := c.Bus
		if c.Bus.SCSI() {
			kind = "scsi"
		}
		if count[kind]++; count[kind] > limit.controllers {
			errs = append(errs, fmt.Errorf("controller %d: %s takes %d %s controller(s)", i, p.title(), limit.controllers, kind))
		}
		if c.Name != "" && names[c.Name] {
			errs = append(errs, fmt.Errorf("controller %d: its name %q is taken", i, c.Name))
		}
		names[c.Name] = true
		errs = append(errs, checkText("name of controller", c.Name), c.check(p, limit))
	}
	return errors.Join(errs...)
}

func (c Controller) check(p Product, limit limits) error {
	var errs []error
	if c.Ports < 0 || c.Ports > limit.ports {
		errs = append(errs, fmt.Errorf("%s controller: %d ports, and it has %d at most", c.Bus, c.Ports, limit.ports))
	}
	last := -1
	for _, d := range c.Drives {
		if d.Port < 0 || d.Port >= limit.ports || d.Port == limit.reserved {
			errs = append(errs, fmt.Errorf("%s controller: there is no port %d for a drive", c.Bus, d.Port))
		}
		if d.Port <= last {
			errs = append(errs, fmt.Errorf("%s controller: the drive on port %d is not in order, or one of two", c.Bus, d.Port))
		}
		last = d.Port
		errs = append(errs, d.check(p, c.Bus))
	}
	return errors.Join(errs...)
}

func (d Drive) check(p Product, bus Bus) error {
	at := fmt.Sprintf("%s drive %d", bus, d.Port)
	wrong := func(format string, args ...any) error { return fmt.Errorf(at+": "+format, args...) }
	switch {
	case d.Kind != Disk && d.Kind != CD && d.Kind != FloppyDrive:
		return wrong("%q is no kind of drive", d.Kind)
	case (bus == Floppy) != (d.Kind == FloppyDrive) || bus == NVMe && d.Kind == CD:
		return wrong("a %s drive cannot be there", d.Kind)
	case d.Kind == Disk && d.File == "":
		return wrong("a disk needs a file")
	case d.Kind != Disk && d.Format != "":
		return wrong("a %s has no format of disks", d.Kind)
	case d.Size < 0 || d.Capacity < 0 || d.Capacity > maxCapacity || d.Size > maxCapacity:
		return wrong("impossible size (%d bytes, %d to the guest)", d.Size, d.Capacity)
	}
	return errors.Join(checkFile(at, d.File), checkUUID(at+"'s", d.UUID))
}

var macPattern = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)

func (m Machine) checkCards(p Product) error {
	var errs []error
	if len(m.NICs) > p.cards() {
		errs = append(errs, fmt.Errorf("%d network cards: %s takes %d", len(m.NICs), p.title(), p.cards()))
	}
	for i, n := range m.NICs {
		if !slices.Contains(p.models(), n.Model) {
			errs = append(errs, fmt.Errorf("network card %d: %s has no %q; it has %v", i, p.title(), n.Model, p.models()))
		}
		if n.MAC != "" && !macPattern.MatchString(n.MAC) {
			errs = append(errs, fmt.Errorf("network card %d: %q is no MAC address such as 08:00:27:01:02:03", i, n.MAC))
		}
		if !slices.Contains([]Connection{NAT, Bridged, HostOnly, Internal, Named, Detached}, n.Connection) {
			errs = append(errs, fmt.Errorf("network card %d: connection %q is not known", i, n.Connection))
		}
		if n.Connection == Named && n.Network == "" {
			errs = append(errs, fmt.Errorf("network card %d: name the network", i))
		}
		errs = append(errs, checkText("network", n.Network))
	}
	return errors.Join(errs...)
}

func (m Machine) checkExtras(p Product) error {
	var errs []error
	if !slices.Contains([]USB{NoUSB, USB1, USB2, USB3}, m.USB) {
		errs = append(errs, fmt.Errorf("usb %q is not known", m.USB))
	}
	cards := []Sound{NoSound, HDA, SB16, ES1371}
	if p == VirtualBox {
		cards = []Sound{NoSound, HDA, SB16, AC97}
	}
	if !slices.Contains(cards, m.Sound) {
		errs = append(errs, fmt.Errorf("%s has no sound card %q", p.title(), m.Sound))
	}
	last := -1
	for _, s := range m.Serial {
		if s.Port <= last || s.Port >= maxSerial {
			errs = append(errs, fmt.Errorf("serial port %d: ports are 0 to %d, in order", s.Port, maxSerial-1))
		}
		last = s.Port
		if !slices.Contains([]SerialKind{SerialFile, SerialPipe, SerialNone}, s.Kind) || (s.Kind == SerialNone) != (s.Path == "") {
			errs = append(errs, fmt.Errorf("serial port %d: %q to %q is not possible", s.Port, s.Kind, s.Path))
		}
		errs = append(errs, checkText("path of serial port", s.Path))
	}
	if m.VMwareVersion < 0 || m.VMwareVersion > 0 && m.VMwareVersion < 4 || m.VMwareVersion > 99 {
		errs = append(errs, fmt.Errorf("hardware version vmx-%d is not known", m.VMwareVersion))
	}
	return errors.Join(errs...)
}

func checkName(name string) error {
	if strings.TrimSpace(name) != name || name == "" || strings.ContainsAny(name, "/\\\r\n\t") {
		return fmt.Errorf("%q cannot be the name of a machine: it is that of a folder, too", name)
	}
	return checkText("name", name)
}

// checkText refuses what XML 1.0 cannot hold at all, nor a VMX file keep.
func checkText(what, s string) error {
	if !utf8.ValidString(s) || strings.IndexFunc(s, unprintable) >= 0 {
		return fmt.Errorf("%s %q has characters that cannot be written down", what, s)
	}
	return nil
}

func unprintable(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r == '\ufffe' || r == '\uffff'
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func checkUUID(whose, uuid string) error {
	if uuid != "" && !uuidPattern.MatchString(uuid) {
		return fmt.Errorf("%s uuid %q is not in lower case with dashes", whose, uuid)
	}
	return nil
}

// checkFile takes plain file names, and of those what needs no escaping in a URI that readers do not agree about.
func checkFile(what, name string) error {
	if name == "" {
		return nil
	}
	bad := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-+=@~,() ", r)
	}
	if !fs.ValidPath(name) || strings.IndexFunc(name, bad) >= 0 || strings.TrimSpace(name) != name {
		return fmt.Errorf("%s: rename the file %q: use letters, digits and . _ - beside the descriptor", what, name)
	}
	return nil
}
