package libvirt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// obstacles tells in words what keeps the memory of a machine from being kept: devices that QEMU cannot save, content
// that a snapshot of our disks would not hold, and addresses that the copies of the machine would share.
func obstacles(x *libvirtxml.Domain, meta metadata) []string {
	var out []string
	if meta.Network != networkUser && meta.Network != networkNone {
		out = append(out, "its network card, because all that start from the same memory would have the same address on "+networkOf(x))
	}
	if dev := x.Devices; dev != nil {
		if len(dev.TPMs) > 0 {
			out = append(out, "the emulated TPM (vtpm)")
		}
		if n := len(dev.Hostdevs) + len(dev.RedirDevs) + len(dev.Smartcards); n > 0 {
			out = append(out, fmt.Sprintf("%d passed-through devices", n))
		}
		out = append(out, strangeDrives(dev.Disks, meta)...)
	}
	return append(out, strangeArgs(x.QEMUCommandline)...)
}

func networkOf(x *libvirtxml.Domain) string {
	if x.Devices != nil {
		for _, i := range x.Devices.Interfaces {
			switch {
			case i.Source == nil:
			case i.Source.Network != nil:
				return "the network " + i.Source.Network.Network
			case i.Source.Bridge != nil:
				return "the bridge " + i.Source.Bridge.Bridge
			}
		}
	}
	return "its network"
}

// strangeDrives finds disks of libvirt that are not ours, and ours that libvirt does not know.
func strangeDrives(disks []libvirtxml.DomainDisk, meta metadata) []string {
	var out []string
	known := map[string]bool{}
	for _, d := range disks {
		path := diskFile(d)
		known[path] = true
		if d.Device == deviceDisk && d.ReadOnly == nil && !meta.owns(path) {
			out = append(out, fmt.Sprintf("the drive %q, which the machine can write to and which was not made for it", path))
		}
	}
	for _, d := range meta.Disks {
		if !known[d.Path] {
			out = append(out, fmt.Sprintf("the disk %q, because qemuargs attach it without libvirt", d.Path))
		}
	}
	return out
}

func diskFile(d libvirtxml.DomainDisk) string {
	if d.Source == nil || d.Source.File == nil {
		return ""
	}
	return d.Source.File.File
}

// owns tells whether path is a disk of the machine.
func (m metadata) owns(path string) bool {
	return slices.ContainsFunc(m.Disks, func(d diskMeta) bool { return d.Path == path })
}

// frozenOut are the device models whose state QEMU does not save, or which stand for something outside of the machine, by
// the start of their names.
var frozenOut = []string{"nvme", "vfio-", "ivshmem", "usb-host", "usb-mtp", "vhost-", "u2f-passthru", "tpm-", "virtio-9p", "pci-assign"}

// strangeArgs looks through the switches that libvirt only hands on.
func strangeArgs(c *libvirtxml.DomainQEMUCommandline) []string {
	if c == nil {
		return nil
	}
	var out []string
	for i := 0; i+1 < len(c.Args); i++ {
		name, value := c.Args[i].Value, c.Args[i+1].Value
		if what := strangeArg(name, value); what != "" {
			out = append(out, what)
		}
	}
	return out
}

func strangeArg(name, value string) string {
	o := parseOptions(value)
	switch name {
	case "-device":
		return strangeDevice(value)
	case "-drive", "-blockdev":
		if o.get("readonly", "read-only") == "on" || strings.Contains(value, `"read-only":true`) || strings.Contains(value, `"read-only": true`) {
			return ""
		}
		return fmt.Sprintf("%s %s, whose content libvirt does not keep", name, value)
	case "-hda", "-hdb", "-hdc", "-hdd", "-sd", "-pflash", "-mtdblock", "-virtfs", "-fsdev", "-tpmdev":
		return fmt.Sprintf("%s %s, whose content libvirt does not keep", name, value)
	case "-netdev", "-nic", "-net":
		if kind := o[0].key; !slices.Contains([]string{"user", "none", "nic", "hubport"}, kind) {
			return fmt.Sprintf("%s %s, because all that start from the same memory would have the same address there", name, value)
		}
	}
	return ""
}

// strangeDevice names a device as its user knows it, such as "nvme (drive0)".
func strangeDevice(value string) string {
	model, ids := deviceOf(value)
	for _, start := range frozenOut {
		if !strings.HasPrefix(model, start) {
			continue
		}
		for _, id := range ids {
			if id != "" {
				return fmt.Sprintf("%s (%s)", model, id)
			}
		}
		return model
	}
	return ""
}

// deviceOf reads a -device, which may be written as JSON, and what identifies it, the best first.
func deviceOf(value string) (model string, ids []string) {
	if strings.HasPrefix(value, "{") {
		var d struct{ Driver, Drive, ID, Serial string }
		if json.Unmarshal([]byte(value), &d) == nil {
			return d.Driver, []string{d.Drive, d.ID, d.Serial}
		}
	}
	o := parseOptions(value).implied("driver")
	return o.get("driver"), []string{o.get("drive"), o.get("id"), o.get("serial")}
}
