package virtualbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// Defaults of packer-plugin-virtualbox.
const (
	defaultMemory      = 512
	defaultDiskSize    = 40000 // MB, which are MiB to VirtualBox
	defaultPortMin     = 2222
	defaultPortMax     = 4444
	defaultVRDPMin     = 5900
	defaultVRDPMax     = 6000
	defaultVRAM        = 4
	defaultVersionFile = ".vbox_version"
	defaultAdditions   = "VBoxGuestAdditions.iso"
	loopback           = "127.0.0.1"
	hostOfNAT          = "10.0.2.2" // VirtualBox's NAT shows the host's loopback at this address
)

// Planner turns the arguments of a source of one kind into a Spec. It is pure.
type Planner struct {
	// Type is the source's type, one of Types.
	Type string
}

var _ hypervisor.Planner = Planner{}

// arguments are all groups together, as one JSON object holds them. Names and meanings are the same in all kinds.
type arguments struct {
	HardwareArgs
	DisplayArgs
	DiskArgs
	MediumArgs
	ImportArgs
	SnapshotArgs
	RunArgs
	ForwardArgs
	PowerArgs
	ManageArgs
	AdditionsArgs
	ExportArgs
	// VersionGiven tells an empty version file from none. The fields below belong to arguments that others declare.
	VersionGiven  *string         `json:"virtualbox_version_file"`
	VMName        string          `json:"vm_name"`
	OldAdditions  bool            `json:"guest_additions_attach"`
	GroupInterval schema.Duration `json:"boot_keygroup_interval"`
}

// Plan resolves defaults, checks every argument and returns all problems at once.
func (k Planner) Plan(args json.RawMessage) (hypervisor.Spec, error) {
	a, err := decodeArguments(args)
	if err != nil {
		return hypervisor.Spec{}, err
	}
	p := planner{args: a, kind: kindOf(k.Type)}
	p.port, err = hypervisor.CommunicatorPort(args)
	p.Problem(err)
	spec := hypervisor.Spec{Arch: "amd64", CPUs: max(1, a.CPUs), MemoryMiB: a.Memory}
	p.Positive("cpus", a.CPUs)
	if spec.MemoryMiB < 4 { // as Packer, which takes less for nothing
		spec.MemoryMiB = defaultMemory
	}
	if p.kind == kindISO {
		spec.Firmware.UEFI = p.OneOf("firmware", strings.ToLower(a.Firmware), "bios", "bios", "efi") == "efi"
		spec.Disks = p.disks()
	}
	if p.kind == kindOVF {
		spec.Source, spec.SourceChecksum, spec.SourceTarget = p.source(), p.checksum(), a.TargetPath
	}
	spec.Network = hypervisor.Network{Model: p.nic(), HostAddress: hostOfNAT, Forward: p.forward()}
	options, err := json.Marshal(p.settings())
	p.Problem(err)
	spec.Options = options
	return spec, p.Err()
}

func kindOf(typ string) string {
	switch typ {
	case TypeOVF:
		return kindOVF
	case TypeVM:
		return kindVM
	}
	return kindISO
}

// planner resolves the arguments of one template.
type planner struct {
	hypervisor.Checks
	args *arguments
	kind string
	port int // of the guest, that the communicator talks to; 0 for none
}

// settings resolves what only this driver understands.
func (p *planner) settings() settings {
	a := p.args
	s := settings{
		Kind: p.kind, Additions: p.additions(), Run: p.run(), Export: p.export(), VersionFile: p.versionFile(),
		Manage: p.commands("vboxmanage", a.VBoxManage), ManagePost: p.commands("vboxmanage_post", a.VBoxManagePost),
		Storage: storageSettings{ISO: p.isoInterface()},
	}
	switch p.kind {
	case kindISO:
		s.Hardware = p.hardware()
		s.Storage.Nonrotational, s.Storage.SATAPorts, s.Storage.NVMePorts = a.Nonrotational, max(1, a.SATAPorts), max(1, a.NVMePorts)
		p.Positive("sata_port_count", a.SATAPorts)
		p.Positive("nvme_port_count", a.NVMePorts)
	case kindOVF:
		s.Import = importSettings{Flags: a.ImportFlags, Options: a.ImportOpts}
	case kindVM:
		s.VM = vmSettings{Name: a.VMName, Attach: a.AttachSnapshot, Target: a.TargetSnapshot, Override: a.ForceDeleteSnapshot}
		p.snapshots()
	}
	return s
}

func (p *planner) hardware() hardwareSettings {
	a := p.args
	h := hardwareSettings{
		OSType:     a.GuestOSType,
		Chipset:    p.OneOf("chipset", a.Chipset, "piix3", "piix3", "ich9"),
		NestedVirt: a.NestedVirt,
		UTC:        p.OneOf("rtc_time_base", strings.ToLower(a.RTCTimeBase), "local", "local", "utc") == "utc",
		Sound:      p.OneOf("sound", strings.ToLower(a.Sound), "none", "none", "null", "dsound", "was", "oss", "alsa", "pulse", "coreaudio", "default"),
		Audio:      p.OneOf("audio_controller", a.AudioController, "ac97", "ac97", "hda", "sb16"),
		Mouse:      p.OneOf("mouse", a.Mouse, "", "ps2", "usb", "usbtablet", "usbmultitouch", "usbmtscreenpluspad"),
		Keyboard:   p.OneOf("keyboard", a.Keyboard, "", "ps2", "usb"),
		Graphics:   p.OneOf("gfx_controller", a.Controller, "", "vboxvga", "vboxsvga", "vmsvga", "none"),
		VRAM:       a.VRAM, Accelerate3D: a.Accelerate3D, EFIResolution: a.EFIResolution,
	}
	if h.OSType == "" {
		h.OSType = "Other"
	}
	if h.VRAM == 0 {
		h.VRAM = defaultVRAM
	}
	if h.VRAM > 128 {
		p.Problem(fmt.Errorf("gfx_vram_size = %d: VirtualBox takes at most 128 MiB", h.VRAM))
	}
	h.USB = p.usb(h)
	if h.EFIResolution != "" && (!resolution.MatchString(h.EFIResolution) || strings.ToLower(a.Firmware) != "efi") {
		p.Problem(fmt.Errorf("gfx_efi_resolution = %q: write it like 1024x768, together with firmware = \"efi\"", h.EFIResolution))
	}
	return h
}

var resolution = regexp.MustCompile(`^\d{3,5}x\d{3,5}$`)

// usb is the USB controller. A mouse or keyboard on USB needs one.
func (p *planner) usb(h hardwareSettings) string {
	a := p.args
	kind := p.OneOf("usb_controller", a.USBController, "usb", "usb", "usb-ehci", "usb-xhci")
	wanted := a.USB || a.USBController != ""
	if !wanted && (strings.HasPrefix(h.Mouse, "usb") || h.Keyboard == "usb") {
		p.Problem(fmt.Errorf("mouse = %q, keyboard = %q: set usb = true, they are on USB", h.Mouse, h.Keyboard))
	}
	if !wanted {
		return ""
	}
	return kind
}

// nicTypes are the network cards. Source: VirtualBox 6.1 VBoxManageModifyVM.cpp.
var nicTypes = []string{"Am79C970A", "Am79C973", "Am79C960", "82540EM", "82543GC", "82545EM", "virtio"}

// nic is the network card: that of packer-plugin-virtualbox for a new machine, and what an existing one has already.
func (p *planner) nic() string {
	if p.kind != kindISO {
		return ""
	}
	return p.OneOf("nic_type", p.args.NICType, "82540EM", nicTypes...)
}

// disks are those of a new machine: the interface is the same for all.
func (p *planner) disks() []hypervisor.Disk {
	a := p.args
	bus := p.OneOf("hard_drive_interface", a.DiskArgs.Interface, "ide", "ide", "sata", "scsi", "pcie", "virtio")
	first := a.Size
	if first == 0 {
		first = defaultDiskSize
	}
	if a.Discard && bus != "sata" {
		p.Problem(fmt.Errorf("hard_drive_discard = true: VirtualBox hands discarded blocks on only with hard_drive_interface = \"sata\", not %q", bus))
	}
	var disks []hypervisor.Disk
	for _, mb := range append([]uint{first}, a.AdditionalSize...) {
		d := hypervisor.Disk{Size: int64(mb) << 20, Format: "vdi", Interface: bus}
		if a.Discard {
			d.Discard = "unmap"
		}
		disks = append(disks, d)
	}
	if most := diskPlaces(bus); len(disks) > most {
		p.Problem(fmt.Errorf("disk_additional_size: %d disks, and hard_drive_interface = %q has room for %d: use sata", len(disks), bus, most))
	}
	return disks
}

func (p *planner) isoInterface() string {
	return p.OneOf("iso_interface", p.args.ISOInterface, "ide", "ide", "sata", "virtio")
}

func (p *planner) additions() additionsSettings {
	a := p.args
	s := additionsSettings{
		Mode: p.OneOf("guest_additions_mode", a.Mode, "upload", "upload", "attach", "disable"),
		Path: a.Path, URL: a.URL, SHA256: strings.ToLower(a.SHA256),
	}
	if a.OldAdditions && a.Mode == "" {
		s.Mode = "attach"
	}
	s.Interface = p.OneOf("guest_additions_interface", a.AdditionsArgs.Interface, p.args.ISOInterface, "ide", "sata", "virtio")
	if s.Interface == "" {
		s.Interface = "ide"
	}
	if s.Path == "" {
		s.Path = defaultAdditions
	}
	if s.Mode == "upload" && p.port == 0 { // there is nobody to upload them
		s.Mode = "disable"
	}
	if s.Mode == "disable" {
		return additionsSettings{Mode: s.Mode}
	}
	if s.SHA256 != "" && !sha256Text.MatchString(s.SHA256) {
		p.Problem(fmt.Errorf("guest_additions_sha256 = %q: 64 hexadecimal digits are needed", a.SHA256))
	}
	return s
}

var sha256Text = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (p *planner) versionFile() string {
	switch given := p.args.VersionGiven; {
	case p.port == 0:
		return ""
	case given != nil:
		return *given
	}
	return defaultVersionFile
}

// forward lists the guest's port that the communicator talks to.
func (p *planner) forward() []int {
	if p.port == 0 || p.args.SkipNATMapping || p.args.SSHSkipNATMapping {
		return nil
	}
	return []int{p.port}
}

func (p *planner) run() runSettings {
	a := p.args
	r := runSettings{Headless: a.Headless, Address: a.SSHListenAddress, GroupInterval: time.Duration(a.GroupInterval), Settle: time.Duration(a.PostShutdownDelay)}
	if r.Address == "" {
		r.Address = loopback
	}
	if net.ParseIP(r.Address) == nil {
		p.Problem(fmt.Errorf("ssh_listen_address = %q: an IP address is needed", r.Address))
	}
	lowest, highest := a.HostPortMin, a.HostPortMax
	if lowest == 0 {
		lowest = a.SSHHostPortMin
	}
	if highest == 0 {
		highest = a.SSHHostPortMax
	}
	r.PortMin, r.PortMax = p.Ports("host_port", lowest, highest, defaultPortMin, defaultPortMax)
	if a.VRDPBindAddress != "" || a.VRDPPortMin != 0 || a.VRDPPortMax != 0 {
		r.VRDP.Bind = a.VRDPBindAddress
		if r.VRDP.Bind == "" {
			r.VRDP.Bind = loopback
		}
		if net.ParseIP(r.VRDP.Bind) == nil {
			p.Problem(fmt.Errorf("vrdp_bind_address = %q: an IP address is needed", r.VRDP.Bind))
		}
		r.VRDP.PortMin, r.VRDP.PortMax = p.Ports("vrdp_port", a.VRDPPortMin, a.VRDPPortMax, defaultVRDPMin, defaultVRDPMax)
	}
	return r
}

func (p *planner) export() exportSettings {
	a := p.args
	e := exportSettings{
		Format: p.OneOf("format", a.Format, "ovf", "ovf", "ova"), Options: a.ExportOpts, Name: a.VMName,
		File: a.OutputFilename, Skip: a.SkipExport, Keep: a.KeepRegistered, BundleISO: a.BundleISO,
	}
	for arg, name := range map[string]string{"vm_name": a.VMName, "output_filename": a.OutputFilename} {
		if name != "" && (filepath.Base(name) != name || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "\n\\")) {
			p.Problem(fmt.Errorf("%s = %q: it is the name of a file, so a plain name without '/' and a leading '.' is needed", arg, name))
		}
	}
	for _, o := range a.ExportOpts {
		if o == "--output" || o == "-o" {
			p.Problem(errors.New("export_opts: --output is given by output_directory and output_filename"))
		}
	}
	return e
}

// commands checks lists of arguments of VBoxManage.
func (p *planner) commands(arg string, list [][]string) [][]string {
	for i, command := range list {
		if len(command) == 0 || command[0] == "" {
			p.Problem(fmt.Errorf("%s[%d]: a command is needed, such as [\"modifyvm\", \"{{ .Name }}\", \"--vram\", \"32\"]", arg, i))
		}
	}
	return list
}

// source is the exported machine to start from.
func (p *planner) source() string {
	a := p.args
	switch ext := strings.ToLower(filepath.Ext(a.SourcePath)); {
	case strings.Contains(a.SourcePath, "://") && ext == ".ovf" && !strings.HasPrefix(a.SourcePath, "file://"):
		p.Problem(fmt.Errorf("source_path = %q: an .ovf names further files, which a URL does not bring; use the .ova, or download them", a.SourcePath))
	case ext != ".ovf" && ext != ".ova" && !strings.Contains(a.SourcePath, "?"):
		p.Problem(fmt.Errorf("source_path = %q: a file that ends in .ovf or .ova is needed", a.SourcePath))
	}
	for _, o := range a.ImportFlags {
		if o == "--vmname" {
			p.Problem(errors.New("import_flags: --vmname is Boxkiln's, the machine in the result is named by vm_name"))
		}
	}
	return a.SourcePath
}

// checksum is that of the source; old templates tell its kind apart.
func (p *planner) checksum() string {
	a := p.args
	if a.ChecksumType == "" || a.ChecksumType == "none" || a.Checksum == "" || strings.Contains(a.Checksum, ":") {
		return a.Checksum
	}
	return a.ChecksumType + ":" + a.Checksum
}

func (p *planner) snapshots() {
	a := p.args
	if a.VMName == "" {
		p.Problem(errors.New("vm_name is missing: name the machine of VirtualBox to start from"))
	}
	if a.ForceDeleteSnapshot && a.TargetSnapshot == "" {
		p.Problem(errors.New("force_delete_snapshot = true: target_snapshot is missing"))
	}
	if a.TargetSnapshot != "" && a.TargetSnapshot == a.AttachSnapshot {
		p.Problem(fmt.Errorf("target_snapshot = %q: it is the one to start from", a.TargetSnapshot))
	}
}

// decodeArguments reads the arguments of any kind.
func decodeArguments(args json.RawMessage) (*arguments, error) {
	var a arguments
	if err := json.Unmarshal(args, &a); err != nil {
		return nil, fmt.Errorf("the arguments of the machine cannot be read: %w", err)
	}
	return &a, nil
}
