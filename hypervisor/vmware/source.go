package vmware

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// fromSource makes a machine that starts as another one: that of a VMX file, an OVF or an OVA.
func (d *Driver) fromSource(ctx context.Context, m *Machine, spec hypervisor.Spec, set settings) (*vmx.File, error) {
	var f *vmx.File
	var err error
	switch ext := strings.ToLower(filepath.Ext(spec.Source)); {
	case ext == ".ova":
		f, err = m.unpackOVA(ctx, spec.Source)
	case ext == ".ovf":
		f, err = m.readOVF(ctx, spec.Source)
	case set.Source.Linked || set.Source.Snapshot != "":
		f, err = m.clone(ctx, spec.Source, set.Source)
	default:
		f, err = m.copyVMX(ctx, spec.Source)
	}
	if err != nil {
		return nil, fmt.Errorf("source_path = %q: %w", spec.Source, err)
	}
	files, err := m.emptyDisks(ctx, spec.Disks, len(disksOf(f)))
	if err != nil {
		return nil, err
	}
	if len(f.NICs()) == 0 { // boxes come without, and nobody could log in
		drawNetwork(f, hypervisor.Network{Model: "e1000"}, netOf(networkNAT))
	}
	return f, attachDisks(f, spec.Disks, files)
}

// disksOf are the disks of a VMX file.
func disksOf(f *vmx.File) []vmx.Device {
	var disks []vmx.Device
	for _, d := range f.Devices() {
		if d.Kind == hardware.Disk && d.File != "" {
			disks = append(disks, d)
		}
	}
	return disks
}

// copyVMX copies a machine that is off: its settings, its disks as they are now, and what its firmware has kept.
func (m *Machine) copyVMX(ctx context.Context, source string) (*vmx.File, error) {
	f, err := readVMX(source)
	if err != nil {
		return nil, err
	}
	if suspended, _ := f.Get("checkpoint.vmState"); suspended != "" {
		return nil, errors.New("that machine is suspended: resume it and shut it down")
	}
	for i, d := range disksOf(f) {
		name := diskName(i)
		if err := m.tools.copyDisk(ctx, beside(source, d.File), filepath.Join(m.folder(), name), typeSparse, nil); err != nil {
			return nil, err
		}
		f.Set(d.Key+".fileName", name)
	}
	if err := m.takeNVRAM(ctx, f, source); err != nil {
		return nil, err
	}
	f.CleanForBox(vmx.BoxOptions{})
	forget(f)
	return f, nil
}

// takeNVRAM copies what the firmware of the machine of a VMX file has kept, if there is anything.
func (m *Machine) takeNVRAM(ctx context.Context, f *vmx.File, source string) error {
	name, ok := f.Get("nvram")
	if !ok {
		name = strings.TrimSuffix(filepath.Base(source), filepath.Ext(source)) + ".nvram"
	}
	err := copyFile(ctx, filepath.Join(m.folder(), nvramName), beside(source, name), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// forget takes out of a VMX file what the driver puts into its machines'.
func forget(f *vmx.File) {
	f.DeletePrefix(tagPrefix)
	dropVNC(f)
	f.Delete("annotation", "uuid.action", "msg.autoAnswer", "gui.exitAtPowerOff", "answer.msg.serial.file.open")
	if ourSerial(f) {
		f.DeletePrefix("serial0.")
	}
}

// cloneName is the VMX file of a clone that vmrun makes. Its disks stay where they are: those of a linked one name the disks under them.
const cloneName = "clone.vmx"

// clone has VMware clone a machine: from a snapshot, or linked.
func (m *Machine) clone(ctx context.Context, source string, o sourceSettings) (*vmx.File, error) {
	if m.tools.product() == player {
		return nil, fmt.Errorf("%w: VMware Player cannot clone: leave out linked and attach_snapshot", hypervisor.ErrUnsupported)
	}
	path := filepath.Join(m.folder(), cloneName)
	kind := "full"
	if o.Linked {
		kind = "linked"
	}
	args := []string{"clone", source, path, kind}
	if o.Snapshot != "" {
		args = append(args, "-snapshot="+o.Snapshot)
	}
	if _, err := m.tools.vmrun(ctx, append(args, "-cloneName="+m.Name)...); err != nil {
		return nil, err
	}
	f, err := readVMX(path)
	if err != nil {
		return nil, err
	}
	if err := m.takeNVRAM(ctx, f, path); err != nil {
		return nil, err
	}
	for _, name := range []string{cloneName, "clone.vmxf", "clone.vmsd", "clone.nvram"} {
		if err := os.Remove(filepath.Join(m.folder(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	f.CleanForBox(vmx.BoxOptions{})
	forget(f)
	return f, nil
}

// unpackedFolder holds the files of an OVA while its disks are converted.
const unpackedFolder = "unpacked"

// unpackOVA makes the machine of an archive.
func (m *Machine) unpackOVA(ctx context.Context, path string) (f *vmx.File, err error) {
	archive, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	dir := filepath.Join(m.folder(), unpackedFolder)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ova, err := ovf.ExtractOVA(ctx, archive, dir, 0)
	if err != nil {
		return nil, err
	}
	return m.fromDescriptor(ctx, dir, ova.Descriptor)
}

// readOVF makes the machine of a descriptor whose files lie beside it.
func (m *Machine) readOVF(ctx context.Context, path string) (*vmx.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	descriptor, err := ovf.Read(file)
	if err != nil {
		return nil, err
	}
	if err := checkManifest(ctx, path); err != nil {
		return nil, err
	}
	return m.fromDescriptor(ctx, filepath.Dir(path), descriptor)
}

// checkManifest compares the files with the manifest beside the descriptor, if there is one.
func checkManifest(ctx context.Context, path string) error {
	file, err := os.Open(strings.TrimSuffix(path, filepath.Ext(path)) + ".mf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	manifest, err := ovf.ReadManifest(file)
	if err != nil {
		return err
	}
	return manifest.CheckDir(ctx, filepath.Dir(path))
}

// fromDescriptor makes a VMX file of a descriptor, and working disks of its disks in dir.
func (m *Machine) fromDescriptor(ctx context.Context, dir string, d ovf.Descriptor) (*vmx.File, error) {
	machine, n := d.Machine, 0
	for i, c := range machine.Controllers {
		for j := range c.Drives {
			drive := &machine.Controllers[i].Drives[j]
			if drive.Kind != hardware.Disk {
				drive.File = ""
				continue
			}
			name := diskName(n)
			n++
			if err := m.tools.copyDisk(ctx, filepath.Join(dir, drive.File), filepath.Join(m.folder(), name), typeSparse, nil); err != nil {
				return nil, err
			}
			drive.File, drive.Format = name, hardware.SparseVMDK
		}
	}
	if machine.NVRAM != "" && d.Flavour == ovf.VMware {
		if err := copyFile(ctx, filepath.Join(m.folder(), nvramName), filepath.Join(dir, machine.NVRAM), nil); err != nil {
			return nil, err
		}
	}
	machine.NVRAM = ""
	return vmx.FromMachine(machine)
}
