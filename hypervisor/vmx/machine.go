package vmx

import (
	"cmp"
	"fmt"
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
