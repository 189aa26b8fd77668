package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// memory is what a running guest keeps in its memory: the line that was typed and not yet submitted.
type memory struct {
	Line string `json:"line"`
}

// detail is what else of a frozen machine must be known to thaw it.
type detail struct {
	CPUs      int      `json:"cpus"`
	MemoryMiB int      `json:"memory_mib"`
	UEFI      bool     `json:"uefi,omitempty"`
	Bases     []string `json:"bases,omitempty"` // disks frozen earlier, by their paths
}

// The names of frozen files. The first disk is an archive (tree.go), the others are images.
const (
	frozenMemory = "memory.json"
	frozenDisk   = "disk-0.tar"
	frozenVars   = "vars.fd"
)

// Freezable implements hypervisor.Freezer. What is in the way is told by the guest's script.
func (m *Machine) Freezable(context.Context) error {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return err
	}
	return r.freezable()
}

func (r *record) freezable() error {
	if r.Script.NoMemory != "" {
		return fmt.Errorf("memory of machine %q: %w: %s", r.Spec.Name, hypervisor.ErrUnsupported, r.Script.NoMemory)
	}
	return nil
}

// Freeze implements hypervisor.Freezer. The frozen disks are copies; all the same the machine needs them from then on.
func (m *Machine) Freeze(ctx context.Context, dir string) (hypervisor.Frozen, error) {
	f, err := m.freeze(ctx, dir)
	if err != nil {
		return hypervisor.Frozen{}, fmt.Errorf("freeze machine %q: %w", m.handle.Name, err)
	}
	return f, nil
}

func (m *Machine) freeze(ctx context.Context, dir string) (f hypervisor.Frozen, err error) {
	if ctx.Err() != nil {
		return f, context.Cause(ctx)
	}
	full, err := m.host.freezeFaults()
	if err != nil {
		return f, err
	}
	s, err := m.snapshot()
	if err != nil {
		return f, err
	}
	f, err = s.describe(m.host)
	if err != nil {
		return f, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeFrozen(f, dir))
		}
	}()
	if err := s.write(ctx, m.host, f, dir, full); err != nil {
		return f, err
	}
	return f, m.rebase(disksOf(f, dir))
}

// rebase makes frozen disks the base of the machine's own.
func (m *Machine) rebase(disks []string) error {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return err // it was destroyed meanwhile
	}
	if err := m.host.count(func(c *Counts) { c.Freezes++ }); err != nil {
		return err
	}
	was := r.Bases
	r.Bases = append(slices.Clone(was), disks...)
	if err := m.host.save(r); err != nil {
		r.Bases = was
		return err
	}
	return nil
}

// freezeFaults uses up the planned failures of a freeze: at once, or when full is called in the middle of a disk.
func (h *Host) freezeFaults() (full func() error, err error) {
	none := func() error { return nil }
	if h.spared() {
		return none, nil
	}
	if err := h.fault("planned", func(f *Faults) *int { return &f.Freeze }); err != nil {
		return nil, err
	}
	return func() error { return h.diskFull(func(f *Faults) *int { return &f.FreezeDiskFull }) }, nil
}

// snapshot is a machine at one moment.
type snapshot struct {
	spec    hypervisor.Spec
	script  Script
	system  system
	memory  memory
	running bool
	bases   []string
}

func (m *Machine) snapshot() (snapshot, error) {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return snapshot{}, err
	}
	s := snapshot{
		spec: r.Spec, script: r.Script, system: system{r.Ready, r.HostKey}, bases: append([]string(nil), r.Bases...),
		running: r.State == hypervisor.Running,
	}
	if s.running {
		if err := r.freezable(); err != nil {
			return s, err
		}
		if r.guest == nil {
			return s, errors.New("nobody is in the machine since the host was opened again: start it anew")
		}
		s.memory.Line = string(r.guest.keys.line)
	}
	switch {
	case !s.running && r.State != hypervisor.Off:
		return s, fmt.Errorf("the machine is %s, neither running nor off", r.State)
	case len(r.Spec.Disks) == 0:
		return s, errors.New("the machine has no disk to freeze")
	}
	return s, r.whole()
}

// describe names the files that a snapshot is going to be.
func (s snapshot) describe(h *Host) (hypervisor.Frozen, error) {
	f := hypervisor.Frozen{Driver: Name, Host: h.dependsOn()}
	if s.running {
		f.Memory = frozenMemory
	}
	if s.spec.Firmware.UEFI {
		f.Vars = frozenVars
	}
	for i, d := range s.spec.Disks {
		disk := hypervisor.FrozenDisk{Name: frozenDisk, Format: "tar", VirtualSize: diskSize(d.Size)}
		if i > 0 {
			disk.Format = d.Format
			if disk.Format == "" {
				disk.Format = "qcow2"
			}
			disk.Name = "disk-" + strconv.Itoa(i) + "." + disk.Format
		}
		f.Disks = append(f.Disks, disk)
	}
	var err error
	f.Detail, err = json.Marshal(detail{s.spec.CPUs, s.spec.MemoryMiB, s.spec.Firmware.UEFI, s.bases})
	return f, err
}

// write writes the files: the disks, and when half of the time to freeze has passed, the rest.
func (s snapshot) write(ctx context.Context, h *Host, f hypervisor.Frozen, dir string, full func() error) error {
	paths := disksOf(f, dir)
	if err := pack(paths[0], guestRoot(s.spec), s.system, full); err != nil {
		return err
	}
	for i, path := range paths[1:] {
		if err := writeImage(path, f.Disks[i+1].Format, f.Disks[i+1].VirtualSize); err != nil {
			return err
		}
	}
	if err := h.wait(ctx, s.script.FreezeTime); err != nil {
		return err
	}
	if f.Vars != "" {
		if err := fsx.WriteFile(filepath.Join(dir, f.Vars), make([]byte, clusterSize), 0o600); err != nil {
			return err
		}
	}
	if f.Memory == "" {
		return nil
	}
	data, err := json.Marshal(s.memory)
	if err != nil {
		return err
	}
	return fsx.WriteFile(filepath.Join(dir, f.Memory), data, 0o600)
}

// wait lets time pass.
func (h *Host) wait(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	select {
	case <-h.opts.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// disksOf are the paths of frozen disks.
func disksOf(f hypervisor.Frozen, dir string) []string {
	var paths []string
	for _, d := range f.Disks {
		paths = append(paths, filepath.Join(dir, d.Name))
	}
	return paths
}

// removeFrozen removes what there is of a frozen machine.
func removeFrozen(f hypervisor.Frozen, dir string) error {
	paths := disksOf(f, dir)
	for _, name := range []string{f.Memory, f.Vars} {
		if name != "" {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
