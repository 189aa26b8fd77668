package vmware

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// Defaults of Packer's VMware builders.
const (
	defaultMemory    = 512
	defaultDiskSize  = 40000 // MB, which are MiB to VMware
	defaultDiskType  = "1"
	defaultDiskName  = "disk"
	defaultGuestOS   = "other"
	defaultHWVersion = 21
	defaultVNCMin    = 5900
	defaultVNCMax    = 6000
	loopback         = "127.0.0.1"
)

// Planner turns the arguments of a vmware-iso or vmware-vmx source into a Spec. It is pure.
type Planner struct {
	// VMX says that the source starts from an existing machine.
	VMX bool
}

var _ hypervisor.Planner = Planner{}

// arguments are all groups together, as one JSON object holds them.
type arguments struct {
	NameArgs
	HardwareArgs
	InstallArgs
	DiskArgs
	SourceArgs
	RunArgs
	VNCArgs
	VMXArgs
	ToolsArgs
	ExportArgs
	RemoteArgs
	RemoteCacheArgs
	DisableVNC bool `json:"disable_vnc"` // of hypervisor.BootArgs
}

// Plan resolves defaults, checks every argument and returns all problems at once.
func (k Planner) Plan(args json.RawMessage) (hypervisor.Spec, error) {
	var a arguments
	if err := json.Unmarshal(args, &a); err != nil {
		return hypervisor.Spec{}, fmt.Errorf("the arguments of the machine cannot be read: %w", err)
	}
	p := planner{Planner: k, args: &a}
	p.remote()
	spec := hypervisor.Spec{Arch: p.arch(), Source: a.SourceArgs.SourcePath}
	spec.Firmware.UEFI = p.firmware()
	if k.VMX {
		spec.CPUs, spec.MemoryMiB = p.known("numvcpus"), p.known("memsize")
		p.source()
	} else {
		spec.CPUs, spec.MemoryMiB = p.cpus(), cmp.Or(a.Memory, defaultMemory)
		spec.Network = p.network()
	}
	spec.Disks = p.disks()
	options, err := json.Marshal(p.settings())
	p.Problem(err)
	spec.Options = options
	return spec, p.Err()
}

// planner collects the problems of one template.
type planner struct {
	Planner
	hypervisor.Checks
	args *arguments
}

// remote refuses what needs an ESX host.
func (p *planner) remote() {
	a := p.args
	for name, set := range map[string]bool{
		"remote_type": a.Type != "", "remote_host": a.Host != "", "network_name": a.NetworkName != "",
		"vnc_over_websocket": a.OverWebsocket, "keep_registered": a.KeepRegistered, "remote_output_directory": a.RemoteOutputDir != "",
	} {
		if set {
			p.Problem(fmt.Errorf("%s: it is about a build on an ESX host, which Packer's VMware plugin has dropped in version 2.0, too: "+
				"leave it out to build on this host, with format = \"ova\" for what ESX imports", name))
		}
	}
}

// arch tells the guest's architecture from the name of its system: VMware's of ARM systems begin with "arm".
func (p *planner) arch() string {
	if strings.HasPrefix(strings.ToLower(p.guestOS()), "arm") {
		return "arm64"
	}
	return "amd64"
}

func (p *planner) guestOS() string {
	if p.VMX {
		return ""
	}
	return cmp.Or(p.args.GuestOSType, defaultGuestOS)
}

func (p *planner) firmware() bool {
	return p.OneOf("firmware", p.args.Firmware, "bios", "bios", "efi", "efi-secure") != "bios"
}

// cpus is the number of processors; coresPerSocket must divide it.
func (p *planner) cpus() int {
	a := p.args
	for name, n := range map[string]int{"cpus": a.CPUs, "cores": a.Cores, "memory": a.Memory} {
		p.Positive(name, n)
	}
	n := max(1, a.CPUs)
	if a.CPUs == 0 && a.Cores > 0 {
		n = a.Cores
	}
	if a.Cores > 0 && n%a.Cores != 0 {
		p.Problem(fmt.Errorf("cores = %d: cpus = %d is no multiple of it", a.Cores, n))
	}
	return n
}

// known is a number that vmx_data sets; 0 if it is left to the machine that the source starts from.
func (p *planner) known(key string) int {
	for k, v := range p.args.Data {
		var n int
		if _, err := fmt.Sscanf(v, "%d", &n); err == nil && strings.EqualFold(k, key) {
			return n
		}
	}
	return 0
}

// source checks where a machine starts from.
func (p *planner) source() {
	a := p.args.SourceArgs
	switch ext := strings.ToLower(filepath.Ext(a.SourcePath)); {
	case a.SourcePath == "":
		p.Problem(errors.New("source_path is missing: name the .vmx, .ovf or .ova file of the machine to start from"))
	case ext != ".vmx" && ext != ".ovf" && ext != ".ova":
		p.Problem(fmt.Errorf("source_path = %q: a .vmx, .ovf or .ova file is needed", a.SourcePath))
	case ext != ".vmx" && (a.Linked || a.AttachSnapshot != ""):
		p.Problem(fmt.Errorf("source_path = %q: linked and attach_snapshot are for .vmx files, which have snapshots", a.SourcePath))
	}
}

// adapters are the controllers of disks. What Packer gives to VMware as it is, VMware decides on.
var adapters = []string{"lsilogic", "lsisas1068", "buslogic", "pvscsi", "ide", "sata", "nvme"}

func (p *planner) disks() []hypervisor.Disk {
	a := p.args
	adapter := p.OneOf("disk_adapter_type", strings.ToLower(a.AdapterType), "lsilogic", adapters...)
	var disks []hypervisor.Disk
	if !p.VMX {
		disks = append(disks, newDisk(cmp.Or(a.DiskSize, defaultDiskSize), adapter))
	}
	for i, size := range a.AdditionalSize {
		if size == 0 {
			p.Problem(fmt.Errorf("disk_additional_size[%d] = 0: a size in MB is needed", i))
		}
		disks = append(disks, newDisk(size, adapter))
	}
	return disks
}

func newDisk(mib uint, adapter string) hypervisor.Disk {
	return hypervisor.Disk{Size: int64(mib) << 20, Format: disk.VMDK, Interface: adapter}
}

// cardModels are the network cards of VMware; vlance is what there was first.
var cardModels = []string{"e1000", "e1000e", "vmxnet3", "vmxnet", "vlance"}

// networkName is what can be a network: nat, vmnet8, or on Windows and macOS one with a name of the user's.
var networkName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 _.-]*$`)

func (p *planner) network() hypervisor.Network {
	a := p.args
	n := hypervisor.Network{Name: cmp.Or(a.Network, networkNAT), Model: p.OneOf("network_adapter_type", strings.ToLower(a.NetworkAdapterType), "e1000", cardModels...)}
	if !networkName.MatchString(n.Name) {
		p.Problem(fmt.Errorf("network = %q: use nat, hostonly, bridged, or the name of a network such as vmnet2", n.Name))
	}
	return n
}

// settings resolves what only this driver understands.
func (p *planner) settings() settings {
	a := p.args
	s := settings{
		VMName: p.fileName("vm_name", a.VMName), DisplayName: a.DisplayName,
		Disks: p.diskSettings(), VNC: p.vnc(), Tools: p.tools(), Export: p.export(),
		Source: sourceSettings{Linked: a.Linked, Snapshot: a.AttachSnapshot},
		Data:   p.data("vmx_data", a.Data), DataPost: p.data("vmx_data_post", a.DataPost), FusionApp: a.FusionAppPath,
	}
	if p.VMX {
		return s
	}
	s.GuestOS, s.Cores, s.NestedVirt, s.Sound = p.guestOS(), a.Cores, a.NestedVirt, a.Sound
	s.HWVersion = p.version()
	s.SecureBoot = a.Firmware == "efi-secure"
	s.USB = p.usb()
	s.Net = netOf(cmp.Or(a.Network, networkNAT))
	s.Serial, s.Parallel = p.serial(), p.parallel()
	s.Template = templateSettings{VMX: a.VMXTemplatePath, Disk: a.VMXDiskTemplatePath}
	return s
}

// version checks the version of the hardware. Packer's plugin takes 13 and up; older templates have less.
func (p *planner) version() int {
	const oldest, newest = 3, 99
	v := cmp.Or(p.args.Version, defaultHWVersion)
	if v < oldest || v > newest {
		p.Problem(fmt.Errorf("version = %d: versions of VMware's virtual hardware go from %d to %d now", v, oldest, defaultHWVersion))
	}
	return v
}

func netOf(network string) netSettings {
	switch n := strings.ToLower(network); n {
	case networkNAT, networkHostOnly, networkBridged:
		return netSettings{Connection: n}
	}
	return netSettings{Connection: "custom", VNet: network}
}

func (p *planner) usb() string {
	a := p.args
	v := p.OneOf("usb_version", a.USBVersion, "", "2.0", "3.0", "3.1", "3.2")
	if a.USB && v == "" {
		v = "2.0"
	}
	return v
}

// fileName checks a name that becomes that of a file.
func (p *planner) fileName(arg, name string) string {
	if name != "" && (filepath.Base(name) != name || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "\n\"\\:*?<>|/")) {
		p.Problem(fmt.Errorf("%s = %q: it becomes the name of a file, so a plain name is needed", arg, name))
	}
	return name
}

// diskTypes are the kinds of files that a machine of Workstation can run from. 4 and 6 are for ESX, and nothing runs from 5.
var diskTypes = []string{"0", "1", "2", "3"}

func (p *planner) diskSettings() diskSettings {
	a := p.args
	typ := cmp.Or(a.TypeID, defaultDiskType)
	if !slices.Contains(diskTypes, typ) {
		p.Problem(fmt.Errorf("disk_type_id = %q: use 0 (one growable file), 1 (growable, split), 2 (one preallocated file) or 3 (preallocated, split); "+
			"other kinds are for ESX hosts or for transport only", typ))
		typ = defaultDiskType
	}
	cd := p.OneOf("cdrom_adapter_type", strings.ToLower(a.CDROMAdapterType), "", "ide", "sata", "scsi")
	return diskSettings{Type: int(typ[0] - '0'), Name: cmp.Or(p.fileName("vmdk_name", a.VMDKName), defaultDiskName), CDAdapter: cd}
}

func (p *planner) vnc() vncSettings {
	a := p.args
	lowest, highest := p.Ports("vnc_port", a.PortMin, a.PortMax, defaultVNCMin, defaultVNCMax)
	return vncSettings{Off: a.DisableVNC, Bind: cmp.Or(a.BindAddress, loopback), PortMin: lowest, PortMax: highest, NoPassword: a.DisablePassword}
}

// toolsFlavors are the images of VMware Tools, by the names of their files.
var toolsFlavors = []string{"darwin", "darwinPre15", "freebsd", "linux", "linuxPreGlibc25", "netware", "solaris", "windows", "winPre2k", "winPreVista"}

func (p *planner) tools() toolsSettings {
	a := p.args
	t := toolsSettings{Mode: p.OneOf("tools_mode", a.Mode, "", "upload", "attach", "disable"), Flavor: a.UploadFlavor, Source: a.ToolsArgs.SourcePath}
	if t.Mode == "" && (t.Flavor != "" || t.Source != "") { // as Packer: a flavor asks for an upload
		t.Mode = "upload"
	}
	switch {
	case t.Mode == "" || t.Mode == "disable":
		return toolsSettings{}
	case t.Flavor == "" && t.Source == "":
		p.Problem(fmt.Errorf("tools_mode = %q: tools_upload_flavor is missing; use one of %s", t.Mode, strings.Join(toolsFlavors, ", ")))
	case t.Flavor != "" && t.Source == "":
		p.OneOf("tools_upload_flavor", t.Flavor, "", toolsFlavors...)
	}
	if t.Mode == "upload" {
		t.UploadPath = cmp.Or(a.UploadPath, "{{ .Flavor }}.iso")
	}
	return t
}

func (p *planner) export() exportSettings {
	a := p.args
	e := exportSettings{
		Format:         p.OneOf("format", a.Format, "vmx", "vmx", "ovf", "ova"),
		OVFToolOptions: a.OVFToolOptions, RemoveNICs: a.RemoveInterfaces, Snapshot: a.SnapshotName,
	}
	if a.SkipExport {
		e.Format = "vmx" // the machine's own files stay, as with Packer
	}
	if e.Snapshot != "" && e.Format != "vmx" {
		p.Problem(fmt.Errorf("snapshot_name = %q: an %s has no snapshots; use format = \"vmx\"", e.Snapshot, e.Format))
	}
	return e
}

// vmxKey is what can be a key of a VMX file.
var vmxKey = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// data checks settings for a VMX file. Values can hold anything.
func (p *planner) data(arg string, data map[string]string) map[string]string {
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if !vmxKey.MatchString(key) {
			p.Problem(fmt.Errorf("%s: %q is no key of a VMX file", arg, key))
		}
		if strings.HasPrefix(strings.ToLower(key), tagPrefix) {
			p.Problem(fmt.Errorf("%s: %q is one of Boxkiln's own keys", arg, key))
		}
	}
	return data
}
