// Package hardware describes a virtual machine on paper, in the words that OVF descriptors and VMX files share.
//
// A [Machine] is plain data: what its guest sees (processors, controllers with their drives, network cards) and which
// files hold its disks and its UEFI variables. Packages ovf and vmx write it as files and read it back. No format says
// everything: each of them has a function Losses that tells, in sentences, what it has no words for, and refuses what would
// leave a guest without its disk. Names of things are our own; the tables of this package translate them ([GuestOS]).
//
// Order counts everywhere: drives are in the order of their ports, controllers and cards in the order in which the guest
// finds them. A list that is empty is nil, so that machines can be compared.
package hardware

// Machine is a virtual machine. The zero value of a field leaves the choice to the product, unless it says otherwise.
type Machine struct {
	Name        string
	Description string
	// UUID is in lower case with dashes.
	UUID  string
	Guest Guest

	CPUs           int // at least 1
	CoresPerSocket int
	MemoryMiB      int // at least 1
	VideoMiB       int // memory of the graphics card

	Firmware Firmware
	// SecureBoot has the firmware check what it starts.
	SecureBoot bool
	// NVRAM is the file of UEFI variables, beside the descriptor. It belongs to one product: each has its own format.
	NVRAM string
	// Chipset is VirtualBox's choice of two; VMware has one.
	Chipset Chipset
	// RTCUTC: the hardware clock runs in UTC, not in local time.
	RTCUTC bool
	// Boot is the order of devices to start from, of at most four kinds.
	Boot []BootDevice

	Controllers []Controller
	NICs        []NIC
	USB         USB
	Sound       Sound
	Serial      []Serial

	// VMwareVersion is the version of VMware's virtual hardware, the number in vmx-19. 0: [DefaultVMwareVersion].
	VMwareVersion int
}

// DefaultVMwareVersion is Workstation 16's: it knows UEFI, NVMe, SATA and Debian 12's predecessor, and ESXi 7.0.2 takes it.
const DefaultVMwareVersion = 19

// Firmware is what a machine starts with.
type Firmware string

// The firmwares. BIOS is what every product takes when nothing is said.
const (
	BIOS   Firmware = ""
	UEFI   Firmware = "uefi"
	UEFI32 Firmware = "uefi32" // VirtualBox only
)

// Chipset of VirtualBox.
type Chipset string

// The chipsets; PIIX3 is what VirtualBox takes when nothing is said.
const (
	PIIX3 Chipset = ""
	ICH9  Chipset = "ich9"
)

// BootDevice is a kind of device to start from.
type BootDevice string

// The kinds.
const (
	BootDisk    BootDevice = "disk"
	BootCD      BootDevice = "cd"
	BootFloppy  BootDevice = "floppy"
	BootNetwork BootDevice = "network"
)

// Bus tells which controllers a guest sees of one kind.
type Bus string

// The controllers. Who has them: VirtualBox all but PVSCSI, VMware all but VirtioSCSI.
const (
	IDE         Bus = "ide"          // Intel PIIX4: two channels of two drives
	SATA        Bus = "sata"         // AHCI
	LsiLogic    Bus = "lsilogic"     // LSI 53C1030, parallel SCSI
	LsiLogicSAS Bus = "lsilogic-sas" // LSI SAS 1068
	BusLogic    Bus = "buslogic"     // BT-958
	PVSCSI      Bus = "pvscsi"       // VMware's
	VirtioSCSI  Bus = "virtio-scsi"
	NVMe        Bus = "nvme"   // VirtualBox 7.2 imports it from an OVF, 6.1 does not
	Floppy      Bus = "floppy" // Intel 82078
)

// Controller is a controller and what is attached to it.
type Controller struct {
	Bus Bus
	// Name is what VirtualBox calls it in its settings: unique, and what its commands take. VMware has no names.
	Name string
	// Ports is how many a SATA or NVMe controller of VirtualBox has, if more than its drives need.
	Ports  int
	Drives []Drive
}

// DriveKind is what a drive takes.
type DriveKind string

// The kinds of drives.
const (
	Disk        DriveKind = "disk"
	CD          DriveKind = "cd"
	FloppyDrive DriveKind = "floppy"
)

// Drive is a disk, or a drive for media.
type Drive struct {
	Kind DriveKind
	// Port is where it is attached: SATA and NVMe port, SCSI target, number of the floppy drive. With IDE 0 and 1 are the
	// first channel's master and slave, 2 and 3 the second's.
	Port int
	// File is a file name beside the descriptor. Empty for a drive without a medium.
	File string
	// Format is the format of a disk's file.
	Format DiskFormat
	// Size is how long the file is and Capacity what the guest sees, in bytes. Size 0: not known.
	Size, Capacity int64
	// UUID is the disk's own, in lower case with dashes. VirtualBox keeps media by it: give every exported disk a new one.
	UUID string
}

// DiskFormat is how a disk's file is built.
type DiskFormat string

// The formats that descriptors name. VMX files name none: VMware looks into the file.
const (
	StreamVMDK DiskFormat = "vmdk-stream" // streamOptimized: what travels
	SparseVMDK DiskFormat = "vmdk-sparse" // monolithicSparse and its like: what a machine runs from
	VHD        DiskFormat = "vhd"
	VDI        DiskFormat = "vdi"
	Raw        DiskFormat = "raw"
)

// NIC is a network card.
type NIC struct {
	Model NICModel
	// MAC is in lower case with colons. Empty: the product makes one.
	MAC        string
	Connection Connection
	// Network names what it is connected to: a bridge or interface of the host, a host-only or internal network, a VMware
	// network such as vmnet8.
	Network string
	// Unplugged: the cable is out when the machine starts.
	Unplugged bool
}

// NICModel is what the guest sees of a card.
type NICModel string

// The models. VirtualBox has no E1000e and VMXNet3, VMware neither Virtio nor the two rarer E1000.
const (
	E1000       NICModel = "e1000"         // Intel 82540EM in VirtualBox, 82545EM in VMware
	E1000Server NICModel = "e1000-82545em" // VirtualBox's third kind
	E1000T      NICModel = "e1000-82543gc" // VirtualBox's second kind
	E1000e      NICModel = "e1000e"        // Intel 82574L
	Virtio      NICModel = "virtio"
	VMXNet3     NICModel = "vmxnet3"
	PCNet       NICModel = "pcnet"      // AMD Am79C970A; VMware's vlance
	PCNetFast   NICModel = "pcnet-fast" // AMD Am79C973, VirtualBox only
)

// Connection is how a card reaches other machines.
type Connection string

// The connections.
const (
	NAT      Connection = "nat"
	Bridged  Connection = "bridged"
	HostOnly Connection = "hostonly"
	Internal Connection = "internal" // VirtualBox: between machines only
	Named    Connection = "named"    // VMware's custom network, VirtualBox's NAT network
	Detached Connection = "none"
)

// USB is the fastest USB controller of a machine; the slower ones come with it.
type USB string

// The controllers.
const (
	NoUSB USB = ""
	USB1  USB = "usb1" // OHCI
	USB2  USB = "usb2" // EHCI
	USB3  USB = "usb3" // xHCI
)

// Sound is a sound card.
type Sound string

// The cards.
const (
	NoSound Sound = ""
	AC97    Sound = "ac97"   // VirtualBox
	HDA     Sound = "hda"    // both
	SB16    Sound = "sb16"   // both
	ES1371  Sound = "es1371" // VMware
)

// Serial is a serial port that goes to a file or a pipe of the host.
type Serial struct {
	Port int // 0 is COM1
	Kind SerialKind
	Path string
}

// SerialKind is where a serial port goes.
type SerialKind string

// The kinds.
const (
	SerialFile SerialKind = "file"
	SerialPipe SerialKind = "pipe"
	SerialNone SerialKind = "none" // a port with nothing behind it
)

// Disks returns the disks of m in the order of its controllers.
func (m Machine) Disks() []Drive {
	var disks []Drive
	for _, c := range m.Controllers {
		for _, d := range c.Drives {
			if d.Kind == Disk {
				disks = append(disks, d)
			}
		}
	}
	return disks
}

// Clone returns a copy that shares no list of drives, cards or ports with m. Lists that are empty are nil in it.
func (m Machine) Clone() Machine {
	m.Boot = append([]BootDevice(nil), m.Boot...)
	m.NICs = append([]NIC(nil), m.NICs...)
	m.Serial = append([]Serial(nil), m.Serial...)
	m.Controllers = append([]Controller(nil), m.Controllers...)
	for i := range m.Controllers {
		m.Controllers[i].Drives = append([]Drive(nil), m.Controllers[i].Drives...)
	}
	return m
}
