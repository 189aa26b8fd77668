package pack

import (
	"context"
	"fmt"
	"strings"
	"text/template"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// nvramName is the name in the box of the UEFI variables.
const nvramName = "efivars.fd"

// libvirtForm tells what disks must be converted to for vagrant-libvirt: nothing if they are qcow2 images that need no
// other file.
func (j *job) libvirtForm() (disk.Form, error) {
	for _, d := range j.exported.disks {
		if ok, err := d.flat(); !ok || err != nil {
			return disk.FormQCOW2, err
		}
	}
	return "", nil
}

// flat tells whether an image is a qcow2 that needs no other file.
func (d image) flat() (bool, error) {
	if d.format != disk.QCOW2 {
		return false, nil
	}
	h, err := readHeader(d.path)
	return !h.HasBacking && !h.HasDataFile, err
}

// libvirt lays out a box for vagrant-libvirt: the form with one disk that all its versions read, the form with several
// where it must be.
func (j *job) libvirt(_ context.Context, disks []image) (boxfile.Contents, error) {
	var c boxfile.Contents
	for i, d := range disks {
		name := "box.img"
		if len(disks) > 1 {
			name = fmt.Sprintf("box_%d.img", i)
			c.Metadata.Disks = append(c.Metadata.Disks, boxfile.MetadataDisk{Path: name, Format: "qcow2"})
		}
		c.Files = append(c.Files, boxfile.File{Name: name, Path: d.path})
	}
	if len(disks) == 1 {
		c.Metadata.Format, c.Metadata.VirtualSize = "qcow2", boxfile.CeilGibibytes(disks[0].size)
	}
	if j.exported.nvram != "" && j.exported.product == "" {
		c.Metadata.NVRAM = nvramName
		c.Files = append(c.Files, boxfile.File{Name: nvramName, Path: j.exported.nvram})
	}
	text, err := j.libvirtVagrantfile()
	if err != nil {
		return boxfile.Contents{}, err
	}
	c.Vagrantfile = j.vagrantfile(text)
	return c, nil
}

// firmware lists where distributions keep UEFI firmware. Whole holds images of code and variables in one, which QEMU
// loads like a BIOS: nothing is left on the host when the machine goes, and vagrant-libvirt needs only the path. Code
// holds images that need a file for variables beside them.
type firmware struct {
	Whole, Code []string
	Package     string
}

// The paths are those of Debian and Ubuntu, Arch, openSUSE, Alpine; then Fedora and its kin, which have no whole image.
var firmwares = map[string]firmware{
	"amd64": {
		Whole: []string{"/usr/share/ovmf/OVMF.fd", "/usr/share/edk2/x64/OVMF.4m.fd", "/usr/share/edk2-ovmf/x64/OVMF.fd",
			"/usr/share/qemu/ovmf-x86_64.bin", "/usr/share/OVMF/OVMF.fd"},
		Code:    []string{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE.fd"},
		Package: "ovmf or edk2-ovmf",
	},
	"arm64": {
		Whole: []string{"/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "/usr/share/edk2/aarch64/QEMU_EFI.fd",
			"/usr/share/qemu/qemu-uefi-aarch64.bin"},
		Code:    []string{"/usr/share/AAVMF/AAVMF_CODE.fd"},
		Package: "qemu-efi-aarch64 or edk2-aarch64",
	},
}

// The Vagrantfile of a box is merged first, so all of this yields to what the user writes. Where the host keeps its
// firmware is found out when the box is used: a path written here would be right on one distribution only.
var libvirtTemplate = template.Must(template.New("").Funcs(template.FuncMap{"ruby": rubyString, "words": rubyWords}).Parse(
	`# Written by Boxkiln. Your own Vagrantfile is read after this one and wins.
Vagrant.configure("2") do |config|
  config.vm.provider :libvirt do |libvirt|
    libvirt.driver = {{ ruby .Driver }}
{{- with .CPUs }}
    libvirt.cpus = {{ . }}{{ end }}
{{- with .MemoryMiB }}
    libvirt.memory = {{ . }}{{ end }}
{{- with .Machine }}
    libvirt.machine_type = {{ ruby . }}{{ end }}
{{- with .Device }}
    libvirt.disk_device = {{ ruby . }}{{ end }}
{{- with .Bus }}
    libvirt.disk_bus = {{ ruby . }}{{ end }}
{{- with .NIC }}
    libvirt.nic_model_type = {{ ruby . }}{{ end }}
{{- with .Firmware }}

    # The guest was installed under UEFI. If this host has no suitable firmware, install the package
    # {{ .Package }}, or set libvirt.loader (and libvirt.nvram) in your own Vagrantfile.
    whole = {{ words .Whole }}.find { |path| File.exist?(path) }
    code = {{ words .Code }}.find { |path| File.exist?(path) }
    if whole
      libvirt.loader = whole
    elsif code
      # libvirt makes the file of variables from its template.
      require "digest"
      libvirt.loader = code
      libvirt.nvram = "/var/lib/libvirt/qemu/nvram/vagrant-#{Digest::SHA256.hexdigest(Dir.pwd)[0, 12]}_VARS.fd"
    end{{ end }}
  end
end
`))

func (j *job) libvirtVagrantfile() (string, error) {
	h := j.Hardware
	v := struct {
		Hardware
		Device, Bus string
		Firmware    *firmware
	}{Hardware: h}
	if v.Driver == "" {
		v.Driver = "kvm"
	}
	var err error
	if v.Device, v.Bus, err = vagrantDisk(h.DiskBus); err != nil {
		return "", err
	}
	if j.artifact.UEFI {
		f, known := firmwares[j.Architecture]
		if !known {
			return "", fmt.Errorf("no UEFI firmware is known for the architecture %q", j.Architecture)
		}
		v.Firmware = &f
	}
	var b strings.Builder
	err = libvirtTemplate.Execute(&b, v)
	return b.String(), err
}

// vagrantDisk translates a disk interface into vagrant-libvirt's disk_device and disk_bus, which must fit each other.
// virtio is its default. Its scsi controller is always virtio-scsi (config.rb, finalize!).
func vagrantDisk(bus string) (device, name string, err error) {
	switch bus {
	case "", "virtio":
		return "", "", nil
	case "sata":
		return "sda", "sata", nil
	case "scsi", "virtio-scsi":
		return "sda", "scsi", nil
	case "ide":
		return "hda", "ide", nil
	}
	return "", "", fmt.Errorf("disk interface %q has no counterpart in vagrant-libvirt", bus)
}

// rubyString quotes so that Ruby sees nothing but text in it.
func rubyString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// rubyWords writes a list of strings, one to a line.
func rubyWords(list []string) string {
	var b strings.Builder
	b.WriteString("[\n")
	for _, s := range list {
		b.WriteString("      " + rubyString(s) + ",\n")
	}
	return b.String() + "    ]"
}
