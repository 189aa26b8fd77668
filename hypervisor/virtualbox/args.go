package virtualbox

import "github.com/boxkiln/boxkiln/internal/schema"

// The kinds of builders. TypeOld is what virtualbox-iso was called before Packer 0.5.
const (
	TypeISO = "virtualbox-iso"
	TypeOVF = "virtualbox-ovf"
	TypeVM  = "virtualbox-vm"
	TypeOld = "virtualbox"
)

// Types returns the kinds of builders.
func Types() []string { return []string{TypeISO, TypeOVF, TypeVM, TypeOld} }

// Doc says what a kind of builder does.
func Doc(typ string) string {
	switch typ {
	case TypeISO:
		return "Install a machine under VirtualBox from a medium."
	case TypeOld:
		return "The old name of virtualbox-iso."
	case TypeOVF:
		return "Start from an exported machine under VirtualBox."
	case TypeVM:
		return "Change a machine that is registered in VirtualBox."
	}
	return ""
}

// Groups returns VirtualBox's own groups of arguments of a kind of builder, nil for a kind that is not VirtualBox's.
func Groups(typ string) []any {
	shared := []any{RunArgs{}, ForwardArgs{}, PowerArgs{}, ManageArgs{}, AdditionsArgs{}, ExportArgs{}}
	switch typ {
	case TypeISO, TypeOld:
		return append(shared, NameArgs{}, HardwareArgs{}, DisplayArgs{}, DiskArgs{}, MediumArgs{}, OldArgs{})
	case TypeOVF:
		return append(shared, NameArgs{}, ImportArgs{}, OldArgs{})
	case TypeVM:
		return append(shared, SnapshotArgs{})
	}
	return nil
}

// HardwareArgs are about the machine.
type HardwareArgs struct {
	CPUs            int    `json:"cpus" doc:"Number of processors. Default 1." guest:"yes"`
	Memory          int    `json:"memory" doc:"Memory in MiB. Default 512." guest:"yes"`
	GuestOSType     string `json:"guest_os_type" doc:"Guest system as VBoxManage list ostypes names it, such as Debian_64. Default other." guest:"yes"`
	Chipset         string `json:"chipset" doc:"piix3 (default) or ich9." guest:"yes"`
	Firmware        string `json:"firmware" doc:"bios (default) or efi." guest:"yes"`
	NestedVirt      bool   `json:"nested_virt" doc:"Let the guest run virtual machines." guest:"yes"`
	RTCTimeBase     string `json:"rtc_time_base" doc:"Clock of the machine: local (default) or UTC." guest:"yes"`
	NICType         string `json:"nic_type" doc:"Network card: 82540EM (default), virtio, Am79C973 ..." guest:"yes"`
	Sound           string `json:"sound" doc:"Sound driver of the host. Default none." guest:"no"`
	AudioController string `json:"audio_controller" doc:"Sound card: ac97 (default), hda or sb16." guest:"yes"`
	USB             bool   `json:"usb" doc:"Have a USB controller." guest:"yes"`
	USBController   string `json:"usb_controller" doc:"usb, usb-xhci or usb-ehci." guest:"yes"`
}

// DisplayArgs are about the console of the machine.
type DisplayArgs struct {
	Mouse         string `json:"mouse" doc:"Pointing device: ps2, usb, usbtablet ..." guest:"yes"`
	Keyboard      string `json:"keyboard" doc:"Keyboard: ps2 or usb." guest:"yes"`
	Controller    string `json:"gfx_controller" doc:"Graphics card: vboxvga, vboxsvga, vmsvga or none." guest:"yes"`
	VRAM          uint   `json:"gfx_vram_size" doc:"Video memory in MiB. Default 4." guest:"yes"`
	Accelerate3D  bool   `json:"gfx_accelerate_3d" doc:"Accelerate 3D." guest:"yes"`
	EFIResolution string `json:"gfx_efi_resolution" doc:"Resolution under EFI, such as 1024x768." guest:"yes"`
}

// DiskArgs are about disks and their controllers.
type DiskArgs struct {
	Size           uint   `json:"disk_size" doc:"Size of the disk in MB. Default 40000." guest:"yes"`
	AdditionalSize []uint `json:"disk_additional_size" doc:"Sizes of further disks in MB." guest:"yes"`
	Interface      string `json:"hard_drive_interface" doc:"Controller of the disks: ide (default), sata, scsi, pcie or virtio." guest:"yes"`
	Discard        bool   `json:"hard_drive_discard" doc:"Give discarded blocks back to the host." guest:"yes"`
	Nonrotational  bool   `json:"hard_drive_nonrotational" doc:"Look like a solid-state drive." guest:"yes"`
	SATAPorts      int    `json:"sata_port_count" doc:"Ports of the SATA controller. Default 1." guest:"yes"`
	NVMePorts      int    `json:"nvme_port_count" doc:"Ports of the NVMe controller. Default 1." guest:"yes"`
	ISOInterface   string `json:"iso_interface" doc:"Controller of the CD: ide (default), sata or virtio." guest:"yes"`
}

// MediumArgs are about the installation medium, beyond where it comes from.
type MediumArgs struct {
	BundleISO bool `json:"bundle_iso" doc:"Keep the medium in the exported machine." guest:"artifact"`
}

// NameArgs name the machine.
type NameArgs struct {
	VMName string `json:"vm_name" doc:"Name of the machine and of its files. Default: packer- and the name of the build." guest:"no"`
}

// ImportArgs are about the machine to start from.
type ImportArgs struct {
	SourcePath   string   `json:"source_path" doc:"OVF or OVA file: a path, or the URL of an OVA." arg:"required" guest:"yes"`
	Checksum     string   `json:"checksum" doc:"Checksum of the file, in the forms of iso_checksum." guest:"yes"`
	ChecksumType string   `json:"checksum_type" doc:"Taken for old templates: kind of the checksum." guest:"yes"`
	ImportFlags  []string `json:"import_flags" doc:"More arguments of VBoxManage import." guest:"yes"`
	ImportOpts   string   `json:"import_opts" doc:"Value of --options of VBoxManage import." guest:"yes"`
	TargetPath   string   `json:"target_path" doc:"Where to keep the downloaded file." guest:"no"`
}

// SnapshotArgs name a registered machine and say how its snapshots are used.
type SnapshotArgs struct {
	VMName              string `json:"vm_name" doc:"Name of the registered machine." arg:"required" guest:"yes"`
	AttachSnapshot      string `json:"attach_snapshot" doc:"Snapshot to start from." guest:"yes"`
	TargetSnapshot      string `json:"target_snapshot" doc:"Snapshot to take of it at the end." guest:"artifact"`
	ForceDeleteSnapshot bool   `json:"force_delete_snapshot" doc:"Replace a snapshot of that name." guest:"artifact"`
}

// RunArgs are about how the machine runs.
type RunArgs struct {
	Headless        bool   `json:"headless" doc:"Show no window. Without a display on the daemon's host none is shown anyway." guest:"no"`
	VRDPBindAddress string `json:"vrdp_bind_address" doc:"Serve the remote console (VRDP) on this address. Default: none; 127.0.0.1 if another vrdp argument is given." guest:"no"`
	VRDPPortMin     int    `json:"vrdp_port_min" doc:"Lowest port of the remote console. Default 5900." guest:"no"`
	VRDPPortMax     int    `json:"vrdp_port_max" doc:"Highest port of the remote console. Default 6000." guest:"no"`
}

// ForwardArgs are about how the host reaches the guest.
type ForwardArgs struct {
	HostPortMin       int    `json:"host_port_min" doc:"Lowest port of this host that is forwarded to the guest. Default 2222." guest:"no"`
	HostPortMax       int    `json:"host_port_max" doc:"Highest port of this host that is forwarded to the guest. Default 4444." guest:"no"`
	SkipNATMapping    bool   `json:"skip_nat_mapping" doc:"Forward no port: the guest is reached in another way." guest:"no"`
	SSHListenAddress  string `json:"ssh_listen_address" doc:"Address of this host that is forwarded. Default 127.0.0.1." guest:"no"`
	SSHHostPortMin    int    `json:"ssh_host_port_min" doc:"Old name of host_port_min." guest:"no"`
	SSHHostPortMax    int    `json:"ssh_host_port_max" doc:"Old name of host_port_max." guest:"no"`
	SSHSkipNATMapping bool   `json:"ssh_skip_nat_mapping" doc:"Old name of skip_nat_mapping." guest:"no"`
}

// PowerArgs are about power-off, beyond the shutdown command.
type PowerArgs struct {
	PostShutdownDelay schema.Duration `json:"post_shutdown_delay" doc:"Wait after power-off, for VirtualBox to let go of the disks." guest:"no"`
	ACPIShutdown      bool            `json:"acpi_shutdown" doc:"Press the power button instead of running shutdown_command." guest:"artifact"`
}

// ManageArgs are the ways past the other arguments.
type ManageArgs struct {
	VBoxManage     [][]string `json:"vboxmanage" doc:"VBoxManage commands to run before the machine starts; {{ .Name }} is the machine." arg:"late" guest:"yes"`
	VBoxManagePost [][]string `json:"vboxmanage_post" doc:"VBoxManage commands to run after the machine was powered off, before it is exported." arg:"late" guest:"artifact"`
	VersionFile    string     `json:"virtualbox_version_file" doc:"File in the guest that gets VirtualBox's version; empty for none. Default .vbox_version." guest:"yes"`
}

// AdditionsArgs are about the guest additions.
type AdditionsArgs struct {
	Mode      string `json:"guest_additions_mode" doc:"upload (default), attach or disable." guest:"yes"`
	Interface string `json:"guest_additions_interface" doc:"Controller that they are attached to. Default: iso_interface." guest:"yes"`
	Path      string `json:"guest_additions_path" doc:"Where they are uploaded to. Default VBoxGuestAdditions.iso." arg:"late" guest:"yes"`
	SHA256    string `json:"guest_additions_sha256" doc:"Their checksum." guest:"yes"`
	URL       string `json:"guest_additions_url" doc:"Where they come from; a path or URL." arg:"late" guest:"yes"`
}

// ExportArgs are about what leaves VirtualBox at the end.
type ExportArgs struct {
	Format          string   `json:"format" doc:"ovf (default) or ova." guest:"artifact"`
	ExportOpts      []string `json:"export_opts" doc:"More arguments of VBoxManage export." guest:"artifact"`
	OutputDirectory string   `json:"output_directory" doc:"Where the result goes. Default: output- and the name of the build." guest:"no"`
	OutputFilename  string   `json:"output_filename" doc:"Base name of the result. Default: vm_name." guest:"artifact"`
	SkipExport      bool     `json:"skip_export" doc:"Export nothing." guest:"artifact"`
	KeepRegistered  bool     `json:"keep_registered" doc:"Leave the machine in VirtualBox, under vm_name." guest:"artifact"`
}

// OldArgs are arguments that Packer has dropped and old templates still have.
type OldArgs struct {
	ISOChecksumType      string `json:"iso_checksum_type" doc:"Taken for old templates: kind of iso_checksum." guest:"yes"`
	ISOChecksumURL       string `json:"iso_checksum_url" doc:"Taken for old templates: iso_checksum = \"file:URL\"." guest:"yes"`
	ISOMD5               string `json:"iso_md5" doc:"Taken for old templates: iso_checksum = \"md5:...\"." guest:"yes"`
	SSHKeyPath           string `json:"ssh_key_path" doc:"Old name of ssh_private_key_file." guest:"no"`
	AttachGuestAdditions bool   `json:"guest_additions_attach" doc:"Old way to say guest_additions_mode = \"attach\"." guest:"yes"`
}
