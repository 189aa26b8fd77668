// Package qemu runs the guests of the simulators: real machines under QEMU, behind the command lines of other hypervisors.
//
// A simulator is a command that ends while its machine goes on. [Start] therefore leaves a supervisor behind, the same program
// started once more: it runs QEMU, holds the session lock of the machine's directory, writes down what becomes of the machine,
// and lingers for a moment after its end, as the processes of the real hypervisors do. The first thing that main does in a
// simulator is to call [Supervise]. [Look] tells how a machine is without speaking to QEMU, and [Connect] speaks to it: keys,
// the screen, media, forwarded ports.
//
// Nothing here is shared with Boxkiln's own drivers, or the simulators would repeat their mistakes.
package qemu

import "time"

// Firmware is what a machine boots with.
type Firmware string

// Firmwares.
const (
	BIOS Firmware = "bios" // SeaBIOS
	UEFI Firmware = "uefi" // OVMF without Secure Boot; its variables are in Spec.NVRAM
)

// Bus is how a drive hangs on its machine.
type Bus string

// Buses, with the number of units of one controller.
const (
	IDE        Bus = "ide"         // PIIX, 4: two channels of two; there is one controller, and only on machine "pc"
	AHCI       Bus = "ahci"        // ICH9 AHCI; a controller of more than 6 ports is made of several
	LSI        Bus = "lsi"         // LSI 53C895A, driver sym53c8xx, 7. QEMU has no 53C1030, the chip of both VirtualBox's and VMware's "lsilogic"
	SAS        Bus = "sas"         // LSI SAS 1068, driver mptsas, 8
	PVSCSI     Bus = "pvscsi"      // VMware's, 16
	VirtioSCSI Bus = "virtio-scsi" // 16
	VirtioBlk  Bus = "virtio-blk"  // each drive is a controller of its own
	NVMe       Bus = "nvme"        // likewise; no CDs
	FloppyBus  Bus = "floppy"      // 2
)

// Drive is a disk, a CD or a floppy.
type Drive struct {
	ID         string // names the drive for ChangeMedium: letters, digits, - and _, unique in its machine, beginning with a letter
	Path       string // an absolute path; empty for a CD or floppy drive without a medium
	Format     string // as QEMU names it: raw, vdi, vmdk, vpc, qcow2; empty is raw
	Bus        Bus
	Controller int // which controller of that bus, from 0
	Unit       int // place at the controller; the 4 of IDE are numbered through both channels
	CD         bool
	ReadOnly   bool // CDs always are
	SSD        bool // tell the guest that nothing rotates
	BootIndex  int  // the firmware tries 1 first; 0 is not to be booted
}

// Forward leads a TCP or UDP port of the host to one of the guest.
type Forward struct {
	UDP       bool
	Host      string // address; empty is all addresses
	HostPort  int
	Guest     string // address; empty is the first that DHCP gives
	GuestPort int
}

// NIC is a network card on a network of its own, with QEMU's DHCP and translation of addresses.
type NIC struct {
	Model     string // as QEMU names the device: e1000, e1000-82545em, e1000e, pcnet, virtio-net-pci, vmxnet3
	MAC       string // 08:00:27:12:34:56
	Net       string // 10.0.2.0/24 unless set
	Router    string // the address that is both router and host to the guest; the second of the network unless set
	DHCPStart string // the first address that the guest gets; the 15th of the network unless set
	Forwards  []Forward
	// Isolated keeps everything outside from the guest, the host's servers first of all; only forwarded ports lead in.
	Isolated  bool
	Unplugged bool // no cable
	BootIndex int  // as of a drive
}

// VNC is a screen for viewers.
type VNC struct {
	Host     string // an address
	Port     int    // from 5900
	Password string // empty for none; only 8 characters count
}

// Spec is a machine.
type Spec struct {
	Name     string
	UUID     string // shown to the guest by its firmware; may be empty
	Machine  string // QEMU's name: pc (unless set) or q35
	CPUs     int    // 1 unless set
	MemoryMB int
	Firmware Firmware // BIOS unless set
	NVRAM    string   // UEFI only: the file with the variables, made when it is missing
	Drives   []Drive
	NICs     []NIC
	Serial   []string // files that COM1, COM2 ... are written to; an empty name is a port that leads nowhere
	VNC      *VNC
	Tablet   bool     // a USB tablet for a mouse
	LocalRTC bool     // the clock shows the host's local time, not UTC
	Extra    []string // more arguments of QEMU
	// Linger is how long the session lock is held after the machine's end, and RemoveAtEnd names what vanishes with it.
	Linger      time.Duration
	RemoveAtEnd []string
}

// State is what a machine does.
type State string

// A machine is Off before its first start. Starting is entered by [Start], Running when QEMU answers. Paused is entered and
// left by the methods of [Guest]. When the guest powers off or [Guest.Quit] is called, it is Off; when QEMU or its supervisor
// is killed, it is Crashed.
const (
	Off      State = "off"
	Starting State = "starting"
	Running  State = "running"
	Paused   State = "paused"
	Crashed  State = "crashed"
)

// Alive tells if there is a machine to speak to.
func (s State) Alive() bool { return s == Running || s == Paused }

// Status is what is known about a machine.
type Status struct {
	State  State
	Since  time.Time // when it entered the state; zero before the first start
	Reason string    // QEMU's word for the end: guest-shutdown, host-qmp-quit ...; or why QEMU crashed
	Locked bool      // a session is held, which lasts a little longer than the machine
}
