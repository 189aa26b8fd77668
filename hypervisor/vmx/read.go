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
	l := controllerList{at: map[string]int{}}
	mentioned := rd.present(controllerKey)
	slices.SortStableFunc(mentioned, func(a, b []string) int {
		n, _ := strconv.Atoi(a[2])
		m, _ := strconv.Atoi(b[2])
		return cmp.Compare(n, m)
	})
	devices := rd.Devices()
	for _, bus := range busOrder {
		for _, parts := range mentioned {
			if n, _ := strconv.Atoi(parts[2]); parts[1] == bus {
				l.get(bus+strconv.Itoa(n), rd.bus(bus, n))
			}
		}
		for _, d := range devices {
			if d.Bus == bus {
				rd.attach(&l, d)
			}
		}
	}
	return l.list
}

// controllerList finds controllers by the beginning of their keys.
type controllerList struct {
	list []hardware.Controller
	at   map[string]int
}

func (l *controllerList) get(key string, bus hardware.Bus) *hardware.Controller {
	i, ok := l.at[key]
	if !ok {
		i = len(l.list)
		l.at[key] = i
		l.list = append(l.list, hardware.Controller{Bus: bus})
	}
	return &l.list[i]
}

func (rd *reader) attach(l *controllerList, d Device) {
	key, port := d.Bus+strconv.Itoa(d.Number), d.Unit
	switch d.Bus {
	case "ide":
		key, port = d.Bus, d.Number*2+d.Unit
	case "floppy":
		key = d.Bus
	}
	if d.Kind == hardware.Disk && d.File == "" {
		rd.errs = append(rd.errs, fmt.Errorf("%s is a disk and has no fileName", d.Key))
	}
	c := l.get(key, rd.bus(d.Bus, d.Number))
	c.Drives = append(c.Drives, hardware.Drive{Kind: d.Kind, Port: port, File: d.File})
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
