package fake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// varsFile is the name of exported firmware variables, that of Packer's qemu builder.
const varsFile = "efivars.fd"

// Export implements hypervisor.Machine. The disks are empty images of the machine's sizes; in a cloud there are no files, but
// ids.
func (m *Machine) Export(ctx context.Context, dir string, o hypervisor.ExportOptions) (a hypervisor.Artifact, err error) {
	what := fmt.Sprintf("export machine %q", m.handle.Name)
	if err := m.host.fault(what, func(f *Faults) *int { return &f.Export }); err != nil {
		return a, err
	}
	spec, err := m.exportable()
	if err != nil {
		return a, fmt.Errorf("%s: %w", what, err)
	}
	a = hypervisor.Artifact{Driver: Name, Arch: spec.Arch, UEFI: spec.Firmware.UEFI}
	if spec.Remote {
		a.IDs, err = m.makeImages()
		return a, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
			for _, f := range a.Files {
				err = errors.Join(err, os.Remove(f.Path))
			}
			a = hypervisor.Artifact{}
		}
	}()
	for i, disk := range spec.Disks {
		if ctx.Err() != nil {
			return a, context.Cause(ctx)
		}
		f, err := m.exportDisk(filepath.Join(dir, diskName(o.Name, i)), o.Format, disk.Size)
		if err != nil {
			return a, err
		}
		a.Files = append(a.Files, f)
		if o.Progress != nil {
			o.Progress(int64(i+1), int64(len(spec.Disks)))
		}
	}
	if spec.Firmware.UEFI {
		path := filepath.Join(dir, varsFile)
		if err := fsx.WriteFile(path, make([]byte, clusterSize), 0o644); err != nil {
			return a, err
		}
		a.Files = append(a.Files, hypervisor.File{Path: path, Role: hypervisor.RoleNVRAM, Format: "raw", Size: clusterSize})
	}
	return a, nil
}

// exportable returns the spec of a machine that is off.
func (m *Machine) exportable() (hypervisor.Spec, error) {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return hypervisor.Spec{}, err
	}
	if r.State == hypervisor.Running || r.State == hypervisor.Paused {
		return hypervisor.Spec{}, fmt.Errorf("the machine is %s: power it off first", r.State)
	}
	return r.Spec, r.whole()
}

// diskName is the name of the i-th disk, as Packer's qemu builder names them.
func diskName(base string, i int) string {
	if i == 0 {
		return base
	}
	return base + "-" + strconv.Itoa(i)
}

func (m *Machine) exportDisk(path, format string, size int64) (hypervisor.File, error) {
	size, format = diskSize(size), cmp.Or(format, "qcow2")
	f := hypervisor.File{Path: path, Role: hypervisor.RoleDisk, Format: format, VirtualSize: size}
	if err := m.host.diskFull(func(f *Faults) *int { return &f.ExportDiskFull }); err != nil {
		return f, fmt.Errorf("write %s: %w", path, err)
	}
	if err := writeImage(path, format, size); err != nil {
		return f, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	f.Size = info.Size()
	return f, nil
}
