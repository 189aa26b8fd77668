package vmx

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// FromMachine makes the file of a machine. It fails where VMware could not start it ([hardware.Machine.Check]); what a VMX file has no
// words for is left out, and told by Losses.
func FromMachine(m hardware.Machine) (*File, error) {
	if err := m.Check(hardware.VMware); err != nil {
		return nil, fmt.Errorf("machine %q cannot be written as a VMX file: %w", m.Name, err)
	}
	f := &File{}
	version := cmp.Or(m.VMwareVersion, hardware.DefaultVMwareVersion)
	for _, kv := range [][2]string{
		{encodingKey, utf8Name}, {"config.version", "8"}, {"virtualHW.version", strconv.Itoa(version)},
		{"displayName", m.Name}, {"guestOS", m.Guest.OS().VMX},
	} {
		f.Set(kv[0], kv[1])
	}
	f.setSome("annotation", m.Description)
	f.Set("numvcpus", strconv.Itoa(m.CPUs))
	f.setNumber("cpuid.coresPerSocket", m.CoresPerSocket)
	f.Set("memsize", strconv.Itoa(m.MemoryMiB))
	f.setNumber("svga.vramSize", m.VideoMiB<<20)
	f.firmware(m)
	f.bridges()
	f.controllers(m.Controllers)
	f.cards(m.NICs)
	f.extras(m)
	return f, nil
}

func (f *File) setSome(key, value string) {
	if value != "" {
		f.Set(key, value)
	}
}

func (f *File) setNumber(key string, n int) {
	if n != 0 {
		f.Set(key, strconv.Itoa(n))
	}
}

// bootDevices are VMware's names of what a machine can start from.
var bootDevices = map[hardware.BootDevice]string{
	hardware.BootDisk: "hdd", hardware.BootCD: "cdrom", hardware.BootFloppy: "floppy", hardware.BootNetwork: "ethernet0",
}

func (f *File) firmware(m hardware.Machine) {
	if m.Firmware == hardware.UEFI {
		f.Set("firmware", "efi")
	}
	if m.SecureBoot {
		f.SetBool("uefi.secureBoot.enabled", true)
	}
	f.setSome("nvram", m.NVRAM)
	if m.UUID != "" {
		f.Set("uuid.bios", formatUUID(m.UUID))
	}
	if m.RTCUTC {
		f.Set("rtc.diffFromUTC", "0")
	}
	var order []string
	for _, d := range m.Boot {
		order = append(order, bootDevices[d])
	}
	f.setSome("bios.bootOrder", strings.Join(order, ","))
}

// bridges adds the PCI Express ports without which VMware finds no place for e1000e, vmxnet3 and pvscsi.
func (f *File) bridges() {
	f.SetBool("hpet0.present", true)
	f.SetBool("vmci0.present", true)
	f.SetBool("pciBridge0.present", true)
	for n := 4; n <= 7; n++ {
		bridge := "pciBridge" + strconv.Itoa(n)
		f.SetBool(bridge+".present", true)
		f.Set(bridge+".virtualDev", "pcieRootPort")
		f.Set(bridge+".functions", "8")
	}
}

// scsiDevices are VMware's names of SCSI controllers.
var scsiDevices = map[hardware.Bus]string{
	hardware.LsiLogic: "lsilogic", hardware.LsiLogicSAS: "lsisas1068", hardware.BusLogic: "buslogic", hardware.PVSCSI: "pvscsi",
}

// busName is how keys of controllers and drives begin.
func busName(b hardware.Bus) string {
	if b.SCSI() {
		return "scsi"
	}
	return string(b)
}

func (f *File) controllers(list []hardware.Controller) {
	f.SetBool("floppy0.present", false) // absent, it would be there
	count := map[string]int{}
	for _, c := range list {
		bus := busName(c.Bus)
		n := count[bus]
		count[bus]++
		if c.Bus != hardware.IDE && c.Bus != hardware.Floppy {
			key := bus + strconv.Itoa(n)
			f.SetBool(key+".present", true)
			f.setSome(key+".virtualDev", scsiDevices[c.Bus])
		}
		for _, d := range c.Drives {
			f.drive(driveKey(c.Bus, n, d.Port), d)
		}
	}
}

func driveKey(bus hardware.Bus, controller, port int) string {
	switch bus {
	case hardware.IDE:
		return fmt.Sprintf("ide%d:%d", port/2, port%2)
	case hardware.Floppy:
		return fmt.Sprintf("floppy%d", port)
	}
	return fmt.Sprintf("%s%d:%d", busName(bus), controller, port)
}

func (f *File) drive(key string, d hardware.Drive) {
	f.SetBool(key+".present", true)
	file, typ := d.File, ""
	if file == "" {
		file = autoDetect
	}
	switch d.Kind {
	case hardware.CD:
		typ = "cdrom-image"
		if d.File == "" {
			typ = "cdrom-raw"
		}
		f.Set(key+".deviceType", typ)
	case hardware.FloppyDrive:
		typ = "file"
		if d.File == "" {
			typ = "device"
		}
		f.Set(key+".fileType", typ)
	}
	f.Set(key+".fileName", file)
	if d.File == "" {
		f.SetBool(key+".startConnected", false)
	}
}

// cardDevices are VMware's names of network cards.
var cardDevices = map[hardware.NICModel]string{
	hardware.E1000: "e1000", hardware.E1000e: "e1000e", hardware.VMXNet3: "vmxnet3", hardware.PCNet: "vlance",
}

func (f *File) cards(list []hardware.NIC) {
	for i, n := range list {
		key := "ethernet" + strconv.Itoa(i)
		f.SetBool(key+".present", true)
		f.Set(key+".virtualDev", cardDevices[n.Model])
		switch n.Connection {
		case hardware.Named:
			f.Set(key+".connectionType", "custom")
			f.Set(key+".vnet", n.Network)
		case hardware.Internal, hardware.HostOnly:
			f.Set(key+".connectionType", "hostonly")
		case hardware.Bridged:
			f.Set(key+".connectionType", "bridged")
		default:
			f.Set(key+".connectionType", "nat")
		}
		if n.MAC == "" {
			f.Set(key+".addressType", "generated")
		} else {
			f.Set(key+".addressType", "static")
			f.Set(key+".address", n.MAC)
			f.SetBool(key+".checkMACAddress", false) // else only 00:50:56:00 to 3f is taken
		}
		if n.Unplugged || n.Connection == hardware.Detached {
			f.SetBool(key+".startConnected", false)
		}
	}
}

// soundDevices are VMware's names of sound cards.
var soundDevices = map[hardware.Sound]string{hardware.HDA: "hdaudio", hardware.ES1371: "es1371", hardware.SB16: "sb16"}

func (f *File) extras(m hardware.Machine) {
	switch m.USB {
	case hardware.USB3:
		f.SetBool("usb_xhci.present", true)
		fallthrough
	case hardware.USB2:
		f.SetBool("ehci.present", true)
		fallthrough
	case hardware.USB1:
		f.SetBool("usb.present", true)
	}
	if device := soundDevices[m.Sound]; device != "" {
		f.SetBool("sound.present", true)
		f.Set("sound.virtualDev", device)
		f.SetBool("sound.autodetect", true)
	}
	for _, s := range m.Serial {
		key := "serial" + strconv.Itoa(s.Port)
		f.SetBool(key+".present", true)
		switch s.Kind {
		case hardware.SerialFile:
			f.Set(key+".fileType", "file")
			f.Set(key+".fileName", s.Path)
		case hardware.SerialPipe:
			f.Set(key+".fileType", "pipe")
			f.Set(key+".fileName", s.Path)
			f.Set(key+".pipe.endPoint", "server")
		default:
			f.Set(key+".fileType", "device")
			f.Set(key+".fileName", autoDetect)
			f.SetBool(key+".startConnected", false)
		}
	}
}

// Losses tells in sentences what of m a VMX file does not hold. A machine without losses is read back as it was written, up to what
// VMware looks for in the disks themselves or has no names for: capacities, sizes, formats and UUIDs of disks, names and spare ports of
// controllers, the order of controllers of different buses, relatives of the guest system.
func Losses(m hardware.Machine) []string {
	var lost []string
	when := func(is bool, format string, args ...any) {
		if is {
			lost = append(lost, fmt.Sprintf(format, args...))
		}
	}
	when(m.Chipset != hardware.PIIX3, "the chipset %s: VMware has one of its own", m.Chipset)
	for i, n := range m.NICs {
		when(n.Connection == hardware.Internal, "the internal network of card %d, which becomes host-only", i)
		when(n.Connection == hardware.Detached, "card %d is connected to nothing, and becomes one with its cable out", i)
		when(n.Network != "" && n.Connection != hardware.Named, "the network %q of card %d", n.Network, i)
	}
	for i, c := range m.Controllers {
		when(len(c.Drives) == 0 && (c.Bus == hardware.IDE || c.Bus == hardware.Floppy), "controller %d, which has no drives", i)
	}
	return lost
}

// ToMachine reads the machine out of a file. Files of drives are as the file names them: paths, perhaps absolute ones.
func (f *File) ToMachine() (hardware.Machine, error) {
	rd := reader{File: f}
	m := rd.machine()
	if err := errors.Join(rd.errs...); err != nil {
		return hardware.Machine{}, fmt.Errorf("the VMX file cannot be used: %w", err)
	}
	return m, nil
}

// reader collects what is wrong with a file.
type reader struct {
	*File
	errs []error
}

func (rd *reader) text(key string) string {
	v, _ := rd.Get(key)
	return v
}

// number reads a value of at most limit; 0 if it is not there.
func (rd *reader) number(key string, limit int) int {
	text, ok := rd.Get(key)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 0 || n > limit {
		rd.errs = append(rd.errs, fmt.Errorf("%s = %q: it must be a number up to %d", key, text, limit))
		return 0
	}
	return n
}

func (rd *reader) machine() hardware.Machine {
	const maxCPUs, maxMemory, maxVideo = 1024, 64 << 20, 16 << 30
	m := hardware.Machine{
		Name: rd.text("displayName"), Description: rd.text("annotation"), Guest: hardware.GuestOfVMX(rd.text("guestOS")),
		CPUs: max(1, rd.number("numvcpus", maxCPUs)), CoresPerSocket: rd.number("cpuid.coresPerSocket", maxCPUs),
		MemoryMiB: rd.number("memsize", maxMemory), VideoMiB: rd.number("svga.vramSize", maxVideo) >> 20,
		SecureBoot: rd.Bool("uefi.secureBoot.enabled"), NVRAM: rd.text("nvram"), VMwareVersion: rd.number("virtualHW.version", 99),
	}
	if m.VMwareVersion == 0 {
		rd.errs = append(rd.errs, errors.New("virtualHW.version is missing: VMware does not open such a file"))
	}
	if m.MemoryMiB == 0 {
		m.MemoryMiB = 32 // VMware's own default
	}
	if strings.EqualFold(rd.text("firmware"), "efi") {
		m.Firmware = hardware.UEFI
	}
	if uuid := rd.text("uuid.bios"); uuid != "" {
		var err error
		if m.UUID, err = parseUUID(uuid); err != nil {
			rd.errs = append(rd.errs, fmt.Errorf("uuid.bios: %w", err))
		}
	}
	m.RTCUTC = rd.text("rtc.diffFromUTC") == "0"
	m.Boot = rd.bootOrder()
	m.Controllers = rd.readControllers()
	m.NICs = rd.readCards()
	rd.readExtras(&m)
	return m
}

func (rd *reader) bootOrder() []hardware.BootDevice {
	var order []hardware.BootDevice
	for name := range strings.SplitSeq(rd.text("bios.bootOrder"), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if strings.HasPrefix(name, "ethernet") {
			name = "ethernet0"
		}
		for device, known := range bootDevices {
			if name == known && !slices.Contains(order, device) {
				order = append(order, device)
			}
		}
	}
	return order
}

// readControllers goes through the controllers in the order of busOrder. IDE and floppy drives have theirs without saying so, and so
// have drives whose controller is not mentioned.
func (rd *reader) readControllers() []hardware.Controller {
	var list []hardware.Controller
	at := map[string]int{}
	add := func(key string, bus hardware.Bus) int {
		if i, ok := at[key]; ok {
			return i
		}
		at[key] = len(list)
		list = append(list, hardware.Controller{Bus: bus})
		return at[key]
	}
	controllers := rd.present(controllerKey)
	devices := rd.Devices()
	for _, bus := range busOrder {
		var numbers []int
		for _, parts := range controllers {
			if parts[1] == bus {
				n, _ := strconv.Atoi(parts[2])
				numbers = append(numbers, n)
			}
		}
		slices.Sort(numbers)
		for _, n := range numbers {
			add(bus+strconv.Itoa(n), rd.bus(bus, n))
		}
		for _, d := range devices {
			if d.Bus != bus {
				continue
			}
			key, port := bus+strconv.Itoa(d.Number), d.Unit
			switch bus {
			case "ide":
				key, port = bus, d.Number*2+d.Unit
			case "floppy":
				key = bus
			}
			c := &list[add(key, rd.bus(bus, d.Number))]
			c.Drives = append(c.Drives, hardware.Drive{Kind: d.Kind, Port: port, File: d.File})
			if d.Kind == hardware.Disk && d.File == "" {
				rd.errs = append(rd.errs, fmt.Errorf("%s is a disk and has no fileName", d.Key))
			}
		}
	}
	return list
}

// bus tells which controller it is: of SCSI, LSI Logic where nothing is said.
func (rd *reader) bus(name string, number int) hardware.Bus {
	if name != "scsi" {
		return hardware.Bus(name)
	}
	key := fmt.Sprintf("scsi%d.virtualDev", number)
	device := strings.ToLower(rd.text(key))
	if device == "" {
		return hardware.LsiLogic
	}
	for bus, known := range scsiDevices {
		if device == known {
			return bus
		}
	}
	rd.errs = append(rd.errs, fmt.Errorf("%s = %q: VMware has no such controller", key, device))
	return hardware.LsiLogic
}

func (rd *reader) readCards() []hardware.NIC {
	var cards []hardware.NIC
	for _, i := range rd.NICs() {
		key := "ethernet" + strconv.Itoa(i)
		card := hardware.NIC{Model: hardware.E1000, MAC: rd.MAC(i), Connection: hardware.Bridged}
		if device := strings.ToLower(rd.text(key + ".virtualDev")); device != "" {
			for model, known := range cardDevices {
				if device == known {
					card.Model = model
				}
			}
		}
		switch strings.ToLower(rd.text(key + ".connectionType")) {
		case "nat":
			card.Connection = hardware.NAT
		case "hostonly":
			card.Connection = hardware.HostOnly
		case "custom":
			card.Connection, card.Network = hardware.Named, rd.text(key+".vnet")
		}
		if _, said := rd.Get(key + ".startConnected"); said {
			card.Unplugged = !rd.Bool(key + ".startConnected")
		}
		cards = append(cards, card)
	}
	return cards
}

func (rd *reader) readExtras(m *hardware.Machine) {
	switch {
	case rd.Bool("usb_xhci.present"):
		m.USB = hardware.USB3
	case rd.Bool("ehci.present"):
		m.USB = hardware.USB2
	case rd.Bool("usb.present"):
		m.USB = hardware.USB1
	}
	if rd.Bool("sound.present") {
		m.Sound = hardware.ES1371 // VMware's card where nothing is said
		for sound, device := range soundDevices {
			if strings.EqualFold(rd.text("sound.virtualDev"), device) {
				m.Sound = sound
			}
		}
	}
	for _, n := range rd.numbers(serialKey) {
		key := "serial" + strconv.Itoa(n)
		s := hardware.Serial{Port: n, Kind: hardware.SerialNone}
		path := rd.text(key + ".fileName")
		switch strings.ToLower(rd.text(key + ".fileType")) {
		case "file":
			s.Kind, s.Path = hardware.SerialFile, path
		case "pipe":
			s.Kind, s.Path = hardware.SerialPipe, path
		}
		if s.Path == "" {
			s.Kind = hardware.SerialNone
		}
		m.Serial = append(m.Serial, s)
	}
}
