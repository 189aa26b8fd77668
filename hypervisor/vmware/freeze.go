package vmware

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
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

var _ hypervisor.Thawer = (*Driver)(nil)

// detail is what else of a frozen machine must be known to thaw it: its VMX file, which tells how its guest sees the disks.
type detail struct {
	VMX  string `json:"vmx"`
	UEFI bool   `json:"uefi,omitempty"`
}

// Freezable says that memory cannot be kept.
func (m *Machine) Freezable(context.Context) error {
	return fmt.Errorf("memory of the machine %q: %w: a snapshot of VMware's with memory belongs to the machine that it was taken of, and no other can go on from it",
		m.Name, hypervisor.ErrUnsupported)
}

// Freeze keeps copies of the disks of a machine that is off. The machine's own are its alone as before.
func (m *Machine) Freeze(ctx context.Context, dir string) (hypervisor.Frozen, error) {
	f, err := m.freeze(ctx, dir)
	if err != nil {
		return hypervisor.Frozen{}, fmt.Errorf("freeze the machine %q: %w", m.Name, err)
	}
	return f, nil
}

func (m *Machine) freeze(ctx context.Context, dir string) (frozen hypervisor.Frozen, err error) {
	f, err := m.atRest(ctx)
	if errors.Is(err, errRunning) {
		err = m.Freezable(ctx)
	}
	if err != nil {
		return frozen, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeFrozen(frozen, dir))
		}
	}()
	frozen.Driver = Name
	if err := m.keepDisks(ctx, f, dir, &frozen); err != nil {
		return frozen, err
	}
	if err := m.keepVars(ctx, dir, &frozen); err != nil {
		return frozen, err
	}
	frozen.Detail, err = m.detail(f)
	return frozen, err
}

// keepDisks copies the disks, and has the VMX file name the copies.
func (m *Machine) keepDisks(ctx context.Context, f *vmx.File, dir string, frozen *hypervisor.Frozen) error {
	for i, d := range disksOf(f) {
		name := diskName(i)
		path := filepath.Join(dir, name)
		if err := m.tools.copyDisk(ctx, beside(m.path, d.File), path, typeSparse, nil); err != nil {
			return err
		}
		frozen.Disks = append(frozen.Disks, hypervisor.FrozenDisk{Name: name, Format: disk.VMDK})
		info, err := inspect(path)
		if err != nil {
			return err
		}
		frozen.Disks[i].VirtualSize = info.size
		f.Set(d.Key+".fileName", name)
	}
	return nil
}

// keepVars copies what UEFI firmware has kept. Before its first start a machine has nothing.
func (m *Machine) keepVars(ctx context.Context, dir string, frozen *hypervisor.Frozen) error {
	if !m.UEFI {
		return nil
	}
	err := copyFile(ctx, filepath.Join(dir, nvramName), filepath.Join(m.folder(), nvramName), nil)
	switch {
	case err == nil:
		frozen.Vars = nvramName
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// errRunning says that a machine must be off for what was asked.
var errRunning = errors.New("it is running; shut it down first")

// atRest returns the VMX file of a machine that is off and whose files nobody holds.
func (m *Machine) atRest(ctx context.Context) (*vmx.File, error) {
	state, err := m.State(ctx)
	if err != nil {
		return nil, err
	}
	switch state {
	case hypervisor.Off, hypervisor.Crashed:
	case hypervisor.Running:
		return nil, errRunning
	default:
		return nil, fmt.Errorf("it is %s", state)
	}
	if err := waitUnlocked(ctx, m.folder(), lockPatience); err != nil {
		return nil, err
	}
	return readVMX(m.path)
}

func (m *Machine) detail(f *vmx.File) (json.RawMessage, error) {
	f.CleanForBox(vmx.BoxOptions{})
	forget(f)
	var text strings.Builder
	if err := f.Write(&text); err != nil {
		return nil, err
	}
	return json.Marshal(detail{VMX: text.String(), UEFI: m.UEFI})
}

// removeFrozen removes what there is of a frozen machine.
func removeFrozen(f hypervisor.Frozen, dir string) error {
	var errs []error
	for _, d := range f.Disks {
		errs = append(errs, os.Remove(filepath.Join(dir, d.Name)))
	}
	if f.Vars != "" {
		errs = append(errs, os.Remove(filepath.Join(dir, f.Vars)))
	}
	return errors.Join(errs...)
}

// Fits tells whether a frozen machine can be thawed as spec.
func (d *Driver) Fits(_ context.Context, f hypervisor.Frozen, spec hypervisor.Spec) error {
	if f.Driver != Name {
		return fmt.Errorf("it was frozen by the driver %q, and this is %q", f.Driver, Name)
	}
	if f.Memory != "" {
		return fmt.Errorf("%w: it was frozen with its memory", hypervisor.ErrUnsupported)
	}
	was, err := decodeDetail(f)
	if err != nil {
		return err
	}
	if spec.Source != "" { // what it started from decides on the rest
		return nil
	}
	if was.UEFI != spec.Firmware.UEFI {
		return fmt.Errorf("it was frozen with UEFI %t, and the machine has UEFI %t", was.UEFI, spec.Firmware.UEFI)
	}
	if len(f.Disks) != len(spec.Disks) {
		return fmt.Errorf("it was frozen with %d disks, and the machine has %d", len(f.Disks), len(spec.Disks))
	}
	for i, disk := range f.Disks {
		if disk.VirtualSize != spec.Disks[i].Size {
			return fmt.Errorf("its disk %d has %d bytes, and that of the machine %d", i, disk.VirtualSize, spec.Disks[i].Size)
		}
	}
	return nil
}

func decodeDetail(f hypervisor.Frozen) (detail, error) {
	var was detail
	if err := json.Unmarshal(f.Detail, &was); err != nil {
		return was, fmt.Errorf("the description of the frozen machine: %w", err)
	}
	return was, nil
}

// Thaw makes a machine out of copies of the frozen disks. It is off.
func (d *Driver) Thaw(ctx context.Context, f hypervisor.Frozen, dir string, spec hypervisor.Spec) (hypervisor.Machine, error) {
	m, err := d.thaw(ctx, f, dir, spec)
	if err != nil {
		return nil, fmt.Errorf("thaw the machine %q: %w", spec.Name, err)
	}
	return m, nil
}

func (d *Driver) thaw(ctx context.Context, frozen hypervisor.Frozen, dir string, spec hypervisor.Spec) (*Machine, error) {
	if err := d.Fits(ctx, frozen, spec); err != nil {
		return nil, err
	}
	was, err := decodeDetail(frozen)
	if err != nil {
		return nil, err
	}
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
	return d.build(ctx, spec, set, func(ctx context.Context, m *Machine, _ hypervisor.Spec, _ settings) (*vmx.File, error) {
		for _, disk := range frozen.Disks {
			if err := copyFile(ctx, filepath.Join(m.folder(), disk.Name), filepath.Join(dir, disk.Name), nil); err != nil {
				return nil, err
			}
		}
		if frozen.Vars != "" {
			if err := copyFile(ctx, filepath.Join(m.folder(), nvramName), filepath.Join(dir, frozen.Vars), nil); err != nil {
				return nil, err
			}
		}
		return vmx.Parse(strings.NewReader(was.VMX))
	})
}
