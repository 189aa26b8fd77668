package libvirt

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// Defaults of Packer's qemu builder.
const (
	defaultMemory   = 512
	defaultDiskSize = "40960M"
	defaultPortMin  = 2222
	defaultPortMax  = 4444
	defaultVNCMin   = 5900
	defaultVNCMax   = 6000
	hostOfUserNet   = "10.0.2.2" // QEMU's user networking shows the host's loopback at this address
)

// Planner turns the arguments of a qemu or libvirt source into a Spec. It is pure.
type Planner struct{}

var _ hypervisor.Planner = Planner{}

// arguments are all groups together, as one JSON object holds them.
type arguments struct {
	HardwareArgs
	DiskArgs
	hypervisor.OutputArgs
	FirmwareArgs
	NetworkArgs
	DisplayArgs
	LibvirtArgs
}

// Plan resolves defaults, checks every argument and returns all problems at once.
func (Planner) Plan(args json.RawMessage) (hypervisor.Spec, error) {
	var a arguments
	if err := json.Unmarshal(args, &a); err != nil {
		return hypervisor.Spec{}, fmt.Errorf("the arguments of the machine cannot be read: %w", err)
	}
	p := planner{args: &a}
	var err error
	p.port, err = hypervisor.CommunicatorPort(args)
	p.Problem(err)
	spec := hypervisor.Spec{Arch: p.arch(), MemoryMiB: a.Memory, CPUs: p.cpus()}
	if spec.MemoryMiB < 10 { // as Packer: too little is not taken seriously
		spec.MemoryMiB = defaultMemory
	}
	spec.Firmware = p.firmware(spec.Arch)
	spec.Disks = p.disks()
	spec.Network = p.network()
	options, err := json.Marshal(p.settings(spec.Arch))
	p.Problem(err)
	spec.Options = options
	return spec, p.Err()
}

// planner resolves the arguments of one template.
type planner struct {
	hypervisor.Checks
	args *arguments
	port int // of the guest, that the communicator talks to; 0 for none
}

var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// name checks a value that goes into QEMU's comma-separated arguments or libvirt's XML as a plain name.
func (p *planner) name(arg, value, fallback string) string {
	if value == "" {
		return fallback
	}
	if !word.MatchString(value) {
		p.Problem(fmt.Errorf("%s = %q: only letters, digits, '.', '_' and '-' are possible", arg, value))
	}
	return value
}

// qemuArchs maps the end of QEMU's program names to Go's names of architectures.
func goArch(qemu string) string {
	switch qemu {
	case "x86_64", "kvm":
		return "amd64"
	case "i386":
		return "386"
	case "aarch64":
		return "arm64"
	case "ppc64":
		return "ppc64le"
	}
	return qemu // arm, riscv64, s390x, loong64
}

// arch tells the guest's architecture from qemu_binary, as Packer's users choose it.
func (p *planner) arch() string {
	binary := filepath.Base(p.args.QemuBinary)
	if p.args.QemuBinary == "" || binary == "qemu-kvm" || binary == "kvm" {
		return "amd64"
	}
	qemu, ok := strings.CutPrefix(strings.TrimSuffix(binary, ".exe"), "qemu-system-")
	if !ok || !word.MatchString(qemu) {
		p.Problem(fmt.Errorf("qemu_binary = %q: a program called qemu-system-ARCH or qemu-kvm is needed, "+
			"because its name tells the guest's architecture", p.args.QemuBinary))
		return "amd64"
	}
	return goArch(qemu)
}

func (p *planner) cpus() int {
	a := p.args
	for arg, n := range map[string]int{"cpus": a.CPUs, "sockets": a.Sockets, "cores": a.Cores, "threads": a.Threads} {
		p.Positive(arg, n)
	}
	if a.Sockets < 1 && a.Cores < 1 && a.Threads < 1 {
		return max(1, a.CPUs)
	}
	product := max(1, a.Sockets) * max(1, a.Cores) * max(1, a.Threads)
	if a.CPUs > 0 && a.CPUs != product {
		p.Problem(fmt.Errorf("cpus = %d: sockets x cores x threads is %d; make them equal or leave cpus out", a.CPUs, product))
	}
	return product
}

func (p *planner) firmware(arch string) hypervisor.Firmware {
	a := p.args
	f := hypervisor.Firmware{
		UEFI: a.EFIBoot || a.EFIFirmwareCode != "" || a.EFIFirmwareVars != "" || arch == "arm64",
		Code: a.EFIFirmwareCode,
		Vars: a.EFIFirmwareVars,
	}
	if a.Firmware != "" && (a.EFIBoot || a.EFIFirmwareCode != "" || a.EFIFirmwareVars != "") {
		p.Problem(fmt.Errorf("firmware = %q: it replaces the whole firmware and cannot be used together with efi_boot, "+
			"efi_firmware_code or efi_firmware_vars", a.Firmware))
	}
	if a.Firmware != "" {
		f.UEFI = false
	}
	if a.UsePflash && a.Firmware == "" {
		p.Problem(errors.New("use_pflash = true: it says how firmware is mapped, so firmware is needed too"))
	}
	return f
}

// settings resolves what only this driver understands.
func (p *planner) settings(arch string) settings {
	a := p.args
	s := settings{
		URI:         a.URI,
		Emulator:    a.QemuBinary,
		Machine:     p.name("machine_type", a.MachineType, defaultMachine(arch)),
		Accelerator: p.accelerator(),
		CPUModel:    a.CPUModel,
		Sockets:     a.Sockets, Cores: a.Cores, Threads: a.Threads,
		VMName:      p.fileName(),
		CDInterface: p.OneOf("cdrom_interface", a.CDROMInterface, "", "ide", "sata", "scsi", "virtio", "virtio-scsi"),
		Volumes:     p.volumeRefs(),
		Firmware:    romSettings{File: a.Firmware, Pflash: a.UsePflash, DropVars: a.EFIDropVars},
		TPM:         p.tpm(),
		Net:         p.netSettings(),
		VGA:         p.OneOf("vga", a.VGA, "std", "std", "virtio", "qxl", "cirrus", "vmware", "none"),
		VNC:         p.vnc(),
		QemuArgs:    p.qemuArgs(),
		DiskImage:   a.DiskImage,
	}
	if a.QemuImgArgs != nil {
		s.Images = *a.QemuImgArgs
	}
	return s
}

func defaultMachine(arch string) string {
	if arch == "amd64" || arch == "386" {
		return "pc"
	}
	return "virt"
}

func (p *planner) accelerator() string {
	switch a := p.args.Accelerator; a {
	case "", "kvm", "tcg":
		return a
	case "none":
		return "tcg"
	case "xen", "hax", "hvf", "whpx":
		p.Problem(fmt.Errorf("accelerator = %q: libvirt on Linux cannot use it; write kvm, tcg or none, or leave it out", a))
		return a
	default:
		return p.OneOf("accelerator", a, "", "kvm", "tcg", "none")
	}
}

func (p *planner) fileName() string {
	name := p.args.VMName
	reserved := slices.Contains(ownFiles, name) || strings.HasPrefix(name, overlayPrefix)
	if name != "" && (filepath.Base(name) != name || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "\n,\\") || reserved) {
		p.Problem(fmt.Errorf("vm_name = %q: it is the file name of the disk, so a plain name without '/', ',' and a "+
			"leading '.' is needed, and not %s or one that starts with %s", name, strings.Join(ownFiles, ", "), overlayPrefix))
	}
	return name
}

func (p *planner) tpm() tpmSettings {
	a := p.args
	model := p.OneOf("tpm_device_type", a.TPMDeviceType, "tpm-tis", "tpm-tis", "tpm-crb", "tpm-spapr", "tpm-tis-device")
	if !a.VTPM {
		return tpmSettings{}
	}
	s := tpmSettings{Model: strings.TrimSuffix(model, "-device"), Version: "2.0"}
	if a.UseTPM1 {
		s.Version = "1.2"
		if model == "tpm-crb" {
			p.Problem(errors.New("use_tpm1 = true: tpm-crb exists for TPM 2.0 only; use tpm_device_type = \"tpm-tis\""))
		}
	}
	return s
}

func (p *planner) qemuArgs() [][]string {
	for i, arg := range p.args.QemuArgs {
		if len(arg) == 0 || !strings.HasPrefix(arg[0], "-") {
			p.Problem(fmt.Errorf("qemuargs[%d] = %q: a list is needed that starts with a switch, such as [\"-m\", \"2G\"]", i, arg))
		}
	}
	return p.args.QemuArgs
}

// size parses a size argument, for which fallback is used when it is empty or "0".
func (p *planner) size(arg, value, fallback string) int64 {
	if value == "" || value == "0" {
		value = fallback
	}
	n, err := disk.ParseSize(value)
	if err != nil {
		p.Problem(fmt.Errorf("%s: %w", arg, err))
	}
	return n
}
