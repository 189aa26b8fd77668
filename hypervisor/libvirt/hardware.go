package libvirt

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// The files that the driver makes in a machine's directory, beside its disks.
const (
	serialFile = "serial.log"
	varsFile   = "efivars.fd" // Packer's name, which qemuargs may spell out
	markerFile = "domain.xml" // written last: its presence says that the machine is complete
	memoryFile = "memory"     // of a frozen machine; the caller of Thaw may put it here
	pipeFile   = "memory.pipe"
	// overlayPrefix starts the names of the overlays that freezes make, by which Destroy finds them after a crash, too.
	overlayPrefix = "overlay-"
)

// ownFiles are names that no disk may have.
var ownFiles = []string{serialFile, varsFile, markerFile, memoryFile, pipeFile}

// host holds what domain needs to know about the host, so that it stays a pure function.
type host struct {
	emulator string // path of QEMU
	kvm      bool
	reason   string // why kvm, or why not
	uuid     string
	asRoot   bool // QEMU must run as root to get at the machine's files
	flash    flash
	models   models
	// asIs tells whether QEMU can read a file without libvirt changing its owner.
	asIs func(path string) bool
	// sshPort is the host's port for {{ .SSHHostPort }}; 0 if nothing uses it.
	sshPort int
	vncPort int
	// under are the images under those that the disks start from, as far as they are known.
	under   [][]layer
	libvirt uint32 // version: 1000000 x major + 1000 x minor + release
	// processor tells under KVM which one the guest sees parts of.
	processor string
}

// flash is a pair of UEFI files.
type flash struct {
	code, vars string // vars is the template of the variables
	format     string // raw or qcow2
	secure     bool   // the code needs SMM
}

// hardware is a machine after every default and every qemuargs switch has been applied, before it becomes XML.
type hardware struct {
	spec     hypervisor.Spec
	set      settings
	host     host
	kvm      bool
	machine  string
	memory   int // MiB
	cpus     int
	topology topology
	cpu      string // for QEMU's -cpu; empty: the accelerator's default
	drives   []drive
	boot     string // letters as in QEMU's -boot: a floppy, c disk, d CD, n network
	bootMenu bool
	video    string // libvirt's model; empty: none
	serial   bool
	vnc      bool
	tablet   bool
	netdev   string   // user networking: value of -netdev; empty: none of ours
	nic      string   // user networking: value of -device; empty: none of ours
	extra    []string // further switches
	slots    slots
}

type topology struct{ sockets, cores, threads int }

// netdevID is Packer's name for the network back end, by which qemuargs refer to it.
const netdevID = "user.0"

// newHardware is the machine as the spec describes it, before qemuargs.
func newHardware(spec hypervisor.Spec, set settings, h host) *hardware {
	hw := &hardware{
		spec: spec, set: set, host: h,
		kvm: h.kvm, machine: set.Machine, memory: spec.MemoryMiB, cpus: spec.CPUs,
		topology: topology{set.Sockets, set.Cores, set.Threads},
		cpu:      set.CPUModel,
		boot:     "cd",
		video:    videoModel(set.VGA),
		serial:   true,
		vnc:      set.VNC.Bind != "",
		slots:    slots{next: firstSlot},
	}
	if hw.machine == "" {
		hw.machine = defaultMachine(spec.Arch)
	}
	if hw.cpu == "host" && !hw.kvm {
		hw.cpu = "max" // the nearest that emulation has
	}
	hw.addDrives()
	if spec.Network.Name == "" && set.Net.Bridge == "" {
		hw.addUserNet()
	}
	return hw
}

func (hw *hardware) addDrives() {
	for i, d := range hw.spec.Disks {
		hw.drives = append(hw.drives, drive{
			path: diskPath(hw.spec, hw.set, i), format: d.Format, device: deviceDisk, bus: d.Interface,
			cache: d.Cache, discard: d.Discard, zeroes: d.DetectZero, backing: hw.chain(i),
		})
	}
	for _, cd := range hw.spec.CDs {
		hw.drives = append(hw.drives, drive{path: cd, format: disk.Raw, device: deviceCD, bus: hw.set.CDInterface, readOnly: true})
	}
	if hw.spec.Floppy != "" {
		hw.drives = append(hw.drives, drive{path: hw.spec.Floppy, format: disk.Raw, device: deviceFloppy, bus: "fdc"})
	}
}

// chain is what a disk is an overlay of, from the top down.
func (hw *hardware) chain(i int) []layer {
	d := hw.spec.Disks[i]
	if !d.Backing {
		return nil
	}
	chain := []layer{{d.Image, d.ImageFormat}}
	if i < len(hw.host.under) {
		chain = append(chain, hw.host.under[i]...)
	}
	return chain
}

// diskPath names the disks as Packer does, NAME, NAME-1 ..., because qemuargs may spell the names out.
func diskPath(spec hypervisor.Spec, set settings, i int) string {
	name := set.VMName
	if name == "" {
		name = spec.Name
	}
	if i > 0 {
		name += "-" + strconv.Itoa(i)
	}
	return filepath.Join(spec.Dir, name)
}

// addUserNet writes user networking as QEMU switches, since libvirt's own has no port forwards before passt.
// Port 0 lets QEMU choose a free host port, so no other process can take it in between.
func (hw *hardware) addUserNet() {
	hw.netdev = "user,id=" + netdevID
	for i, port := range hw.spec.Network.Forward {
		from := "0"
		if i == 0 && hw.host.sshPort != 0 {
			from = strconv.Itoa(hw.host.sshPort)
		}
		hw.netdev += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%s-:%d", from, port)
	}
	model := hw.spec.Network.Model
	if model == "" || model == "virtio" {
		model = "virtio-net-pci"
	}
	hw.nic = fmt.Sprintf("%s,netdev=%s,mac=%s", model, netdevID, hw.mac())
}

// mac is the card's address: the given one, or one in QEMU's range that follows from the machine's UUID.
func (hw *hardware) mac() string {
	if m := hw.spec.Network.MAC; m != "" {
		return m
	}
	tail := strings.ReplaceAll(hw.host.uuid, "-", "")
	if len(tail) < 6 {
		tail = "000000"
	}
	tail = tail[len(tail)-6:]
	return fmt.Sprintf("52:54:00:%s:%s:%s", tail[:2], tail[2:4], tail[4:])
}

// slots hands out addresses on the root PCI bus to devices that libvirt does not know. QEMU creates them before
// libvirt's own devices, so without an address they would take one that libvirt has given away. Libvirt counts upwards
// from slot 2, and slots from 0x1d on hold built-in devices.
type slots struct{ next int }

const (
	balloonSlot = 0x1c
	firstSlot   = 0x1b
	lastSlot    = 0x10
)

// addressed adds an address to a -device value that needs one.
func (hw *hardware) addressed(device string) string {
	model, _, _ := strings.Cut(device, ",")
	o := parseOptions(device)
	if !hw.host.models.isPCI(model) || o.has("addr") || o.has("bus") || hw.slots.next < lastSlot {
		return device
	}
	device += fmt.Sprintf(",bus=%s,addr=0x%x", hw.rootBus(), hw.slots.next)
	hw.slots.next--
	return device
}

func (hw *hardware) rootBus() string {
	if hw.chipset() == "pc" {
		return "pci.0"
	}
	return "pcie.0"
}

// chipset sorts machine types into those with ISA and IDE ("pc"), "q35" and "virt".
func (hw *hardware) chipset() string {
	switch {
	case strings.Contains(hw.machine, "q35"):
		return "q35"
	case hw.spec.Arch != "amd64" && hw.spec.Arch != "386":
		return "virt"
	}
	return "pc"
}

// videoModel translates QEMU's -vga into libvirt's words.
func videoModel(vga string) string {
	switch vga {
	case "", "std":
		return "vga"
	case "vmware":
		return "vmvga"
	case "none":
		return ""
	}
	return vga
}
