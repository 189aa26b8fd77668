package pack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// exported is what the artifact of a build, or a file of a user, holds.
type exported struct {
	product product // whose descriptor there is; "" for plain disks
	machine *hardware.Machine
	bus     hardware.Bus // of the first disk, where it has a name in other products
	disks   []image
	// descriptor is the .ovf or .vmx, in a folder with all that it names; files are those beside it, by their names there.
	descriptor string
	files      []string
	nvram      string // path of the UEFI variables; "" if there are none
}

// image is a disk.
type image struct {
	path, format string
	size         int64 // that the guest sees, bytes; known once somebody looked
}

// open finds out what the artifact is. An appliance is unpacked into the scratch directory.
func (j *job) open(ctx context.Context) error {
	descriptor := j.files(hypervisor.RoleDescriptor)
	appliance := j.files(hypervisor.RoleAppliance)
	switch {
	case len(appliance) > 0:
		path, err := j.unpack(ctx, appliance[0].Path)
		if err != nil {
			return err
		}
		return j.openOVF(path)
	case len(descriptor) > 0 && strings.EqualFold(filepath.Ext(descriptor[0].Path), ".vmx"):
		return j.openVMX(descriptor[0].Path)
	case len(descriptor) > 0:
		return j.openOVF(descriptor[0].Path)
	}
	return j.openDisks()
}

// openDisks takes the disks as they are, and what the plan says of the machine.
func (j *job) openDisks() error {
	for _, d := range j.files(hypervisor.RoleDisk) {
		i := image{path: d.Path, format: d.Format}
		if i.format == "" { // a file that somebody named as an artifact, rather than a disk that a guest wrote
			detected, err := disk.DetectFormat(d.Path)
			if err != nil {
				return err
			}
			i.format = detected
		}
		j.exported.disks = append(j.exported.disks, i)
	}
	if vars := j.files(hypervisor.RoleNVRAM); len(vars) > 0 {
		j.exported.nvram = vars[0].Path
	}
	j.exported.bus = busesOf[j.Hardware.DiskBus]
	return j.needDisks()
}

func (j *job) needDisks() error {
	if len(j.exported.disks) == 0 {
		return fmt.Errorf("the artifact has no disk to make anything of: it is %s", described(j.artifact))
	}
	return nil
}

func (j *job) unpack(ctx context.Context, path string) (descriptor string, err error) {
	dir, err := j.scratchDir("appliance")
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	found, err := ovf.ExtractOVA(ctx, f, dir, 0)
	if err != nil {
		return "", fmt.Errorf("%q: %w", path, err)
	}
	return filepath.Join(dir, found.DescriptorFile), nil
}

// openOVF reads a descriptor and looks for the files that it names.
func (j *job) openOVF(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	d, err := ovf.Read(f)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	e := &j.exported
	e.descriptor, e.product = path, vmware
	if d.Flavour == ovf.VirtualBox {
		e.product = virtualBox
	}
	for _, f := range d.Files {
		if f.Gzipped {
			return fmt.Errorf("%q: the disk %q is compressed with gzip: unpack it and take compression out of the descriptor", path, f.Name)
		}
		e.files = append(e.files, f.Name)
	}
	return j.take(d.Machine)
}

// openVMX reads a machine of VMware's and looks for its disks.
func (j *job) openVMX(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	file, err := vmx.Parse(f)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	m, err := file.ToMachine()
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	j.exported.descriptor, j.exported.product = path, vmware
	return j.take(m)
}

// take makes a machine that was read the one to pack. Its disks lie beside the descriptor.
func (j *job) take(m hardware.Machine) error {
	e := &j.exported
	e.machine = &m
	dir := filepath.Dir(e.descriptor)
	for _, d := range m.Disks() {
		if !filepath.IsLocal(d.File) || strings.ContainsAny(d.File, `/\`) {
			return fmt.Errorf("%q names the disk %q, which is not beside it: copy it there and mend the name", e.descriptor, d.File)
		}
		path := filepath.Join(dir, d.File)
		format, err := disk.DetectFormat(path)
		if err != nil {
			return fmt.Errorf("a disk of %q: %w", e.descriptor, err)
		}
		if err := alone(image{path: path, format: format}); err != nil {
			return err
		}
		e.disks = append(e.disks, image{path: path, format: format})
	}
	if m.NVRAM != "" && filepath.IsLocal(m.NVRAM) && isFile(filepath.Join(dir, m.NVRAM)) {
		e.nvram = filepath.Join(dir, m.NVRAM)
	}
	for _, c := range m.Controllers {
		for _, d := range c.Drives {
			if d.Kind == hardware.Disk && e.bus == "" {
				e.bus = c.Bus
			}
		}
	}
	j.artifact.UEFI = m.Firmware != hardware.BIOS
	j.Hardware = Hardware{Driver: j.Hardware.Driver, CPUs: m.CPUs, MemoryMiB: m.MemoryMiB, Machine: j.Hardware.Machine, DiskBus: qemuBus(e.bus), NIC: qemuCard(m)}
	j.Name = cmp.Or(j.Name, m.Name)
	return j.needDisks()
}

// qemuBus is the interface of hypervisor.Disk for which a guest has the driver that it used; AHCI where there is none.
func qemuBus(b hardware.Bus) string {
	switch b {
	case hardware.IDE:
		return "ide"
	case hardware.LsiLogicSAS:
		return "scsi"
	case hardware.VirtioSCSI:
		return "virtio-scsi"
	}
	return "sata"
}

// qemuCard is QEMU's name of the first network card, for which the guest has a driver.
func qemuCard(m hardware.Machine) string {
	if len(m.NICs) == 0 {
		return ""
	}
	switch model := m.NICs[0].Model; model {
	case hardware.Virtio, hardware.VMXNet3, hardware.E1000e:
		return string(model)
	case hardware.PCNet, hardware.PCNetFast:
		return "pcnet"
	}
	return "e1000"
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// native tells whether a package is what was exported already, so that it is taken as it is.
func (j *job) native(p hypervisor.Package) bool {
	switch ext := strings.ToLower(filepath.Ext(j.exported.descriptor)); p {
	case hypervisor.PackageVirtualBox:
		return j.exported.product == virtualBox && ext == ".ovf"
	case hypervisor.PackageVMware, hypervisor.PackageVMX:
		return j.exported.product == vmware && ext == ".vmx"
	}
	return false
}

// scratchDir makes a directory that goes with the job.
func (j *job) scratchDir(name string) (string, error) {
	work, err := j.workDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(work, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// workDir is the job's part of the scratch directory, which packages that are made side by side share.
func (j *job) workDir() (string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.work != "" {
		return j.work, nil
	}
	if j.Scratch == "" {
		return "", errors.New("disks must be converted, but there is no directory for that")
	}
	dir, err := os.MkdirTemp(j.Scratch, "pack-*")
	j.work = dir
	return dir, err
}

// scratchFile writes a small file into the scratch directory.
func (j *job) scratchFile(dir, name string, write func(w io.Writer) error) (string, error) {
	dir, err := j.scratchDir(dir)
	if err != nil {
		return "", err
	}
	return writeFile(filepath.Join(dir, name), write)
}

// writeFile makes a file of what write writes.
func writeFile(path string, write func(w io.Writer) error) (string, error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	return path, errors.Join(write(f), f.Close())
}
