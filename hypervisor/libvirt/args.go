package libvirt

import "github.com/boxkiln/boxkiln/hypervisor"

// The arguments of the source types "qemu" and "libvirt" that belong to this driver alone. Names and defaults are those
// of packer-plugin-qemu (builder/qemu/config.go), older spellings of Packer 1.6 included, and for LibvirtArgs those of
// packer-plugin-libvirt.

// QemuGroups returns the argument groups of the source type "qemu".
func QemuGroups() []any {
	return []any{HardwareArgs{}, DiskArgs{}, hypervisor.OutputArgs{}, FirmwareArgs{}, NetworkArgs{}, DisplayArgs{}}
}

// LibvirtGroups returns the argument groups of the source type "libvirt": those of qemu and LibvirtArgs.
func LibvirtGroups() []any { return append(QemuGroups(), LibvirtArgs{}) }

// HardwareArgs are the processor, the memory and the escape hatch.
type HardwareArgs struct {
	Accelerator string     `json:"accelerator" doc:"kvm, tcg or none (the same as tcg). Default: kvm where it works, otherwise tcg." guest:"yes"`
	MachineType string     `json:"machine_type" doc:"Machine of QEMU: pc, q35, virt or a versioned one. Default pc; virt on arm64." guest:"yes"`
	CPUModel    string     `json:"cpu_model" doc:"Processor as QEMU's -cpu takes it, such as host or qemu64,+ssse3. Default: the host under KVM, qemu64 emulated; RHEL 9 and its kin need more, such as max." guest:"yes"`
	CPUs        int        `json:"cpus" doc:"Number of processors. Default 1, or sockets x cores x threads." guest:"yes"`
	Sockets     int        `json:"sockets" doc:"Processor sockets." guest:"yes"`
	Cores       int        `json:"cores" doc:"Cores per socket." guest:"yes"`
	Threads     int        `json:"threads" doc:"Threads per core." guest:"yes"`
	Memory      int        `json:"memory" doc:"Memory in MiB. Default 512." guest:"yes"`
	QemuBinary  string     `json:"qemu_binary" doc:"QEMU to run, by name or path; it decides the guest's architecture. Default qemu-system-x86_64." guest:"yes"`
	QemuArgs    [][]string `json:"qemuargs" doc:"More switches for QEMU. One that redefines something of ours replaces that one thing; every other is added." arg:"late" guest:"yes"`
	RunOnce     bool       `json:"run_once" doc:"Taken for Packer templates; it has had no effect there for years." guest:"no"`
}

// DiskArgs are the disks and CD drives.
type DiskArgs struct {
	DiskSize           string       `json:"disk_size" doc:"Size of the first disk: a number and b, k, M, G or T; M without a unit. Default 40960M." guest:"yes"`
	DiskAdditionalSize []string     `json:"disk_additional_size" doc:"Sizes of further disks." guest:"yes"`
	DiskInterface      string       `json:"disk_interface" doc:"virtio (default), sata, scsi (LSI SAS 1068), virtio-scsi or ide." guest:"yes"`
	CDROMInterface     string       `json:"cdrom_interface" doc:"ide, sata, scsi, virtio or virtio-scsi. Default ide on pc, sata on q35." guest:"yes"`
	DiskCache          string       `json:"disk_cache" doc:"unsafe (default), writeback, writethrough, none or directsync." guest:"no"`
	DiskDiscard        string       `json:"disk_discard" doc:"unmap or ignore (default)." guest:"no"`
	DiskDetectZeroes   string       `json:"disk_detect_zeroes" doc:"unmap, on or off (default)." guest:"no"`
	DiskImage          bool         `json:"disk_image" doc:"iso_url is a disk image to start from, not an installation medium." guest:"yes"`
	UseBackingFile     bool         `json:"use_backing_file" doc:"With disk_image: put an overlay over the image instead of copying it." guest:"no"`
	SkipResizeDisk     bool         `json:"skip_resize_disk" doc:"With disk_image: keep the image's size." guest:"yes"`
	QemuImgArgs        *QemuImgArgs `json:"qemu_img_args" doc:"More switches for qemu-img." arg:"block" guest:"no"`
	ISOSkipCache       bool         `json:"iso_skip_cache" doc:"Taken for Packer templates; the medium is always cached." guest:"no"`
}

// QemuImgArgs are switches for the three uses of qemu-img.
type QemuImgArgs struct {
	Convert []string `json:"convert" doc:"For qemu-img convert." guest:"no"`
	Create  []string `json:"create" doc:"For qemu-img create." guest:"no"`
	Resize  []string `json:"resize" doc:"For qemu-img resize." guest:"no"`
}

// FirmwareArgs are BIOS, UEFI and the TPM.
type FirmwareArgs struct {
	Firmware        string `json:"firmware" doc:"File that replaces the BIOS." guest:"yes"`
	UsePflash       bool   `json:"use_pflash" doc:"Map firmware as flash memory instead of ROM." guest:"yes"`
	EFIBoot         bool   `json:"efi_boot" doc:"Boot with UEFI firmware." guest:"yes"`
	EFIFirmwareCode string `json:"efi_firmware_code" doc:"UEFI code. Default: OVMF as the host installed it." guest:"yes"`
	EFIFirmwareVars string `json:"efi_firmware_vars" doc:"Template of the UEFI variables. Default: the one that belongs to the code." guest:"yes"`
	EFIDropVars     bool   `json:"efi_drop_efivars" doc:"Leave the UEFI variables out of the artifact." guest:"artifact"`
	VTPM            bool   `json:"vtpm" doc:"Give the machine a TPM, emulated by swtpm." guest:"yes"`
	UseTPM1         bool   `json:"use_tpm1" doc:"TPM 1.2 instead of 2.0." guest:"yes"`
	TPMDeviceType   string `json:"tpm_device_type" doc:"tpm-tis (default), tpm-crb, tpm-spapr or tpm-tis-device (the same as tpm-tis)." guest:"yes"`
}

// NetworkArgs are the network card and the forwards from the host.
type NetworkArgs struct {
	NetDevice      string `json:"net_device" doc:"Network card of QEMU. Default virtio-net." guest:"yes"`
	NetBridge      string `json:"net_bridge" doc:"Bridge of the host to plug into, instead of user networking." guest:"yes"`
	HostPortMin    int    `json:"host_port_min" doc:"Lowest host port for {{ .SSHHostPort }}. Default 2222. Without that, QEMU picks a free port." guest:"no"`
	HostPortMax    int    `json:"host_port_max" doc:"Highest such port. Default 4444." guest:"no"`
	SSHHostPortMin int    `json:"ssh_host_port_min" doc:"Old name of host_port_min." guest:"no"`
	SSHHostPortMax int    `json:"ssh_host_port_max" doc:"Old name of host_port_max." guest:"no"`
	SkipNATMapping bool   `json:"skip_nat_mapping" doc:"Forward no port; the guest is reached by ssh_host or at its own port on this host." guest:"no"`
}

// DisplayArgs are the screen and the ways to look at it from outside.
type DisplayArgs struct {
	Headless          bool   `json:"headless" doc:"Taken for Packer templates: a build never opens a window; see its screen in the web pages." guest:"no"`
	Display           string `json:"display" doc:"Taken for Packer templates, see headless." guest:"no"`
	UseDefaultDisplay bool   `json:"use_default_display" doc:"Taken for Packer templates, see headless." guest:"no"`
	VGA               string `json:"vga" doc:"Graphics card: std (default), virtio, qxl, cirrus, vmware or none." guest:"yes"`
	VNCBindAddress    string `json:"vnc_bind_address" doc:"Serve the screen by VNC on this address. Default: no VNC; 127.0.0.1 if another vnc argument is given." guest:"no"`
	VNCUsePassword    bool   `json:"vnc_use_password" doc:"Ask VNC clients for vnc_password." guest:"no"`
	VNCPassword       string `json:"vnc_password" doc:"Password for VNC, at most 8 characters." arg:"sensitive" guest:"no"`
	VNCPortMin        int    `json:"vnc_port_min" doc:"Lowest port for VNC. Default 5900." guest:"no"`
	VNCPortMax        int    `json:"vnc_port_max" doc:"Highest port for VNC. Default 6000." guest:"no"`
	QMPEnable         bool   `json:"qmp_enable" doc:"Taken for Packer templates; libvirt holds the monitor: use virsh qemu-monitor-command." guest:"no"`
	QMPSocketPath     string `json:"qmp_socket_path" doc:"Taken for Packer templates, see qmp_enable." guest:"no"`
}

// LibvirtArgs are what the source type "libvirt" takes beyond qemu's arguments.
type LibvirtArgs struct {
	URI              string             `json:"libvirt_uri" doc:"Connection to libvirt, such as qemu:///session. Default qemu:///system." guest:"no"`
	Volumes          []Volume           `json:"volume" doc:"A disk; with any, disk_size and disk_additional_size are not used." arg:"block" guest:"yes"`
	NetworkInterface []NetworkInterface `json:"network_interface" doc:"The network card. Default: user networking." arg:"block" guest:"yes"`
	AddressSource    string             `json:"network_address_source" doc:"Where a guest's address on a libvirt network comes from: lease (default), arp or agent." guest:"no"`
}

// Volume is one disk of a libvirt source.
type Volume struct {
	Name      string        `json:"name" doc:"Taken for templates of packer-plugin-libvirt; disks are named after the artifact." guest:"no"`
	Alias     string        `json:"alias" doc:"Taken for templates of packer-plugin-libvirt." guest:"no"`
	Size      string        `json:"size" doc:"Size of the disk: a number and b, k, M, G or T." guest:"yes"`
	Capacity  string        `json:"capacity" doc:"Another name of size, which wins over it." guest:"yes"`
	Bus       string        `json:"bus" doc:"virtio, sata, scsi, virtio-scsi or ide. Default: disk_interface." guest:"yes"`
	TargetDev string        `json:"target_dev" doc:"Taken for templates of packer-plugin-libvirt; disks are attached in order." guest:"no"`
	Format    string        `json:"format" doc:"Taken for templates of packer-plugin-libvirt; see the source's format." guest:"no"`
	Pool      string        `json:"pool" doc:"Taken for templates of packer-plugin-libvirt; work disks live in the build's folder." guest:"no"`
	Source    *VolumeSource `json:"source" doc:"What the disk starts from. Default: it starts empty." arg:"block" guest:"yes"`
}

// VolumeSource is what a Volume starts from: a volume of a libvirt pool.
type VolumeSource struct {
	Type   string `json:"type" doc:"backing-store (an overlay) or cloning (a copy)." arg:"required" guest:"yes"`
	Pool   string `json:"pool" doc:"Storage pool of the volume. Default: default." guest:"yes"`
	Volume string `json:"volume" doc:"Name of the volume." guest:"yes"`
	Path   string `json:"path" doc:"Path of an image, instead of pool and volume." guest:"yes"`
}

// NetworkInterface is the network card of a libvirt source.
type NetworkInterface struct {
	Type    string `json:"type" doc:"managed or network (a libvirt network), bridge, or user." arg:"required" guest:"yes"`
	Network string `json:"network" doc:"Name of the libvirt network. Default: default." guest:"yes"`
	Bridge  string `json:"bridge" doc:"Name of the host's bridge." guest:"yes"`
	MAC     string `json:"mac" doc:"Address of the card. Default: made from the machine's UUID." guest:"yes"`
	Model   string `json:"model" doc:"Model of the card. Default: net_device." guest:"yes"`
	Alias   string `json:"alias" doc:"Taken for templates of packer-plugin-libvirt." guest:"no"`
}
