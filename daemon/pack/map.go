package pack

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// product is whose machine is described.
type product string

const (
	virtualBox product = "VirtualBox"
	vmware     product = "VMware"
	// either is a description that both can import: what an OVA is for.
	either product = "VMware and VirtualBox"
)

// choice is a controller, or a network card, with the kernel's drivers that a Linux guest needs for it.
type choice[T any] struct {
	kind    T
	modules []string
}

// The controllers that a product can start from, the best first: AHCI is what most initramfs have a driver for. VirtualBox does
// not import VMware's SATA controller, and RHEL 8 and later have no driver for the parallel LSI controller.
var disksOf = map[product][]choice[hardware.Bus]{
	virtualBox: {
		{hardware.SATA, []string{"ahci", "sd_mod"}}, {hardware.LsiLogicSAS, []string{"mptsas", "sd_mod"}}, {hardware.LsiLogic, []string{"mptspi", "sd_mod"}},
		{hardware.IDE, []string{"ata_piix", "sd_mod"}}, {hardware.VirtioSCSI, []string{"virtio_scsi", "sd_mod"}},
	},
	vmware: {
		{hardware.SATA, []string{"ahci", "sd_mod"}}, {hardware.PVSCSI, []string{"vmw_pvscsi", "sd_mod"}}, {hardware.LsiLogic, []string{"mptspi", "sd_mod"}},
		{hardware.LsiLogicSAS, []string{"mptsas", "sd_mod"}}, {hardware.NVMe, []string{"nvme"}}, {hardware.IDE, []string{"ata_piix", "sd_mod"}},
	},
	either: {
		{hardware.LsiLogic, []string{"mptspi", "sd_mod"}}, {hardware.LsiLogicSAS, []string{"mptsas", "sd_mod"}}, {hardware.IDE, []string{"ata_piix", "sd_mod"}},
		{hardware.PVSCSI, []string{"vmw_pvscsi", "sd_mod"}}, {hardware.SATA, []string{"ahci", "sd_mod"}},
	},
}

// The cards, the best first. Of a guest about which nothing is known, e1000 is what it has a driver for.
var cardsOf = map[product][]choice[hardware.NICModel]{
	virtualBox: {{hardware.E1000, []string{"e1000"}}, {hardware.Virtio, []string{"virtio_net"}}, {hardware.PCNet, []string{"pcnet32"}}},
	vmware:     {{hardware.VMXNet3, []string{"vmxnet3"}}, {hardware.E1000, []string{"e1000"}}, {hardware.E1000e, []string{"e1000e"}}, {hardware.PCNet, []string{"pcnet32"}}},
	either:     {{hardware.E1000, []string{"e1000"}}, {hardware.VMXNet3, []string{"vmxnet3"}}, {hardware.PCNet, []string{"pcnet32"}}},
}

// busesOf translates the interfaces of hypervisor.Disk that have a counterpart elsewhere; scsi is QEMU's LSI SAS 1068.
var busesOf = map[string]hardware.Bus{"ide": hardware.IDE, "sata": hardware.SATA, "scsi": hardware.LsiLogicSAS, "nvme": hardware.NVMe}

// pickBus chooses the controller of the disks: the one that the guest was installed on, where the product has it, because the
// guest has the driver and the disk keeps its name; else the first for which the guest has drivers. warning says that there is none.
func (j *job) pickBus(p product) (bus hardware.Bus, warning string) {
	offered := disksOf[p]
	if i := slices.IndexFunc(offered, func(c choice[hardware.Bus]) bool { return c.kind == j.exported.bus }); i >= 0 && (p != either || j.exported.bus != hardware.SATA) {
		return j.exported.bus, ""
	}
	g := j.Guest
	if !g.knowsDisks() {
		return offered[0].kind, ""
	}
	for _, c := range offered {
		if len(g.lacks(g.Early, c.modules)) == 0 {
			return c.kind, ""
		}
	}
	missing := g.lacks(g.Early, offered[0].modules)
	return offered[0].kind, fmt.Sprintf("the guest will not find its disk: it has drivers for none of the controllers of %s when it starts; %s", p, g.rebuild(missing))
}

// pickCard chooses the network card in the same way.
func (j *job) pickCard(p product) (card hardware.NICModel, warning string) {
	offered := cardsOf[p]
	g := j.Guest
	if !g.knowsCards() {
		return hardware.E1000, ""
	}
	for _, c := range offered {
		if len(g.lacks(g.Late, c.modules)) == 0 {
			return c.kind, ""
		}
	}
	return hardware.E1000, fmt.Sprintf("the guest has no driver for a network card of %s: install the kernel's module e1000 (on Debian linux-image-amd64 has it, linux-image-cloud-amd64 has not)", p)
}

// namespace is that of the UUIDs of what is made: equal inputs make equal packages.
var namespace = uuid.MustParse("5f0a9b8e-0c7d-4b5e-9d6e-0b6f786b696c")

func (j *job) uuid(of string) string {
	return uuid.NewSHA1(namespace, []byte(j.Name+"\x00"+of)).String()
}

// machine describes the machine for a product. drives are its disks.
func (j *job) machine(p product, drives []hardware.Drive) hardware.Machine {
	m := hardware.Machine{Name: j.Name, CPUs: max(1, j.Hardware.CPUs), MemoryMiB: cmp.Or(j.Hardware.MemoryMiB, defaultMemory),
		RTCUTC: true, Guest: j.guestOS(), Boot: []hardware.BootDevice{hardware.BootDisk, hardware.BootCD}}
	if j.artifact.UEFI {
		m.Firmware = hardware.UEFI
	}
	if p == virtualBox {
		m.UUID, m.VideoMiB = j.uuid("machine"), videoMemory
	}
	bus, _ := j.pickBus(p)
	card, _ := j.pickCard(p)
	for i := range drives {
		drives[i].Port = port(bus, i)
	}
	m.Controllers = []hardware.Controller{{Bus: bus, Name: controllerNames[bus], Drives: drives}}
	m.NICs = []hardware.NIC{{Model: card, Connection: hardware.NAT}}
	if p == virtualBox {
		m.NICs[0].MAC = j.mac()
	}
	return m
}

const (
	defaultMemory = 1024 // MiB, of a machine of which nobody knows what it had
	videoMemory   = 16   // MiB; VirtualBox's own default is too little for a console of a usual size
)

// controllerNames are those that VirtualBox gives; its commands take controllers by name.
var controllerNames = map[hardware.Bus]string{
	hardware.SATA: "SATA Controller", hardware.IDE: "IDE Controller", hardware.LsiLogic: "SCSI Controller",
	hardware.LsiLogicSAS: "SAS Controller", hardware.VirtioSCSI: "VirtioSCSI Controller",
}

// port is where the i-th disk goes. The target 7 of a parallel SCSI bus is the controller itself.
func port(bus hardware.Bus, i int) int {
	const controller = 7
	if (bus == hardware.LsiLogic || bus == hardware.PVSCSI) && i >= controller {
		return i + 1
	}
	return i
}

// mac is the address of the card under VirtualBox: that of the exported machine, else one of VirtualBox's range that follows
// from the name. Vagrant gives it to all machines of the box, each behind a NAT of its own.
func (j *job) mac() string {
	if m := j.exported.machine; m != nil && len(m.NICs) > 0 && m.NICs[0].MAC != "" {
		return m.NICs[0].MAC
	}
	id := uuid.NewSHA1(namespace, []byte(j.Name+"\x00mac"))
	return fmt.Sprintf("08:00:27:%02x:%02x:%02x", id[0], id[1], id[2])
}

// Warnings says what keeps the guest from starting, or from being reached, as one of the packages. Each names the package.
func (j *job) warnings(list []hypervisor.Package) []string {
	var all []string
	add := func(p hypervisor.Package, text string) {
		if text != "" {
			all = append(all, string(p)+": "+text)
		}
	}
	for _, p := range list {
		if p == hypervisor.PackageAMI {
			for _, text := range j.Guest.cloudWarnings() {
				add(p, text)
			}
			continue
		}
		target, ok := productOf[p]
		if !ok || j.native(p) {
			continue
		}
		bus, text := j.pickBus(target)
		add(p, text)
		if target == either && (bus == hardware.SATA || bus == hardware.PVSCSI) {
			add(p, fmt.Sprintf("VirtualBox cannot import it, because its disks are on a controller of VMware's (%s): the guest has a driver for no other", bus))
		}
		_, text = j.pickCard(target)
		add(p, text)
	}
	if slices.ContainsFunc(list, func(p hypervisor.Package) bool { return p.IsRemote() || productOf[p] != "" && !j.native(p) }) {
		all = append(all, j.traps()...)
	}
	return all
}

// productOf tells which packages hold a machine that is described anew.
var productOf = map[hypervisor.Package]product{
	hypervisor.PackageVirtualBox: virtualBox, hypervisor.PackageVMware: vmware, hypervisor.PackageVMX: vmware, hypervisor.PackageOVA: either,
}

// traps are what ties the guest to the machine that it was installed on.
func (j *job) traps() []string {
	g := j.Guest
	var all []string
	if g.Unread != "" {
		all = append(all, fmt.Sprintf("the drivers in %s could not be looked at; its controllers are the usual ones", g.Unread))
	}
	if j.artifact.UEFI && g.ESP != "" && g.Fallback == "" {
		all = append(all, `the guest has no \EFI\BOOT\BOOTX64.EFI, which is what a firmware without its variables starts: they do not go along; install it with grub-install --removable or bootctl install`)
	}
	for _, d := range g.Devices {
		if strings.HasPrefix(d.Name, "/dev/vd") && j.exported.bus == "" || strings.HasPrefix(d.Name, "/dev/nvme") {
			all = append(all, fmt.Sprintf("%s names the disk %s, which has another name elsewhere: use UUID= there", d.File, d.Name))
		}
	}
	for _, i := range g.Interfaces {
		if !g.OldNames && predictable(i.Name) {
			all = append(all, fmt.Sprintf("%s names the network card %s, which follows from its slot and is another elsewhere: match Type=ether or e*, or boot with net.ifnames=0", i.File, i.Name))
		}
	}
	if g.Pinned != "" {
		all = append(all, fmt.Sprintf("%s ties names to the address of a network card, which is another elsewhere: remove it", g.Pinned))
	}
	return all
}

// predictable tells names such as ens3, enp0s3, eno1 from patterns and from eth0.
func predictable(name string) bool {
	rest, ok := strings.CutPrefix(name, "en")
	return ok && len(rest) > 1 && strings.ContainsAny(rest[:1], "spox") && !strings.ContainsAny(name, "*?[!")
}
