package libvirt

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// frozenDisk names the disks of a frozen machine, beside memoryFile and varsFile.
func frozenDisk(i int, format string) string { return fmt.Sprintf("disk-%d.%s", i, format) }

// detail is what this driver keeps with a frozen machine.
type detail struct {
	// Domain is libvirt's description with every address and default filled in: what a memory only fits into again.
	Domain string `json:"domain,omitempty"`
	MAC    string `json:"mac,omitempty"`
	// Under are the images under each frozen disk.
	Under [][]layer `json:"under"`
	// Firmware is a digest of the UEFI code, of which the memory holds parts.
	Firmware string `json:"firmware,omitempty"`
}

// thawing is a frozen machine on its way into a new one.
type thawing struct {
	frozen hypervisor.Frozen
	detail detail
	domain *libvirtxml.Domain // nil without memory
	spec   hypervisor.Spec    // with the frozen files as what its disks start from
}

// newThawing reads what was frozen into dir and checks it against the spec as far as that goes without looking at the host.
func newThawing(f hypervisor.Frozen, dir string, spec hypervisor.Spec) (*thawing, error) {
	t := &thawing{frozen: f, spec: spec}
	if f.Driver != Name {
		return nil, fmt.Errorf("it was frozen by the driver %q, not by %s", f.Driver, Name)
	}
	if err := json.Unmarshal(f.Detail, &t.detail); err != nil {
		return nil, fmt.Errorf("the description of the frozen machine cannot be read: %w", err)
	}
	if len(f.Disks) != len(spec.Disks) {
		return nil, fmt.Errorf("it was frozen with %d disks, and this machine has %d", len(f.Disks), len(spec.Disks))
	}
	if spec.Firmware.UEFI != (f.Vars != "") {
		return nil, fmt.Errorf("it was frozen with %s, and this machine has %s", firmwareName(f.Vars != ""), firmwareName(spec.Firmware.UEFI))
	}
	for _, name := range t.names() {
		if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("the frozen file %q is no plain name", name)
		}
	}
	if f.Memory != "" {
		t.domain = &libvirtxml.Domain{}
		if err := t.domain.Unmarshal(t.detail.Domain); err != nil || t.domain.OS == nil || t.domain.OS.Type == nil || t.domain.Devices == nil {
			return nil, errors.Join(errors.New("the domain of the frozen machine cannot be read"), err)
		}
	}
	t.rebase(dir)
	return t, nil
}

func firmwareName(uefi bool) string {
	if uefi {
		return "UEFI"
	}
	return "a BIOS"
}

// names lists the files of the frozen machine.
func (t *thawing) names() []string {
	var names []string
	for _, d := range t.frozen.Disks {
		names = append(names, d.Name)
	}
	for _, name := range []string{t.frozen.Memory, t.frozen.Vars} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// rebase makes the spec start from the frozen files.
func (t *thawing) rebase(dir string) {
	t.spec.Disks = append([]hypervisor.Disk(nil), t.spec.Disks...)
	for i, f := range t.frozen.Disks {
		d := &t.spec.Disks[i]
		d.Format, d.Image, d.ImageFormat = disk.QCOW2, filepath.Join(dir, f.Name), f.Format
		d.Backing, d.KeepSize, d.Size = true, true, f.VirtualSize
	}
	if t.frozen.Vars != "" {
		t.spec.Firmware.Vars = filepath.Join(dir, t.frozen.Vars)
	}
	// On a network of its own the guest keeps its card's address, by which some systems tell their cards apart.
	if n := &t.spec.Network; n.MAC == "" && n.Name == "" {
		n.MAC = t.detail.MAC
	}
}

// merge puts the new machine into the frozen description: what belongs to this machine or this run is the new one's, and
// what the guest has seen stays.
func (t *thawing) merge(fresh *libvirtxml.Domain) (*libvirtxml.Domain, error) {
	x := t.domain
	x.ID, x.Name, x.UUID, x.GenID = nil, fresh.Name, fresh.UUID, &libvirtxml.DomainGenID{}
	x.Metadata, x.SecLabel, x.QEMUCommandline = fresh.Metadata, fresh.SecLabel, fresh.QEMUCommandline
	x.OS.NVRam, x.OS.Loader = fresh.OS.NVRam, fresh.OS.Loader
	x.Devices.Emulator, x.Devices.Graphics = fresh.Devices.Emulator, fresh.Devices.Graphics
	x.Devices.Consoles = nil // libvirt adds the one that mirrors the serial port
	for i := range x.Devices.Serials {
		if i < len(fresh.Devices.Serials) {
			x.Devices.Serials[i].Source = fresh.Devices.Serials[i].Source
			x.Devices.Serials[i].Log = nil
		}
	}
	for i := range x.Devices.Channels {
		if i < len(fresh.Devices.Channels) {
			x.Devices.Channels[i].Source = fresh.Devices.Channels[i].Source
		}
	}
	return x, t.mergeDrives(fresh)
}

// mergeDrives gives every frozen drive the file of the new one in the same place.
func (t *thawing) mergeDrives(fresh *libvirtxml.Domain) error {
	drives := map[string]libvirtxml.DomainDisk{}
	for _, d := range fresh.Devices.Disks {
		drives[d.Target.Dev] = d
	}
	for i := range t.domain.Devices.Disks {
		d := &t.domain.Devices.Disks[i]
		n, ok := drives[d.Target.Dev]
		if !ok || n.Device != d.Device || n.Target.Bus != d.Target.Bus {
			return fmt.Errorf("it was frozen with a %s %s, which this machine does not have", d.Device, d.Target.Dev)
		}
		delete(drives, d.Target.Dev)
		if d.Source == nil { // the guest ejected the medium
			continue
		}
		d.Source, d.Driver, d.BackingStore = n.Source, n.Driver, n.BackingStore
	}
	for dev, d := range drives {
		return fmt.Errorf("it was frozen without the %s %s of this machine", d.Device, dev)
	}
	return nil
}

// compare tells in what a machine with memory differs from the new one, described by fresh, on the host here.
func (t *thawing) compare(fresh *libvirtxml.Domain, here hypervisor.Host) error {
	var errs []error
	differ := func(was, is string) {
		if was != is {
			errs = append(errs, fmt.Errorf("it was frozen %s, and here it would run %s", was, is))
		}
	}
	there := t.frozen.Host
	if there.Hypervisor != here.Hypervisor {
		errs = append(errs, fmt.Errorf("it was frozen by %s, and this host has %s", there.Hypervisor, here.Hypervisor))
	}
	differ("under "+there.Accelerator, "under "+here.Accelerator)
	differ("with the processor "+there.CPU, "with the processor "+here.CPU)
	differ("as the machine type "+there.Machine, "as the machine type "+here.Machine)
	differ(memoryWords(t.domain), memoryWords(fresh))
	differ(cpuWords(t.domain), cpuWords(fresh))
	differ("with the UEFI code "+loaderPath(t.domain), "with the UEFI code "+loaderPath(fresh))
	if loader := loaderPath(fresh); loader != "" && loader == loaderPath(t.domain) && t.detail.Firmware != fileDigest(loader) {
		errs = append(errs, fmt.Errorf("it was frozen with another version of the UEFI code %s", loader))
	}
	differ("with the added devices "+devicesOf(t.domain), "with the added devices "+devicesOf(fresh))
	return errors.Join(errs...)
}

func memoryWords(x *libvirtxml.Domain) string {
	if x.Memory == nil {
		return "with no memory"
	}
	mib := x.Memory.Value
	if x.Memory.Unit == "KiB" || x.Memory.Unit == "" {
		mib >>= 10
	}
	return fmt.Sprintf("with %d MiB of memory", mib)
}

func cpuWords(x *libvirtxml.Domain) string {
	if x.VCPU == nil {
		return "with 1 processors"
	}
	return fmt.Sprintf("with %d processors", x.VCPU.Value)
}

func loaderPath(x *libvirtxml.Domain) string {
	if x.OS.Loader == nil {
		return ""
	}
	return x.OS.Loader.Path
}

// devicesOf lists the -device switches that libvirt only hands on.
func devicesOf(x *libvirtxml.Domain) string {
	if x.QEMUCommandline == nil {
		return ""
	}
	var out []string
	for i, a := range x.QEMUCommandline.Args {
		if i > 0 && x.QEMUCommandline.Args[i-1].Value == "-device" {
			out = append(out, a.Value)
		}
	}
	return strings.Join(out, " ")
}

// fileDigest is the SHA-256 of a file, or "" if it cannot be read.
func fileDigest(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}
