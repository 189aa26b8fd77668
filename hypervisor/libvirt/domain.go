package libvirt

import (
	"fmt"
	"path/filepath"

	"libvirt.org/go/libvirtxml"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// domain builds libvirt's description of a machine. It is pure: everything about this host comes in with h, and the
// templates in set.QemuArgs have been rendered.
func domain(spec hypervisor.Spec, set settings, h host) (*libvirtxml.Domain, error) {
	hw := newHardware(spec, set, h)
	if err := hw.override(set.QemuArgs); err != nil {
		return nil, err
	}
	return hw.domain()
}

func (hw *hardware) domain() (*libvirtxml.Domain, error) {
	devices, err := hw.devices()
	if err != nil {
		return nil, err
	}
	meta, err := hw.metadata().encode()
	if err != nil {
		return nil, err
	}
	d := &libvirtxml.Domain{
		Type:     "qemu",
		Name:     hw.spec.Name,
		UUID:     hw.host.uuid,
		GenID:    &libvirtxml.DomainGenID{}, // a fresh one at each start, and after a thaw
		Metadata: &libvirtxml.DomainMetadata{XML: meta},
		Memory:   &libvirtxml.DomainMemory{Value: uint(hw.memory), Unit: "MiB"},
		VCPU:     &libvirtxml.DomainVCPU{Value: uint(hw.cpus)},
		OS:       hw.os(),
		Features: hw.features(),
		CPU:      hw.processor(),
		Clock:    &libvirtxml.DomainClock{Offset: "utc"},
		// A guest that panics or powers off ends the machine; one that reboots goes on.
		OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "destroy",
		Devices:         devices,
		QEMUCommandline: hw.commandline(),
	}
	if hw.kvm {
		d.Type = "kvm"
	}
	if hw.host.asRoot {
		d.SecLabel = []libvirtxml.DomainSecLabel{{Type: "static", Model: "dac", Relabel: "yes", Label: "+0:+0"}}
	}
	return d, nil
}

func (hw *hardware) os() *libvirtxml.DomainOS {
	o := &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: libvirtArch(hw.spec.Arch), Machine: hw.machine, Type: "hvm"}}
	if hw.bootMenu {
		o.BootMenu = &libvirtxml.DomainBootMenu{Enable: "yes"}
	}
	rom := hw.set.Firmware
	switch {
	case hw.spec.Firmware.UEFI:
		o.Loader = &libvirtxml.DomainLoader{Path: hw.host.flash.code, Readonly: "yes", Type: "pflash", Secure: yesNo(hw.host.flash.secure)}
		o.NVRam = &libvirtxml.DomainNVRam{NVRam: filepath.Join(hw.spec.Dir, varsFile)}
		if f := hw.host.flash.format; f != "" && f != "raw" {
			o.Loader.Format, o.NVRam.Format = f, f
		}
	case rom.File != "" && !rom.Pflash:
		o.Loader = &libvirtxml.DomainLoader{Path: rom.File, Type: "rom"}
	}
	return o
}

func (hw *hardware) features() *libvirtxml.DomainFeatureList {
	f := &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}}
	if hw.chipset() == "virt" {
		return f
	}
	f.APIC = &libvirtxml.DomainFeatureAPIC{}
	if hw.spec.Firmware.UEFI && hw.host.flash.secure {
		f.SMM = &libvirtxml.DomainFeatureSMM{State: "on"}
	}
	return f
}

// processor is the host's under KVM. Emulated, it is on amd64 the one that QEMU has without a word (qemu64), as under
// Packer: the largest one that QEMU 7.2 can emulate takes a fifth more time for the same boot. Others have no such default
// that systems of today run on. A model that was asked for goes to QEMU as it is written.
func (hw *hardware) processor() *libvirtxml.DomainCPU {
	cpu := &libvirtxml.DomainCPU{Mode: "maximum"}
	switch {
	case hw.kvm:
		cpu = &libvirtxml.DomainCPU{Mode: "host-passthrough", Migratable: "on"}
	case hw.spec.Arch == "amd64" && hw.topology == (topology{}):
		return nil
	case hw.spec.Arch == "amd64":
		cpu = &libvirtxml.DomainCPU{}
	}
	if hw.topology != (topology{}) {
		cpu.Topology = &libvirtxml.DomainCPUTopology{
			Sockets: max(1, hw.topology.sockets), Cores: max(1, hw.topology.cores), Threads: max(1, hw.topology.threads),
		}
	}
	return cpu
}

// cpuName says which processor the guest sees.
func (hw *hardware) cpuName() string {
	name := hw.cpu
	if cpu := hw.processor(); name == "" {
		switch {
		case cpu == nil || cpu.Mode == "":
			name = "qemu64"
		case hw.kvm:
			name = "host"
		default:
			name = "max"
		}
	}
	if hw.kvm && hw.host.processor != "" {
		name += " on " + hw.host.processor
	}
	return name
}

func (hw *hardware) devices() (*libvirtxml.DomainDeviceList, error) {
	disks, controllers, err := hw.disks()
	if err != nil {
		return nil, err
	}
	list := &libvirtxml.DomainDeviceList{
		Emulator:    hw.host.emulator,
		Disks:       disks,
		Controllers: controllers,
		MemBalloon:  hw.balloon(),
		RNGs: []libvirtxml.DomainRNG{{Model: "virtio", Backend: &libvirtxml.DomainRNGBackend{
			Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"},
		}}},
		Interfaces: hw.interfaces(),
		Inputs:     hw.inputs(),
		TPMs:       hw.tpms(),
		Graphics:   hw.graphics(),
		Channels:   hw.channels(),
	}
	if hw.serial {
		list.Serials = []libvirtxml.DomainSerial{{Source: &libvirtxml.DomainChardevSource{
			File: &libvirtxml.DomainChardevSourceFile{Path: filepath.Join(hw.spec.Dir, serialFile)},
		}}}
	}
	list.Videos = []libvirtxml.DomainVideo{{Model: libvirtxml.DomainVideoModel{Type: "none"}}}
	if hw.video != "" {
		list.Videos[0].Model.Type = hw.video
		if hw.video == "vga" && hw.chipset() == "virt" {
			list.Videos[0].Model.Type = "virtio" // these machines have no VGA
		}
	}
	if hw.chipset() != "virt" {
		list.Panics = []libvirtxml.DomainPanic{{Model: "isa"}} // so that a guest's panic ends the wait for it
	}
	return list, nil
}

func (hw *hardware) interfaces() []libvirtxml.DomainInterface {
	n := hw.spec.Network
	source := &libvirtxml.DomainInterfaceSource{}
	switch {
	case hw.set.Net.Bridge != "":
		source.Bridge = &libvirtxml.DomainInterfaceSourceBridge{Bridge: hw.set.Net.Bridge}
	case n.Name != "":
		source.Network = &libvirtxml.DomainInterfaceSourceNetwork{Network: n.Name}
	default:
		return nil
	}
	model := n.Model
	switch model {
	case "", "virtio-net", "virtio-net-pci":
		model = "virtio"
	}
	i := libvirtxml.DomainInterface{
		MAC:    &libvirtxml.DomainInterfaceMAC{Address: hw.mac()},
		Source: source,
		Model:  &libvirtxml.DomainInterfaceModel{Type: model},
	}
	if order, ok := hw.bootOrder()["network"]; ok {
		i.Boot = &libvirtxml.DomainDeviceBoot{Order: order}
	}
	return []libvirtxml.DomainInterface{i}
}

// inputs adds a USB keyboard where the machine has no PS/2 one.
func (hw *hardware) inputs() []libvirtxml.DomainInput {
	var in []libvirtxml.DomainInput
	if hw.chipset() == "virt" {
		in = append(in, libvirtxml.DomainInput{Type: "keyboard", Bus: "usb"})
	}
	if hw.tablet {
		in = append(in, libvirtxml.DomainInput{Type: "tablet", Bus: "usb"})
	}
	return in
}

func (hw *hardware) tpms() []libvirtxml.DomainTPM {
	t := hw.set.TPM
	if t.Model == "" {
		return nil
	}
	return []libvirtxml.DomainTPM{{Model: t.Model, Backend: &libvirtxml.DomainTPMBackend{
		Emulator: &libvirtxml.DomainTPMBackendEmulator{Version: t.Version},
	}}}
}

func (hw *hardware) graphics() []libvirtxml.DomainGraphic {
	if !hw.vnc {
		return nil
	}
	v := hw.set.VNC
	return []libvirtxml.DomainGraphic{{VNC: &libvirtxml.DomainGraphicVNC{
		Port: hw.host.vncPort, AutoPort: "no", Passwd: v.Password,
		Listeners: []libvirtxml.DomainGraphicListener{{Address: &libvirtxml.DomainGraphicListenerAddress{Address: v.Bind}}},
	}}}
}

// channels lets a guest agent tell the guest's address.
func (hw *hardware) channels() []libvirtxml.DomainChannel {
	if hw.set.Net.AddressSource != "agent" {
		return nil
	}
	return []libvirtxml.DomainChannel{{
		Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{Mode: "bind"}},
		Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: "org.qemu.guest_agent.0"}},
	}}
}

// commandline holds what libvirt's own XML cannot say.
func (hw *hardware) commandline() *libvirtxml.DomainQEMUCommandline {
	var args []string
	if hw.netdev != "" {
		args = append(args, "-netdev", hw.netdev)
	}
	if hw.nic != "" {
		nic := hw.nic
		if order, ok := hw.bootOrder()["network"]; ok {
			nic += fmt.Sprintf(",bootindex=%d", order)
		}
		args = append(args, "-device", hw.addressed(nic))
	}
	if rom := hw.set.Firmware; rom.File != "" && rom.Pflash {
		args = append(args, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+rom.File)
	}
	if hw.cpu != "" {
		args = append(args, "-cpu", hw.cpu) // the last -cpu counts
	}
	for i, a := range hw.extra {
		if i > 0 && hw.extra[i-1] == "-device" {
			a = hw.host.models.late(hw.addressed(a))
		}
		args = append(args, a)
	}
	if len(args) == 0 {
		return nil
	}
	c := &libvirtxml.DomainQEMUCommandline{}
	for _, a := range args {
		c.Args = append(c.Args, libvirtxml.DomainQEMUCommandlineArg{Value: a})
	}
	return c
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// libvirtArch is the inverse of goArch, in libvirt's words.
func libvirtArch(arch string) string {
	switch arch {
	case "amd64", "":
		return "x86_64"
	case "386":
		return "i686"
	case "arm64":
		return "aarch64"
	case "arm":
		return "armv7l"
	case "ppc64le":
		return "ppc64"
	case "loong64":
		return "loongarch64"
	}
	return arch
}
