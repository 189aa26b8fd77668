package virtualbox

import (
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// hardware is the arguments of modifyvm for a new machine, after its name. Version 6.1 knows the names without dashes, which
// 7.x takes too; where a switch was replaced, the version decides.
func hardware(spec hypervisor.Spec, h hardwareSettings, v version) []string {
	firmware := "bios"
	if spec.Firmware.UEFI {
		firmware = "efi"
	}
	args := []string{
		"--cpus", strconv.Itoa(spec.CPUs), "--memory", strconv.Itoa(spec.MemoryMiB), "--ioapic", "on",
		"--boot1", "disk", "--boot2", "dvd", "--boot3", "none", "--boot4", "none",
		"--chipset", h.Chipset, "--firmware", firmware, "--rtcuseutc", onOff(h.UTC), "--vram", strconv.Itoa(int(h.VRAM)),
		"--nic1", "nat", "--nictype1", spec.Network.Model, "--cableconnected1", "on",
	}
	if spec.Network.MAC != "" {
		args = append(args, "--macaddress1", spec.Network.MAC)
	}
	if h.NestedVirt {
		args = append(args, "--nested-hw-virt", "on")
	}
	if h.Graphics != "" {
		args = append(args, "--graphicscontroller", h.Graphics)
	}
	if h.Accelerate3D {
		args = append(args, "--accelerate3d", "on")
	}
	if h.Mouse != "" {
		args = append(args, "--mouse", h.Mouse)
	}
	if h.Keyboard != "" {
		args = append(args, "--keyboard", h.Keyboard)
	}
	return append(append(args, usb(h)...), sound(h, v)...)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// usb is about the controllers, each of which has a switch of its own.
func usb(h hardwareSettings) []string {
	switch h.USB {
	case "usb":
		return []string{"--usb", "on"}
	case "usb-ehci":
		return []string{"--usb", "on", "--usbehci", "on"}
	case "usb-xhci":
		return []string{"--usbxhci", "on"}
	}
	return []string{"--usb", "off"}
}

// sound is about the sound card; --audio is split in two from 7.0 on.
func sound(h hardwareSettings, v version) []string {
	none := h.Sound == "none" || h.Sound == ""
	switch {
	case !v.atLeast(7, 0) && none:
		return []string{"--audio", "none"}
	case !v.atLeast(7, 0):
		return []string{"--audio", h.Sound, "--audiocontroller", h.Audio}
	case none:
		return []string{"--audio-driver", "none", "--audio-enabled", "off"}
	}
	return []string{"--audio-driver", h.Sound, "--audio-enabled", "on", "--audio-controller", h.Audio}
}
