package boxfile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// checkFiles looks for what the provider's import code in Vagrant or its plug-in will look for.
func (in *inspector) checkFiles(m Metadata) error {
	switch m.Provider {
	case Libvirt:
		return in.checkLibvirt(m)
	case VirtualBox:
		return in.checkVirtualBox()
	case VMwareDesktop, "vmware_fusion", "vmware_workstation", "vmware":
		return in.checkVMware(m)
	case AWS:
		in.checkAWS()
	}
	return nil
}

// addDisk adds to the virtual size; a stranger's disks may claim more than a number of bytes can hold.
func (in *inspector) addDisk(size int64) {
	in.sum.VirtualSize += min(size, math.MaxInt64-in.sum.VirtualSize)
}

func (in *inspector) has(name string) bool { return in.seen[name] }

// checkLibvirt follows vagrant-libvirt action/handle_box_image.rb.
func (in *inspector) checkLibvirt(m Metadata) error {
	if len(m.Disks) > 0 {
		return in.checkLibvirtDisks(m.Disks)
	}
	size, err := in.checkQCOW2("box.img")
	if err != nil {
		return err
	}
	in.sum.VirtualSize = size
	switch needed := CeilGibibytes(size); {
	case m.Format != disk.QCOW2:
		return fmt.Errorf(`metadata.json says "format": %q; vagrant-libvirt takes only "qcow2"`, m.Format)
	case m.VirtualSize < needed:
		return fmt.Errorf(`metadata.json says "virtual_size": %d, but the disk needs %d`, m.VirtualSize, needed)
	case m.VirtualSize > needed:
		in.warn(fmt.Sprintf("metadata.json says a virtual_size of %d, but the disk has %d", m.VirtualSize, needed))
	}
	return nil
}

func (in *inspector) checkLibvirtDisks(disks []MetadataDisk) error {
	var errs []error
	names := map[string]bool{}
	for i, d := range disks {
		name := d.Name
		if name == "" {
			name = strings.TrimSuffix(d.Path, path.Ext(d.Path))
		}
		if names[name] {
			errs = append(errs, fmt.Errorf("disks[%d] has the volume name %q of an earlier one", i, name))
		}
		names[name] = true
		size, err := in.checkQCOW2(d.Path)
		if err != nil {
			errs = append(errs, fmt.Errorf("disks[%d]: %w", i, err))
			continue
		}
		in.addDisk(size)
	}
	return errors.Join(errs...)
}

// checkQCOW2 returns the virtual size of a disk that needs no other file.
func (in *inspector) checkQCOW2(name string) (int64, error) {
	head, ok := in.heads[name]
	if !ok {
		return 0, fmt.Errorf("the disk %q is missing", name)
	}
	h, err := disk.ParseQCOW2(head)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q: %w", name, err)
	case h.HasBacking:
		return 0, fmt.Errorf("%q has a backing file; flatten it with qemu-img convert", name)
	case h.HasDataFile:
		return 0, fmt.Errorf("%q keeps its data in another file; flatten it with qemu-img convert", name)
	}
	return h.VirtualSize, nil
}

// checkVirtualBox: Vagrant imports the file called box.ovf (plugins/providers/virtualbox/action/import.rb), and
// VirtualBox the files to which that refers.
func (in *inspector) checkVirtualBox() error {
	text, ok := in.texts["box.ovf"]
	if !ok {
		return errors.New(`there is no box.ovf at its root, which is the only name that Vagrant imports`)
	}
	contents, err := ovf.Glance(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("box.ovf: %w", err)
	}
	var errs []error
	for _, f := range contents.Files {
		if !in.has(f.Name) && !in.has(f.Href) {
			errs = append(errs, fmt.Errorf("box.ovf refers to %q, which is missing", f.Href))
		}
	}
	for _, size := range contents.Capacities {
		in.addDisk(size)
	}
	if len(contents.Files) == 0 {
		in.warn("box.ovf refers to no disk")
	}
	return errors.Join(errs...)
}

// checkVMware: vagrant-vmware-desktop takes metadata's vmx_file or else the first *.vmx at the root.
func (in *inspector) checkVMware(m Metadata) error {
	name := m.VMXFile
	if name == "" {
		i := slices.IndexFunc(in.sum.Files, func(e Entry) bool { return path.Ext(e.Name) == ".vmx" && path.Dir(e.Name) == "." })
		if i < 0 {
			return errors.New("there is no *.vmx at its root")
		}
		name = in.sum.Files[i].Name
	}
	text, ok := in.texts[name]
	if !ok {
		return fmt.Errorf("metadata.json names the vmx_file %q, which is missing", name)
	}
	file, err := vmx.Parse(bytes.NewReader(text))
	if err != nil {
		in.warn(fmt.Sprintf("%s: its disks were not looked for: %v", name, err))
		return nil
	}
	disks := vmxDisks(file)
	if len(disks) == 0 {
		return fmt.Errorf("%s refers to no *.vmdk", name)
	}
	var errs []error
	for _, d := range disks {
		if !in.has(d) {
			errs = append(errs, fmt.Errorf("%s refers to the disk %q, which is missing", name, d))
		}
		in.addDisk(disk.SparseVMDKSize(in.heads[d]))
	}
	return errors.Join(errs...)
}

// checkAWS: vagrant-aws starts the image of a region, and learns it of the Vagrantfile: the box's, or its user's. So a box
// without any is no mistake.
func (in *inspector) checkAWS() {
	in.sum.Images = Images(in.sum.Vagrantfile)
	if len(in.sum.Images) == 0 {
		in.warn("its Vagrantfile names no image of any region: whoever uses it has to set aws.ami")
	}
}

// vmxDisks returns the disks of a VMX file: values of keys such as scsi0:0.fileName.
func vmxDisks(f *vmx.File) []string {
	var disks []string
	for _, key := range f.Keys() {
		file, _ := f.Get(key)
		if strings.HasSuffix(strings.ToLower(key), ".filename") && strings.EqualFold(path.Ext(file), ".vmdk") {
			disks = append(disks, file)
		}
	}
	return disks
}
