// Package hardwaretest makes machines for the tests of what writes and reads them.
package hardwaretest

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// Machine draws a machine that a product can start: [hardware.Machine.Check] has nothing against it. Media have UUIDs, and disks a size
// and a capacity. Every field is used by some machines, and texts have characters that need escaping.
func Machine(t *rapid.T, p hardware.Product) hardware.Machine {
	d := drawer{T: t, product: p}
	m := hardware.Machine{
		Name:        d.text("name", `[A-Za-z0-9äß<>&"' |_.-]{0,20}[a-z]`),
		Description: rapid.SampledFrom([]string{"", "golden", "two\nlines & a \"quote\" | <b>bar</b>", "\ttab, 日本語, ]]>"}).Draw(t, "description"),
		UUID:        d.uuid(),
		Guest:       d.guest(),
		CPUs:        d.number("cpus", 1, 64),
		MemoryMiB:   d.number("memory", 4, 1<<20),
		VideoMiB:    rapid.SampledFrom([]int{0, 4, 16, 256}).Draw(t, "video"),
		RTCUTC:      d.coin("rtc"),
		USB:         rapid.SampledFrom([]hardware.USB{hardware.NoUSB, hardware.USB1, hardware.USB2, hardware.USB3}).Draw(t, "usb"),
		Chipset:     rapid.SampledFrom([]hardware.Chipset{hardware.PIIX3, hardware.ICH9}).Draw(t, "chipset"),
	}
	d.name(&m)
	d.firmware(&m)
	d.boot(&m)
	sounds := []hardware.Sound{hardware.NoSound, hardware.HDA, hardware.SB16, hardware.AC97}
	if p == hardware.VMware {
		sounds[3] = hardware.ES1371
		m.VMwareVersion = d.number("hardware version", 10, 22)
		if d.coin("cores") {
			m.CoresPerSocket = m.CPUs
		}
	}
	m.Sound = rapid.SampledFrom(sounds).Draw(t, "sound")
	d.controllers(&m)
	for i := range d.number("cards", 0, 8) {
		m.NICs = append(m.NICs, d.card(i))
	}
	for port := range d.number("serial ports", 0, 4) {
		m.Serial = append(m.Serial, rapid.SampledFrom([]hardware.Serial{
			{Port: port, Kind: hardware.SerialFile, Path: "/var/log/a & b.log"},
			{Port: port, Kind: hardware.SerialPipe, Path: `\\.\pipe\com1`},
			{Port: port, Kind: hardware.SerialNone},
		}).Draw(t, "serial"))
	}
	return m
}

type drawer struct {
	*rapid.T
	product hardware.Product
	files   int
}

func (d *drawer) number(label string, low, high int) int {
	return rapid.IntRange(low, high).Draw(d.T, label)
}
func (d *drawer) coin(label string) bool { return rapid.Bool().Draw(d.T, label) }
func (d *drawer) text(label, pattern string) string {
	return rapid.StringMatching(pattern).Draw(d.T, label)
}

func (d *drawer) uuid() string {
	return d.text("uuid", `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
}

// guest draws a row of the table.
func (d *drawer) guest() hardware.Guest {
	return rapid.SampledFrom(hardware.Guests()).Draw(d.T, "guest").ID
}

// name takes the spaces off the ends of a name.
func (d *drawer) name(m *hardware.Machine) {
	for len(m.Name) > 0 && m.Name[0] == ' ' {
		m.Name = m.Name[1:]
	}
}

func (d *drawer) firmware(m *hardware.Machine) {
	kinds := []hardware.Firmware{hardware.BIOS, hardware.UEFI}
	if d.product == hardware.VirtualBox {
		kinds = append(kinds, hardware.UEFI32)
	}
	m.Firmware = rapid.SampledFrom(kinds).Draw(d.T, "firmware")
	if m.Firmware != hardware.BIOS {
		m.SecureBoot = d.coin("secure boot")
	}
	if d.coin("nvram") {
		m.NVRAM = "machine.nvram"
	}
}

func (d *drawer) boot(m *hardware.Machine) {
	all := []hardware.BootDevice{hardware.BootDisk, hardware.BootCD, hardware.BootFloppy, hardware.BootNetwork}
	if n := d.number("boot devices", 0, 4); n > 0 {
		m.Boot = rapid.Permutation(all).Draw(d.T, "boot order")[:n]
	}
}

// controllers draws some controllers of the product in any order, each with drives.
func (d *drawer) controllers(m *hardware.Machine) {
	choice := []hardware.Bus{
		hardware.IDE, hardware.SATA, hardware.NVMe, hardware.Floppy,
		rapid.SampledFrom([]hardware.Bus{hardware.LsiLogic, hardware.LsiLogicSAS, hardware.BusLogic}).Draw(d.T, "scsi"),
	}
	if d.product == hardware.VirtualBox {
		choice = append(choice, hardware.VirtioSCSI)
	} else {
		choice = append(choice, hardware.PVSCSI, hardware.SATA, hardware.NVMe, hardware.LsiLogic)
	}
	choice = rapid.Permutation(choice).Draw(d.T, "controllers")[:d.number("number of controllers", 0, len(choice))]
	for i, bus := range choice {
		c := hardware.Controller{Bus: bus}
		if d.product == hardware.VirtualBox {
			c.Name = fmt.Sprintf("%s <%d> & co", bus, i)
			if bus == hardware.SATA && d.coin("spare ports") {
				c.Ports = 30
			}
		}
		for _, port := range d.ports(bus) {
			c.Drives = append(c.Drives, d.drive(bus, port))
		}
		m.Controllers = append(m.Controllers, c)
	}
}

// ports draws places that every product has.
func (d *drawer) ports(bus hardware.Bus) []int {
	highest := map[hardware.Bus]int{hardware.IDE: 3, hardware.Floppy: 1, hardware.SATA: 29, hardware.NVMe: 14}[bus]
	if highest == 0 {
		highest = 6 // SCSI, below the controller's own
	}
	ports := rapid.SliceOfNDistinct(rapid.IntRange(0, highest), 0, min(4, highest+1), rapid.ID[int]).Draw(d.T, "ports")
	slices.Sort(ports)
	return ports
}

func (d *drawer) drive(bus hardware.Bus, port int) hardware.Drive {
	d.files++
	drive := hardware.Drive{Kind: hardware.Disk, Port: port}
	switch {
	case bus == hardware.Floppy:
		drive.Kind = hardware.FloppyDrive
	case bus != hardware.NVMe && d.number("what", 0, 3) == 0:
		drive.Kind = hardware.CD
	}
	if drive.Kind != hardware.Disk && d.coin("no medium") {
		return drive
	}
	extension := map[hardware.DriveKind]string{hardware.Disk: "vmdk", hardware.CD: "iso", hardware.FloppyDrive: "img"}[drive.Kind]
	drive.File = fmt.Sprintf("box (ü) %03d.%s", d.files, extension)
	drive.UUID = d.uuid()
	drive.Size = rapid.Int64Range(1, 1<<45).Draw(d.T, "size")
	if drive.Kind == hardware.Disk {
		drive.Capacity = rapid.Int64Range(1, 1<<45).Draw(d.T, "capacity")
		drive.Format = rapid.SampledFrom([]hardware.DiskFormat{hardware.StreamVMDK, hardware.SparseVMDK}).Draw(d.T, "format")
	}
	return drive
}

func (d *drawer) card(i int) hardware.NIC {
	models := []hardware.NICModel{hardware.E1000, hardware.PCNet, hardware.E1000e, hardware.VMXNet3}
	if d.product == hardware.VirtualBox {
		models = []hardware.NICModel{hardware.E1000, hardware.PCNet, hardware.E1000Server, hardware.E1000T, hardware.Virtio, hardware.PCNetFast}
	}
	n := hardware.NIC{
		Model:     rapid.SampledFrom(models).Draw(d.T, "model"),
		Unplugged: d.coin("unplugged"),
		Connection: rapid.SampledFrom([]hardware.Connection{
			hardware.NAT, hardware.Bridged, hardware.HostOnly, hardware.Internal, hardware.Named, hardware.Detached,
		}).Draw(d.T, "connection"),
	}
	if d.product == hardware.VirtualBox || d.coin("mac") {
		n.MAC = fmt.Sprintf("08:00:27:%02x:%02x:%02x", i, d.number("mac", 0, 255), d.number("mac", 0, 255))
	}
	if n.Connection == hardware.Named || d.coin("network") {
		n.Network = fmt.Sprintf("vmnet%d & <more>", i)
	}
	return n
}
