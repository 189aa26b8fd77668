package fake

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/boxkiln/boxkiln/hypervisor"
)

var _ hypervisor.Thawer = (*Driver)(nil)

// dependsOn is the host as frozen memory sees it.
func (h *Host) dependsOn() hypervisor.Host {
	o := h.opts.Host
	return hypervisor.Host{
		Hypervisor: cmp.Or(o.Hypervisor, "fake 1"), Machine: cmp.Or(o.Machine, "fake-1.0"),
		Accelerator: cmp.Or(o.Accelerator, "none"), CPU: cmp.Or(o.CPU, "fake64"),
	}
}

// Fits implements hypervisor.Thawer.
func (d *Driver) Fits(_ context.Context, f hypervisor.Frozen, spec hypervisor.Spec) error {
	if f.Driver != Name {
		return fmt.Errorf("it was frozen by the driver %q, and this is %q", f.Driver, Name)
	}
	var was detail
	if err := json.Unmarshal(f.Detail, &was); err != nil {
		return fmt.Errorf("the description of the frozen machine: %w", err)
	}
	errs := []error{sameDisks(f, spec)}
	if was.UEFI != spec.Firmware.UEFI {
		errs = append(errs, fmt.Errorf("it was frozen with UEFI %t, and the machine has UEFI %t", was.UEFI, spec.Firmware.UEFI))
	}
	if f.Memory != "" {
		errs = append(errs, sameHost(f.Host, d.host.dependsOn()))
		if was.CPUs != spec.CPUs || was.MemoryMiB != spec.MemoryMiB {
			errs = append(errs, fmt.Errorf("it was frozen with %d processors and %d MiB, and the machine has %d and %d MiB",
				was.CPUs, was.MemoryMiB, spec.CPUs, spec.MemoryMiB))
		}
	}
	return errors.Join(errs...)
}

func sameDisks(f hypervisor.Frozen, spec hypervisor.Spec) error {
	if len(f.Disks) == 0 || len(f.Disks) != len(spec.Disks) {
		return fmt.Errorf("it was frozen with %d disks, and the machine has %d", len(f.Disks), len(spec.Disks))
	}
	for i, disk := range f.Disks {
		if size := diskSize(spec.Disks[i].Size); disk.VirtualSize != size {
			return fmt.Errorf("its disk %d has %d bytes, and that of the machine %d", i, disk.VirtualSize, size)
		}
	}
	return nil
}

func sameHost(was, is hypervisor.Host) error {
	var errs []error
	for _, c := range []struct{ how, was, is string }{
		{"by", was.Hypervisor, is.Hypervisor},
		{"as machine type", was.Machine, is.Machine},
		{"under", was.Accelerator, is.Accelerator},
		{"with the CPU", was.CPU, is.CPU},
	} {
		if c.was != c.is {
			errs = append(errs, fmt.Errorf("it was frozen %s %s, and this host has %s", c.how, c.was, c.is))
		}
	}
	return errors.Join(errs...)
}

// Thaw implements hypervisor.Thawer. A machine that was thawed under that name and tag before is returned; one that is
// only half-thawed, because a process ended, is thawed anew.
func (d *Driver) Thaw(ctx context.Context, f hypervisor.Frozen, dir string, spec hypervisor.Spec) (hypervisor.Machine, error) {
	what := fmt.Sprintf("thaw machine %q", spec.Name)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := d.checkName(spec); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err := d.host.fault(what, func(f *Faults) *int { return &f.Thaw }); err != nil {
		return nil, err
	}
	m, err := d.thaw(ctx, f, dir, spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return m, nil
}

func (d *Driver) thaw(ctx context.Context, f hypervisor.Frozen, dir string, spec hypervisor.Spec) (_ *Machine, err error) {
	if err := d.Fits(ctx, f, spec); err != nil {
		return nil, err
	}
	r, err := d.host.reserve(spec)
	if err != nil {
		return nil, err
	}
	m := &Machine{d.host, r.Handle}
	if !r.thawing {
		return m, nil // there it is
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.discard(r))
		}
	}()
	s, frozen, err := restore(f, dir, spec)
	if err != nil {
		return nil, err
	}
	if err := d.host.wait(ctx, r.Script.ThawTime); err != nil {
		return nil, err
	}
	if err := d.host.wake(r, s, frozen); err != nil {
		return nil, err
	}
	return m, nil
}

// reserve records a machine that is about to be thawed, so that it is found if the process ends. It returns one that is
// there already, which is not being thawed.
func (h *Host) reserve(spec hypervisor.Spec) (*record, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.machines[spec.Name]; ok {
		switch {
		case old.Handle.Tag != spec.Tag:
			return nil, hypervisor.ErrForeign
		case old.thawing:
			return nil, errors.New("somebody else is thawing it")
		case !old.Half:
			return old, nil
		}
		if err := removeFiles(old.Spec); err != nil {
			return nil, err
		}
	}
	r, err := h.newRecord(spec)
	if err != nil {
		return nil, err
	}
	r.Half, r.thawing = true, true
	if err := h.save(r); err != nil {
		return nil, err
	}
	h.machines[spec.Name] = r
	return r, nil
}

// restore makes the machine's files out of the frozen ones. The memory is nil if none was frozen.
func restore(f hypervisor.Frozen, dir string, spec hypervisor.Spec) (s snapshot, frozen *memory, err error) {
	var was detail
	if err := json.Unmarshal(f.Detail, &was); err != nil {
		return s, nil, err
	}
	s.bases = append(was.Bases, disksOf(f, dir)...)
	if f.Vars != "" {
		if _, err := os.Stat(filepath.Join(dir, f.Vars)); err != nil {
			return s, nil, err
		}
	}
	if err := writeDisks(spec); err != nil {
		return s, nil, err
	}
	if s.system, err = unpack(disksOf(f, dir)[0], spec); err != nil || f.Memory == "" {
		return s, nil, err
	}
	path := f.MemoryPath(dir, spec)
	data, err := os.ReadFile(path)
	if err != nil {
		return s, nil, err
	}
	if err := json.Unmarshal(data, &frozen); err != nil {
		return s, nil, fmt.Errorf("frozen memory %s: %w", path, err)
	}
	return s, frozen, nil
}

// wake ends the thawing: the machine is off, or runs on with the memory.
func (h *Host) wake(r *record, s snapshot, frozen *memory) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.machines[r.Spec.Name] != r {
		return fmt.Errorf("it was destroyed: %w", hypervisor.ErrNotFound)
	}
	r.Ready, r.HostKey, r.Bases, r.Half, r.thawing = s.system.Ready, s.system.HostKey, s.bases, false, false
	if err := r.whole(); err != nil {
		return err
	}
	if err := h.count(func(c *Counts) { c.Thaws++ }); err != nil {
		return err
	}
	if frozen != nil {
		return h.powerOn(r, frozen)
	}
	return h.save(r)
}

// discard removes what there is of a machine that could not be thawed, and what came after somebody destroyed it.
func (m *Machine) discard(r *record) error {
	err := m.Destroy(context.Background())
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	if _, taken := m.host.machines[r.Spec.Name]; taken {
		return err // by another machine, whose files they may be
	}
	return errors.Join(err, removeFiles(r.Spec))
}
