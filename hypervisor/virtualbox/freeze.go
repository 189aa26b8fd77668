package virtualbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// detail is what else of a frozen machine must be known to thaw it.
type detail struct {
	UEFI bool `json:"uefi,omitempty"`
	// Version of VirtualBox, if it was written into the guest.
	Version string `json:"version,omitempty"`
}

// frozenVars is the name of frozen firmware variables.
const frozenVars = "machine.nvram"

// Freezable says that memory cannot be kept, or, of a machine whose disks cannot be kept either, why not.
func (m *Machine) Freezable(ctx context.Context) error {
	in, err := m.driver.vbox.info(ctx, m.uuid)
	if err != nil {
		return err
	}
	if err := m.keepable(in); err != nil {
		return err
	}
	return fmt.Errorf("%w: a saved state of VirtualBox fits only the machine that it was saved of", hypervisor.ErrUnsupported)
}

// keepable tells what is in the way of keeping the disks.
func (m *Machine) keepable(in info) error {
	if m.record.borrowed() {
		return fmt.Errorf("machine %q belongs to its user: no checkpoint is made of it", m.name())
	}
	disks := in.disks()
	if len(disks) == 0 {
		return fmt.Errorf("machine %q has no disk to freeze", m.record.Name)
	}
	for _, d := range disks {
		if !below(m.record.Dir, d.medium) {
			return fmt.Errorf("the disk %s of machine %q was not made by Boxkiln", d.medium, m.record.Name)
		}
		if strings.ToLower(filepath.Ext(d.medium)) != ".vdi" {
			return fmt.Errorf("the disk %s of machine %q is no VDI", d.medium, m.record.Name)
		}
	}
	return nil
}

// Freeze copies the disks and firmware variables of a machine that is off. The machine itself stays as it is.
func (m *Machine) Freeze(ctx context.Context, dir string) (hypervisor.Frozen, error) {
	f, err := m.freeze(ctx, dir)
	if err != nil {
		return hypervisor.Frozen{}, fmt.Errorf("freeze machine %q: %w", m.record.Name, err)
	}
	return f, nil
}

func (m *Machine) freeze(ctx context.Context, dir string) (f hypervisor.Frozen, err error) {
	if ctx.Err() != nil {
		return f, context.Cause(ctx)
	}
	in, err := m.driver.vbox.info(ctx, m.uuid)
	if err != nil {
		return f, err
	}
	if !in.off() || in.state == "saved" {
		return f, m.Freezable(ctx)
	}
	if err := m.keepable(in); err != nil {
		return f, err
	}
	f.Driver = Name
	d := detail{UEFI: m.record.UEFI}
	if m.record.Settings.writesVersion() {
		d.Version = m.record.Version
	}
	if f.Detail, err = json.Marshal(d); err != nil {
		return f, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeFrozen(dir, f))
		}
	}()
	for i, disk := range in.disks() {
		one := hypervisor.FrozenDisk{Name: diskName(i), Format: "vdi"}
		if err := copyVDI(ctx, filepath.Join(dir, one.Name), disk.medium); err != nil {
			return f, err
		}
		f.Disks = append(f.Disks, one)
		if f.Disks[i].VirtualSize, err = vdiSize(disk.medium); err != nil {
			return f, err
		}
	}
	return f, m.freezeVars(in, dir, &f)
}

// freezeVars keeps the variables of UEFI, which VirtualBox keeps in a file from 7.0 on.
func (m *Machine) freezeVars(in info, dir string, f *hypervisor.Frozen) error {
	if !m.record.UEFI || in.nvram == "" {
		return nil
	}
	data, err := os.ReadFile(in.nvram)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was never started
	}
	if err != nil {
		return err
	}
	f.Vars = frozenVars
	return fsx.WriteFile(filepath.Join(dir, f.Vars), data, 0o600)
}

// removeFrozen removes what there is of a machine that could not be frozen.
func removeFrozen(dir string, f hypervisor.Frozen) error {
	var errs []error
	for _, d := range f.Disks {
		errs = append(errs, os.Remove(filepath.Join(dir, d.Name)))
	}
	if f.Vars != "" {
		if err := os.Remove(filepath.Join(dir, f.Vars)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ice is a frozen machine in its directory.
type ice struct {
	hypervisor.Frozen
	dir string
}

// copyDisk makes disk i of a new machine.
func (i *ice) copyDisk(ctx context.Context, n int, path string) error {
	if n >= len(i.Disks) || filepath.Base(i.Disks[n].Name) != i.Disks[n].Name {
		return fmt.Errorf("the frozen machine has no disk %d", n+1)
	}
	return copyVDI(ctx, path, filepath.Join(i.dir, i.Disks[n].Name))
}

// thawVars puts frozen firmware variables where the machine looks for them.
func (b *builder) thawVars(ctx context.Context) error {
	if b.frozen == nil || b.frozen.Vars == "" {
		return nil
	}
	in, err := b.vbox.info(ctx, b.m.uuid)
	if err != nil {
		return err
	}
	if in.nvram == "" {
		return fmt.Errorf("this VirtualBox (%s) keeps no file of firmware variables", b.version.text)
	}
	data, err := os.ReadFile(filepath.Join(b.frozen.dir, b.frozen.Vars))
	if err != nil {
		return err
	}
	return fsx.WriteFile(in.nvram, data, 0o600)
}

// Fits implements hypervisor.Thawer.
func (d *Driver) Fits(ctx context.Context, f hypervisor.Frozen, spec hypervisor.Spec) error {
	if f.Driver != Name {
		return fmt.Errorf("it was frozen by the driver %q, and this is %q", f.Driver, Name)
	}
	if f.Memory != "" {
		return fmt.Errorf("it was frozen running, and VirtualBox thaws no memory: %w", hypervisor.ErrUnsupported)
	}
	var was detail
	if err := json.Unmarshal(f.Detail, &was); err != nil {
		return fmt.Errorf("the description of the frozen machine: %w", err)
	}
	errs := []error{sameDisks(f, spec)}
	if spec.Source == "" && was.UEFI != spec.Firmware.UEFI {
		errs = append(errs, fmt.Errorf("it was frozen with UEFI %t, and the machine has UEFI %t", was.UEFI, spec.Firmware.UEFI))
	}
	if was.Version != "" {
		v, err := d.vbox.version(ctx)
		if err != nil {
			return err
		}
		if v.number != was.Version {
			errs = append(errs, fmt.Errorf("its guest was told of VirtualBox %s, and this host has %s", was.Version, v.number))
		}
	}
	return errors.Join(errs...)
}

// sameDisks compares disks with those of a spec; an imported machine brings its own.
func sameDisks(f hypervisor.Frozen, spec hypervisor.Spec) error {
	if len(f.Disks) == 0 || spec.Source == "" && len(f.Disks) != len(spec.Disks) {
		return fmt.Errorf("it was frozen with %d disks, and the machine has %d", len(f.Disks), len(spec.Disks))
	}
	for i, disk := range spec.Disks {
		if disk.Image == "" && f.Disks[i].VirtualSize != disk.Size {
			return fmt.Errorf("its disk %d has %d bytes, and that of the machine %d", i+1, f.Disks[i].VirtualSize, disk.Size)
		}
	}
	return nil
}

// Thaw makes a machine as Create does, on copies of the frozen disks.
func (d *Driver) Thaw(ctx context.Context, f hypervisor.Frozen, dir string, spec hypervisor.Spec) (hypervisor.Machine, error) {
	if err := d.Fits(ctx, f, spec); err != nil {
		return nil, fmt.Errorf("thaw machine %q: %w", spec.Name, err)
	}
	m, err := d.make(ctx, spec, &ice{f, dir})
	if err != nil {
		return nil, fmt.Errorf("thaw machine %q: %w", spec.Name, err)
	}
	return m, nil
}
