package vmware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// The formats of exports.
const (
	formatVMX = "vmx"
	formatOVF = "ovf"
	formatOVA = "ova"
)

// export is one export of a machine.
type export struct {
	*Machine
	o    hypervisor.ExportOptions
	vmx  *vmx.File // as it leaves, but for the names of its disks
	from []vmx.Device
	dir  string // where the files are made before they appear
}

// Export writes the machine as a folder of VMware's files (vmx), or as an OVF or OVA. The files appear when all of them are whole; on
// failure none does.
func (m *Machine) Export(ctx context.Context, dir string, o hypervisor.ExportOptions) (hypervisor.Artifact, error) {
	a := hypervisor.Artifact{Driver: Name, Arch: m.Arch, UEFI: m.UEFI}
	files, err := m.export(ctx, dir, o)
	if err != nil {
		return a, fmt.Errorf("export the machine %q: %w", m.Name, err)
	}
	a.Files = files
	return a, nil
}

func (m *Machine) export(ctx context.Context, dir string, o hypervisor.ExportOptions) (files []hypervisor.File, err error) {
	if o.Name == "" || filepath.Base(o.Name) != o.Name {
		return nil, fmt.Errorf("the name %q: a plain file name is needed", o.Name)
	}
	f, err := m.atRest(ctx)
	if err != nil {
		return nil, err
	}
	stage, err := os.MkdirTemp(dir, fsx.TempPrefix+"export-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	x := &export{Machine: m, o: o, vmx: f, from: disksOf(f), dir: stage}
	x.clean()
	if err := x.write(ctx); err != nil {
		return nil, err
	}
	return x.place(dir)
}

func (x *export) write(ctx context.Context) error {
	format := cmp.Or(x.o.Format, x.Set.Export.Format, formatVMX)
	if x.Set.Export.Format == formatVMX { // skip_export, too
		format = formatVMX
	}
	x.say("Writing %s.%s", x.o.Name, format)
	switch format {
	case formatVMX:
		return x.asFolder(ctx)
	case formatOVF, formatOVA:
		if _, err := x.tools.find(ovfTool); err == nil {
			return x.ovftool(ctx, format)
		}
		return x.ownOVF(ctx, format)
	}
	return fmt.Errorf("%w: the format %q; use vmx, ovf or ova", hypervisor.ErrUnsupported, format)
}

func (x *export) say(format string, args ...any) {
	if x.o.Log != nil {
		fmt.Fprintf(x.o.Log, format+"\n", args...)
	}
}

// clean takes out of the VMX file what belongs to this build, and puts in what the template wants of the result.
func (x *export) clean() {
	f := x.vmx
	forget(f)
	f.CleanForBox(vmx.BoxOptions{NoNICs: x.Set.Export.RemoveNICs})
	f.Set("displayName", cmp.Or(x.Set.DisplayName, x.o.Name))
	f.Set("nvram", x.o.Name+".nvram")
	f.Set("extendedConfigFile", x.o.Name+".vmxf")
	for _, key := range slices.Sorted(maps.Keys(x.Set.DataPost)) {
		f.Set(key, x.Set.DataPost[key])
	}
}

// asFolder makes the files of a machine that VMware can run: disks of the kind that the template wants, compacted, and a snapshot if it
// wants one.
func (x *export) asFolder(ctx context.Context) error {
	for i, d := range x.from {
		name := x.diskFile(i)
		x.say("Writing disk %s", name)
		path := filepath.Join(x.dir, name)
		if err := x.tools.copyDisk(ctx, beside(x.path, d.File), path, x.Set.Disks.Type, x.progress(i)); err != nil {
			return err
		}
		if !x.o.SkipCompaction && growable(x.Set.Disks.Type) {
			x.say("Compacting disk %s", name)
			if err := x.tools.compact(ctx, path); err != nil {
				return err
			}
		}
		x.vmx.Set(d.Key+".fileName", name)
	}
	if err := x.firmware(ctx, x.o.Name+".nvram"); err != nil {
		return err
	}
	path := filepath.Join(x.dir, x.o.Name+".vmx")
	if err := writeShared(path, x.vmx); err != nil {
		return err
	}
	if x.Set.Export.Snapshot == "" {
		return nil
	}
	x.say("Taking the snapshot %q", x.Set.Export.Snapshot)
	_, err := x.tools.vmrun(ctx, "snapshot", path, x.Set.Export.Snapshot)
	return err
}

// growable tells the kinds of disks that can be made smaller.
func growable(typ int) bool { return typ == 0 || typ == 1 }

// diskFile is the name of an exported disk.
func (x *export) diskFile(i int) string {
	return numberedDisk(cmp.Or(x.Set.Disks.Name, defaultDiskName), i)
}

// progress tells the progress of one of the disks, each of which counts the same.
func (x *export) progress(i int) func(done, total int64) {
	if x.o.Progress == nil {
		return nil
	}
	return func(done, total int64) { x.o.Progress(int64(i)*total+done, int64(len(x.from))*total) }
}

// firmware copies what the firmware has kept, if it has kept anything.
func (x *export) firmware(ctx context.Context, name string) error {
	err := copyFile(ctx, filepath.Join(x.dir, name), filepath.Join(x.folder(), nvramName), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeShared writes a VMX file that has no secrets any more.
func writeShared(path string, f *vmx.File) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(f.Write(out), out.Close())
}

// place moves the files to where they are wanted, and tells what they are.
func (x *export) place(dir string) (files []hypervisor.File, err error) {
	entries, err := os.ReadDir(x.dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, f := range files {
				err = errors.Join(err, os.Remove(f.Path))
			}
		}
	}()
	for _, e := range entries {
		if e.IsDir() { // a lock that VMware is about to remove
			continue
		}
		f, err := x.describe(e.Name())
		if err != nil {
			return files, err
		}
		if !x.o.Volatile {
			if err := fsx.Sync(f.Path); err != nil {
				return files, err
			}
		}
		to := filepath.Join(dir, e.Name())
		if err := os.Rename(f.Path, to); err != nil {
			return files, err
		}
		f.Path = to
		files = append(files, f)
	}
	return files, nil
}

// describe tells what a file of the export is.
func (x *export) describe(name string) (hypervisor.File, error) {
	f := hypervisor.File{Path: filepath.Join(x.dir, name), Role: hypervisor.RoleOther, Format: strings.TrimPrefix(filepath.Ext(name), ".")}
	info, err := os.Stat(f.Path)
	if err != nil {
		return f, err
	}
	f.Size = info.Size()
	switch f.Format {
	case formatVMX, formatOVF:
		f.Role = hypervisor.RoleDescriptor
	case "mf":
		f.Role = hypervisor.RoleManifest
	case formatOVA:
		f.Role = hypervisor.RoleAppliance
	case "nvram":
		f.Role = hypervisor.RoleNVRAM
	case disk.VMDK:
		// The parts of a split disk have no descriptor, and a snapshot's disk stands on another one.
		if d, err := inspect(f.Path); err == nil && !d.linked() {
			f.Role, f.VirtualSize = hypervisor.RoleDisk, d.size
		}
	}
	return f, nil
}
