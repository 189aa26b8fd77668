package vmware

// The arguments of the source types vmware-iso and vmware-vmx, in groups. What all sources with a console share (medium,
// seed, boot command, communicator, shutdown) is declared by its owners. Sources: packer-plugin-vmware
// builder/vmware/{common,iso,vmx}, and its versions before 2.0 for ESX hosts (remote_type and its like).

// The kinds of builders. TypeOld is what vmware-iso was called before Packer 0.5.
const (
	TypeISO = "vmware-iso"
	TypeVMX = "vmware-vmx"
	TypeOld = "vmware"
)

// Types returns the kinds of builders.
func Types() []string { return []string{TypeISO, TypeVMX, TypeOld} }

// Groups returns VMware's own groups of arguments of a kind of builder, nil for a kind that is not VMware's.
func Groups(typ string) []any {
	shared := []any{
		NameArgs{}, RunArgs{}, VNCArgs{}, VMXArgs{}, ToolsArgs{}, ExportArgs{}, DiskArgs{},
		RemoteArgs{}, RemoteCacheArgs{}, OldArgs{},
	}
	switch typ {
	case TypeISO, TypeOld:
		return append(shared, HardwareArgs{}, InstallArgs{})
	case TypeVMX:
		return append(shared, SourceArgs{})
	}
	return nil
}

// Doc is a line of documentation about a kind of builder.
func Doc(typ string) string {
	switch typ {
	case TypeISO:
		return "Install a machine under VMware Workstation, Fusion or Player."
	case TypeVMX:
		return "Start from an existing machine: a VMX, OVF or OVA file."
	}
	return "The old name of vmware-iso."
}

// NameArgs name the machine.
type NameArgs struct {
	VMName       string `json:"vm_name" doc:"Name of the machine and of its files. Default: packer- and the name of the build." guest:"no"`
	DisplayName  string `json:"display_name" doc:"Name that VMware shows. Default: vm_name." guest:"artifact"`
	SnapshotName string `json:"snapshot_name" doc:"Snapshot to take at the end." guest:"artifact"`
}

// HardwareArgs are about the machine.
type HardwareArgs struct {
	GuestOSType        string `json:"guest_os_type" doc:"Guest system as VMware names it, such as debian12-64. Default other." guest:"yes"`
	Version            int    `json:"version" doc:"Version of the virtual hardware. Default 21, which Workstation 17.5 and Fusion 13.5 know." guest:"yes"`
	Firmware           string `json:"firmware" doc:"bios (default), efi or efi-secure." guest:"yes"`
	CPUs               int    `json:"cpus" doc:"Number of processors. Default 1." guest:"yes"`
	Cores              int    `json:"cores" doc:"Cores of a processor; the number of processors must be a multiple of it." guest:"yes"`
	Memory             int    `json:"memory" doc:"Memory in MiB. Default 512." guest:"yes"`
	Network            string `json:"network" doc:"nat (default), hostonly, bridged, or the name of a network." guest:"yes"`
	NetworkName        string `json:"network_name" doc:"Name of a network of an ESX host." guest:"no"`
	NetworkAdapterType string `json:"network_adapter_type" doc:"Network card: e1000 (default), e1000e, vmxnet3, vmxnet or vlance." guest:"yes"`
	NestedVirt         bool   `json:"vhv_enabled" doc:"Let the guest run virtual machines." guest:"yes"`
}

// InstallArgs are the rest of what vmware-iso has alone.
type InstallArgs struct {
	DiskSize            uint   `json:"disk_size" doc:"Size of the disk in MB. Default 40000." guest:"yes"`
	CDROMAdapterType    string `json:"cdrom_adapter_type" doc:"Controller of the CD: ide, sata or scsi. Default: sata beside SATA and NVMe disks, otherwise ide." guest:"yes"`
	VMXTemplatePath     string `json:"vmx_template_path" doc:"Template of the machine's description, on the daemon's host." guest:"yes"`
	VMXDiskTemplatePath string `json:"vmx_disk_template_path" doc:"Template of a further disk in that description, on the daemon's host." guest:"yes"`
	Sound               bool   `json:"sound" doc:"Have a sound card." guest:"yes"`
	USB                 bool   `json:"usb" doc:"Have a USB controller." guest:"yes"`
	USBVersion          string `json:"usb_version" doc:"Version of USB: 2.0, 3.0, 3.1 or 3.2. Default 2.0." guest:"yes"`
	Serial              string `json:"serial" doc:"Serial port: FILE:path, DEVICE:path, PIPE:... or NONE." guest:"yes"`
	Parallel            string `json:"parallel" doc:"Parallel port: FILE:path, DEVICE:path or NONE." guest:"yes"`
}

// DiskArgs are about disks.
type DiskArgs struct {
	TypeID         string `json:"disk_type_id" doc:"Kind of the exported disk's files: 0 (one growable file), 1 (growable, split; default), 2 (one preallocated file) or 3 (preallocated, split)." guest:"artifact"`
	AdapterType    string `json:"disk_adapter_type" doc:"Controller of the disks: lsilogic (default), lsisas1068, buslogic, pvscsi, ide, sata or nvme." guest:"yes"`
	AdditionalSize []uint `json:"disk_additional_size" doc:"Sizes of further disks in MB." guest:"yes"`
	VMDKName       string `json:"vmdk_name" doc:"Base name of the disk's file. Default disk." guest:"artifact"`
	SkipCompaction bool   `json:"skip_compaction" doc:"Do not compact the disks at the end." guest:"artifact"`
}

// SourceArgs are about the machine that vmware-vmx starts from.
type SourceArgs struct {
	SourcePath     string `json:"source_path" doc:"VMX, OVF or OVA file of the machine to start from." arg:"required" guest:"yes"`
	Linked         bool   `json:"linked" doc:"Make a linked clone, which needs the source's disks." guest:"no"`
	AttachSnapshot string `json:"attach_snapshot" doc:"Snapshot to start from." guest:"yes"`
}

// RunArgs are about how the machine runs.
type RunArgs struct {
	Headless      bool   `json:"headless" doc:"Taken for Packer templates: a build never opens a window; see its screen in the web pages." guest:"no"`
	FusionAppPath string `json:"fusion_app_path" doc:"Where VMware Fusion is installed." guest:"no"`
}

// VNCArgs are about the remote console, through which the boot command is typed.
type VNCArgs struct {
	BindAddress     string `json:"vnc_bind_address" doc:"Address of the console. Default 127.0.0.1." guest:"no"`
	PortMin         int    `json:"vnc_port_min" doc:"Lowest port. Default 5900." guest:"no"`
	PortMax         int    `json:"vnc_port_max" doc:"Highest port. Default 6000." guest:"no"`
	DisablePassword bool   `json:"vnc_disable_password" doc:"Ask for no password." guest:"no"`
	OverWebsocket   bool   `json:"vnc_over_websocket" doc:"Reach the console of an ESX host through its web server." guest:"no"`
	Insecure        bool   `json:"insecure_connection" doc:"Do not check the certificate of that server." guest:"no"`
}

// VMXArgs are the ways past the other arguments.
type VMXArgs struct {
	Data             map[string]string `json:"vmx_data" doc:"Settings for the machine's description." guest:"yes"`
	DataPost         map[string]string `json:"vmx_data_post" doc:"Settings for the description after the guest was powered off." guest:"artifact"`
	RemoveInterfaces bool              `json:"vmx_remove_ethernet_interfaces" doc:"Take the network cards out at the end, as Vagrant boxes need it." guest:"artifact"`
}

// ToolsArgs are about VMware Tools.
type ToolsArgs struct {
	Mode         string `json:"tools_mode" doc:"upload, attach or disable. Default: upload if tools_upload_flavor or tools_source_path is set." guest:"yes"`
	UploadFlavor string `json:"tools_upload_flavor" doc:"System whose tools are uploaded: linux, windows, darwin ..." guest:"yes"`
	UploadPath   string `json:"tools_upload_path" doc:"Where they are uploaded to; {{ .Flavor }} is the system." arg:"late" guest:"yes"`
	SourcePath   string `json:"tools_source_path" doc:"Image of the tools on the daemon's host, or its URL. Default: the one that VMware has installed." guest:"yes"`
}

// ExportArgs are about what leaves VMware at the end.
type ExportArgs struct {
	Format          string   `json:"format" doc:"vmx (default), ovf or ova." guest:"artifact"`
	OVFToolOptions  []string `json:"ovftool_options" doc:"More arguments of ovftool." guest:"artifact"`
	SkipExport      bool     `json:"skip_export" doc:"Export nothing." guest:"artifact"`
	KeepRegistered  bool     `json:"keep_registered" doc:"Leave the machine on the ESX host." guest:"no"`
	OutputDirectory string   `json:"output_directory" doc:"Where the result goes. Default: output- and the name of the build." guest:"no"`
	RemoteOutputDir string   `json:"remote_output_directory" doc:"Where the result goes on an ESX host." guest:"no"`
}

// RemoteArgs are about an ESX host.
type RemoteArgs struct {
	Type           string `json:"remote_type" doc:"Refused: builds on ESX hosts, which Packer's plugin has dropped in 2.0, too." guest:"no"`
	Host           string `json:"remote_host" doc:"Name of the ESX host." guest:"no"`
	Port           int    `json:"remote_port" doc:"Port of its sshd. Default 22." guest:"no"`
	Username       string `json:"remote_username" doc:"User there. Default root." guest:"no"`
	Password       string `json:"remote_password" doc:"Password there." arg:"sensitive" guest:"no"`
	PrivateKeyFile string `json:"remote_private_key_file" doc:"Private key to log in there." guest:"no"`
	SkipValidate   bool   `json:"skip_validate_credentials" doc:"Do not try the login before the build." guest:"no"`
	Datastore      string `json:"remote_datastore" doc:"Datastore of the machine. Default datastore1." guest:"no"`
}

// RemoteCacheArgs are about where an ESX host keeps media.
type RemoteCacheArgs struct {
	Datastore string `json:"remote_cache_datastore" doc:"Datastore of the media. Default: that of the machine." guest:"no"`
	Directory string `json:"remote_cache_directory" doc:"Directory there. Default packer_cache." guest:"no"`
	CleanUp   bool   `json:"cleanup_remote_cache" doc:"Remove the media at the end." guest:"no"`
}

// OldArgs are arguments that Packer has dropped and old templates still have.
type OldArgs struct {
	ISOChecksumType   string `json:"iso_checksum_type" doc:"Taken for old templates: kind of iso_checksum." guest:"yes"`
	ISOChecksumURL    string `json:"iso_checksum_url" doc:"Taken for old templates: iso_checksum = \"file:URL\"." guest:"yes"`
	ISOMD5            string `json:"iso_md5" doc:"Taken for old templates: iso_checksum = \"md5:...\"." guest:"yes"`
	SSHKeyPath        string `json:"ssh_key_path" doc:"Old name of ssh_private_key_file." guest:"no"`
	SSHSkipRequestPTY bool   `json:"ssh_skip_request_pty" doc:"Taken for old templates: ask for no terminal." guest:"no"`
}
