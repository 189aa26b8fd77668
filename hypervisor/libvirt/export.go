//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// Export writes every disk, flattened, and the UEFI variables. On failure it leaves no file behind.
func (m *Machine) Export(ctx context.Context, dir string, o hypervisor.ExportOptions) (hypervisor.Artifact, error) {
	a := hypervisor.Artifact{Driver: Name, Arch: m.meta.Arch, UEFI: m.meta.UEFI}
	if err := m.mustBeOff(ctx); err != nil {
		return a, err
	}
	meta, err := m.current(ctx)
	if err != nil {
		return a, err
	}
	if o.Name == "" || filepath.Base(o.Name) != o.Name {
		return a, fmt.Errorf("export name %q: a plain file name is needed", o.Name)
	}
	for i, src := range meta.Disks {
		f, err := m.exportDisk(ctx, i, src, dir, o)
		if err != nil {
			return a, errors.Join(err, removeAll(a.Files))
		}
		a.Files = append(a.Files, f)
	}
	if m.meta.Vars != "" {
		f, err := m.exportVars(dir)
		if err != nil {
			return a, errors.Join(err, removeAll(a.Files))
		}
		a.Files = append(a.Files, f)
	}
	return a, nil
}

func (m *Machine) mustBeOff(ctx context.Context) error {
	s, err := m.status(ctx)
	if err != nil {
		return err
	}
	if !s.over() {
		return fmt.Errorf("export the machine %q: it is %s; shut it down first", m.name, s.state())
	}
	return nil
}

func removeAll(files []hypervisor.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, os.Remove(f.Path))
	}
	return errors.Join(errs...)
}

// exportDisk writes disk i as NAME or NAME-i, with progress counted over all disks.
func (m *Machine) exportDisk(ctx context.Context, i int, src diskMeta, dir string, o hypervisor.ExportOptions) (hypervisor.File, error) {
	name := o.Name
	if i > 0 {
		name += "-" + strconv.Itoa(i)
	}
	format := o.Format
	if format == "" {
		format = src.Format
	}
	f := hypervisor.File{Path: filepath.Join(dir, name), Role: hypervisor.RoleDisk, Format: format}
	tool := m.driver.disks
	if o.Log != nil {
		fmt.Fprintf(o.Log, "Writing disk %s as %s\n", name, format)
	}
	if err := m.writeDisk(ctx, tool, src, f, o); err != nil {
		return f, err
	}
	info, err := tool.Info(ctx, f.Path, format)
	if err != nil {
		return f, errors.Join(err, os.Remove(f.Path))
	}
	f.VirtualSize = info.VirtualSize
	return withSize(f)
}

// writeDisk converts the disk, which drops unused clusters, or copies it as it is if that was asked for and can be.
func (m *Machine) writeDisk(ctx context.Context, tool disk.Tool, src diskMeta, f hypervisor.File, o hypervisor.ExportOptions) error {
	if o.SkipCompaction && !o.Compress && src.Format == f.Format {
		info, err := tool.Info(ctx, src.Path, src.Format)
		if err != nil {
			return err
		}
		if info.FullBacking == "" { // an overlay alone would be no whole disk
			return copySparse(ctx, f.Path, src.Path)
		}
	}
	return tool.Convert(ctx, disk.ConvertOptions{
		Src: src.Path, SrcFormat: src.Format, Dst: f.Path, DstFormat: f.Format,
		Compress: o.Compress && f.Format == disk.QCOW2, Extra: m.meta.Convert, Progress: o.Progress, Volatile: o.Volatile,
	})
}

func (m *Machine) exportVars(dir string) (hypervisor.File, error) {
	f := hypervisor.File{Path: filepath.Join(dir, varsFile), Role: hypervisor.RoleNVRAM, Format: disk.Raw}
	if err := copyFile(f.Path, filepath.Join(m.meta.Dir, m.meta.Vars)); err != nil {
		return f, fmt.Errorf("export the UEFI variables: %w", err)
	}
	return withSize(f)
}

func withSize(f hypervisor.File) (hypervisor.File, error) {
	info, err := os.Stat(f.Path)
	if err != nil {
		return f, err
	}
	f.Size = info.Size()
	return f, nil
}

// ctxReader ends a copy when its context does.
type ctxReader struct {
	ctx context.Context
	io.Reader
}

func (r ctxReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}
