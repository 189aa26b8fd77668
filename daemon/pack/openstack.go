package pack

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// glanceImage is the body of POST /v2/images of OpenStack's image service: what describes the image, and properties by which
// Nova gives it a machine in which it starts. Names and values: OpenStack Glance, "Useful image properties"
// (docs.openstack.org/glance/latest/admin/useful-image-properties.html), and nova/objects/fields.py for the words.
type glanceImage struct {
	Name            string `json:"name"`
	DiskFormat      string `json:"disk_format"`
	ContainerFormat string `json:"container_format"`
	MinDisk         int64  `json:"min_disk"` // GiB
	MinRAM          int    `json:"min_ram"`  // MiB

	Architecture string `json:"architecture,omitempty"` // libosinfo's word: x86_64
	OSType       string `json:"os_type,omitempty"`      // linux or windows
	OSDistro     string `json:"os_distro,omitempty"`    // libosinfo's short id
	OSVersion    string `json:"os_version,omitempty"`
	DiskBus      string `json:"hw_disk_bus,omitempty"`
	SCSIModel    string `json:"hw_scsi_model,omitempty"`
	VIFModel     string `json:"hw_vif_model,omitempty"`
	Firmware     string `json:"hw_firmware_type"`
	MachineType  string `json:"hw_machine_type,omitempty"`
}

// openStack describes the images, and the first of them to an image service: a service has images, not machines.
func (j *job) openStack(_ context.Context, disks []image) ([]hypervisor.File, error) {
	files, err := images(disks)
	if err != nil {
		return nil, err
	}
	path := j.own(filepath.Join(j.dir, j.Name+".openstack.json"))
	if _, err := writeFile(path, j.glance(disks[0])); err != nil {
		return nil, err
	}
	f, err := fileOf(path, hypervisor.RoleOther)
	return append(files, f), err
}

func (j *job) glance(d image) func(w io.Writer) error {
	h := j.Hardware
	system, version := j.system()
	g := glanceImage{Name: j.Name, DiskFormat: "qcow2", ContainerFormat: "bare", MinDisk: int64(boxfile.CeilGibibytes(d.size)), MinRAM: h.MemoryMiB,
		Architecture: machineArch[j.Architecture], OSType: osType(system), OSDistro: osDistro(system), OSVersion: version,
		DiskBus: glanceBus(h.DiskBus), VIFModel: glanceVIF(h.NIC), Firmware: "bios", MachineType: glanceMachine(h.Machine)}
	if g.DiskBus == "scsi" {
		g.SCSIModel = "virtio-scsi"
		if h.DiskBus == "scsi" {
			g.SCSIModel = "lsisas1068"
		}
	}
	if j.artifact.UEFI {
		g.Firmware = "uefi"
	}
	return func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(g)
	}
}

// machineArch translates Vagrant's names.
var machineArch = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}

// osDistro is libosinfo's short id, which is that of os-release but for openSUSE's two.
func osDistro(system string) string {
	if strings.HasPrefix(system, "opensuse") {
		return "opensuse"
	}
	return system
}

func osType(system string) string {
	switch system {
	case "", "freebsd", "openbsd", "netbsd":
		return "" // the image service knows two
	case "windows":
		return "windows"
	}
	return "linux"
}

func glanceBus(bus string) string {
	switch bus {
	case "":
		return "virtio"
	case "virtio-scsi":
		return "scsi"
	}
	return bus
}

// glanceVIF is Nova's word for a card, empty for one that it does not have, so that it chooses.
func glanceVIF(model string) string {
	switch strings.TrimSuffix(model, "-pci") {
	case "", "virtio", "virtio-net":
		return "virtio"
	case "e1000", "e1000-82540em":
		return "e1000"
	case "e1000e", "pcnet", "rtl8139", "vmxnet3":
		return model
	}
	return ""
}

// glanceMachine is the family of a machine type such as pc-q35-7.2; the version is the host's affair.
func glanceMachine(machine string) string {
	switch {
	case strings.Contains(machine, "q35"):
		return "q35"
	case machine == "pc", strings.HasPrefix(machine, "pc-i440fx"):
		return "pc"
	}
	return ""
}
