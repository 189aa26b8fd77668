package libvirt

import (
	"slices"
	"strconv"
	"strings"

	"libvirt.org/go/libvirtxml"
)

const (
	balloonModel    = "virtio-balloon-pci"
	reportsProperty = "free-page-reporting" // QEMU 5.1
	reportsSince    = 6009000               // libvirt 6.9.0
)

// balloon lets a guest tell which of its pages are free (Linux 5.7 and later do, with the driver for balloons, which
// distributions load by themselves). The host takes their content back: a machine that was just installed is otherwise full
// of what the installer left, and every freeze and thaw moves it. Nobody inflates the balloon. It has a slot of its own, so that
// no other device has another address because of it.
func (hw *hardware) balloon() *libvirtxml.DomainMemBalloon {
	if !hw.reportsPages() {
		return &libvirtxml.DomainMemBalloon{Model: "none"}
	}
	var root, slot uint = 0, balloonSlot
	return &libvirtxml.DomainMemBalloon{Model: "virtio", FreePageReporting: "on", Address: &libvirtxml.DomainAddress{
		PCI: &libvirtxml.DomainAddressPCI{Domain: &root, Bus: &root, Slot: &slot, Function: &root},
	}}
}

// reportsPages tells whether libvirt and QEMU know how, the machine has a PCI bus, and qemuargs leave room for a balloon.
func (hw *hardware) reportsPages() bool {
	pci := slices.Contains([]string{"amd64", "386", "arm64"}, hw.spec.Arch)
	return pci && hw.host.models.reports && hw.host.libvirt >= reportsSince && !hw.balloonTaken()
}

// balloonTaken finds a balloon of the user's, as there can be but one, and a device in the place of ours.
func (hw *hardware) balloonTaken() bool {
	for i, a := range hw.extra {
		if a == "-balloon" {
			return true
		}
		if i == 0 || hw.extra[i-1] != "-device" {
			continue
		}
		model, _ := deviceOf(a)
		slot, _, _ := strings.Cut(parseOptions(a).get("addr"), ".")
		n, err := strconv.ParseUint(strings.TrimPrefix(slot, "0x"), 16, 8) // QEMU reads addr=1c as hexadecimal, too
		if strings.HasPrefix(model, "virtio-balloon") || err == nil && n == balloonSlot {
			return true
		}
	}
	return false
}
