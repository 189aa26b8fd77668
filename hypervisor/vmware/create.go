package vmware

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// Create writes the VMX file and makes the disks. A machine that exists already with the same tag is made anew if a crash cut its
// creation short, and returned. On failure nothing is left.
func (d *Driver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	m, err := d.create(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("create the machine %q: %w", spec.Name, err)
	}
	return m, nil
}

func (d *Driver) create(ctx context.Context, spec hypervisor.Spec) (*Machine, error) {
	set, err := decodeSettings(spec.Options)
	if err != nil {
		return nil, err
	}
	if err := d.checkSpec(spec); err != nil {
		return nil, err
	}
	if m, err := d.existing(ctx, spec); m != nil || err != nil {
		return m, err
	}
	if spec.Source != "" {
		return d.build(ctx, spec, set, d.fromSource)
	}
	return d.build(ctx, spec, set, d.fresh)
}

// checkSpec refuses what the Planner could not know.
func (d *Driver) checkSpec(spec hypervisor.Spec) error {
	var errs []error
	if spec.Tag.Install != d.install {
		errs = append(errs, fmt.Errorf("it is tagged for the installation %q, but this driver is of %q", spec.Tag.Install, d.install))
	}
	if !machineName.MatchString(spec.Name) || !filepath.IsAbs(spec.Dir) {
		errs = append(errs, fmt.Errorf("a machine needs a plain name and an absolute directory, not %q and %q", spec.Name, spec.Dir))
	}
	if spec.Source == "" && (spec.CPUs < 1 || spec.MemoryMiB < 1) {
		errs = append(errs, fmt.Errorf("a machine needs processors and memory, not %d and %d MiB", spec.CPUs, spec.MemoryMiB))
	}
	for i, disk := range spec.Disks {
		if disk.Image != "" {
			errs = append(errs, fmt.Errorf("disk %d: %w: it cannot start from an image; use a vmware-vmx source", i, hypervisor.ErrUnsupported))
		}
	}
	return errors.Join(errs...)
}

// existing returns the machine if it is there already, and removes what an interrupted Create or Thaw left of one. Nil means neither.
func (d *Driver) existing(ctx context.Context, spec hypervisor.Spec) (*Machine, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	m, err := d.find(spec.Name, spec.Dir)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case m.Name != spec.Name || m.Tag != spec.Tag:
		return nil, fmt.Errorf("%w: %q at %s carries the tag %+v, not %+v", hypervisor.ErrForeign, m.Name, m.path, m.Tag, spec.Tag)
	case m.whole:
		return m, nil
	}
	return nil, m.Destroy(ctx)
}

// maker fills the folder of a machine and returns its VMX file, without what the driver keeps in it.
type maker func(ctx context.Context, m *Machine, spec hypervisor.Spec, set settings) (*vmx.File, error)

// build makes a machine: first a VMX file that says whose it will be, then what fill makes, then the real VMX file. On failure nothing
// is left.
func (d *Driver) build(ctx context.Context, spec hypervisor.Spec, set settings, fill maker) (*Machine, error) {
	m := &Machine{
		driver: d, path: vmxPath(spec.Dir), tools: d.toolsOf(set),
		owner:   owner{Name: spec.Name, UUID: uuid.NewString(), Tag: spec.Tag},
		details: details{Arch: spec.Arch, Set: set, ToolsImage: spec.Fetched[fetchTools]},
	}
	if _, err := m.tools.find(vmrun); err != nil {
		return nil, fmt.Errorf("%w: %w", hypervisor.ErrUnreachable, err)
	}
	if err := os.MkdirAll(m.folder(), 0o700); err != nil {
		return nil, err
	}
	err := m.claim()
	if err == nil {
		err = m.furnish(ctx, spec, set, fill)
	}
	if err != nil {
		return nil, errors.Join(err, m.removeFiles())
	}
	d.log.Info("machine made", "machine", m.Name, "vmx", m.path)
	return m, nil
}

// claim writes the first file, and makes the machine known by its name.
func (m *Machine) claim() error {
	var f vmx.File
	f.Set(".encoding", "UTF-8")
	if err := m.store(&f); err != nil {
		return err
	}
	if err := writeVMX(m.path, &f); err != nil {
		return err
	}
	return m.driver.link(m)
}

// furnish makes the machine's files and says that it is whole.
func (m *Machine) furnish(ctx context.Context, spec hypervisor.Spec, set settings, fill maker) error {
	f, err := fill(ctx, m, spec, set)
	if err != nil {
		return err
	}
	if err := furnish(f, spec, set); err != nil {
		return err
	}
	if err := m.store(f); err != nil {
		return err
	}
	if err := writeVMX(m.path, f); err != nil {
		return err
	}
	firmware, _ := f.Get("firmware")
	m.UEFI = firmware == "efi"
	if ourSerial(f) {
		m.Serial = serialName
	}
	m.whole = true
	return m.details.write(m.path)
}

// fresh makes a machine with empty disks.
func (d *Driver) fresh(ctx context.Context, m *Machine, spec hypervisor.Spec, set settings) (*vmx.File, error) {
	files, err := m.emptyDisks(ctx, spec.Disks, 0)
	if err != nil {
		return nil, err
	}
	if set.Template.VMX != "" {
		return fromTemplate(spec, set)
	}
	f := draw(spec, set)
	if set.Template.Disk != "" && len(files) > 1 {
		return f, errors.Join(attachDisks(f, spec.Disks[:1], files[:1]), addTemplates(f, spec, set))
	}
	return f, attachDisks(f, spec.Disks, files)
}

// emptyDisks makes disks, the first of which has the number first.
func (m *Machine) emptyDisks(ctx context.Context, disks []hypervisor.Disk, first int) ([]string, error) {
	var files []string
	for i, disk := range disks {
		name := diskName(first + i)
		if err := m.tools.createDisk(ctx, filepath.Join(m.folder(), name), disk.Size, disk.Interface); err != nil {
			return nil, err
		}
		files = append(files, name)
	}
	return files, nil
}
