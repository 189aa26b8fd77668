//go:build !nolibvirt

package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

var _ hypervisor.Freezer = (*Machine)(nil)

// freezing is one freeze of a machine.
type freezing struct {
	*Machine
	meta   metadata
	dir    string
	facts  hostFacts
	domain string // libvirt's description of the running machine; empty: it is off
	paused bool   // and stays so
	disks  []freezingDisk
	host   hypervisor.Host
}

// freezingDisk is a disk on its way: what is active now gets a second name, frozen, and an overlay takes its place.
type freezingDisk struct {
	active          diskMeta
	frozen, overlay string
	size            int64 // that the guest sees
}

// Freeze keeps the machine in dir. A disk is kept as a hard link, and the overlay that takes its place names that link:
// the machine's own directory goes when its build ends, and dir stays. What is kept is not synced to the host's disk.
func (m *Machine) Freeze(ctx context.Context, dir string) (hypervisor.Frozen, error) {
	f, err := m.freeze(ctx, dir)
	switch {
	case err != nil && ctx.Err() != nil: // libvirt's own words tell less
		return f, fmt.Errorf("freeze the machine %q: %w: %w", m.name, context.Cause(ctx), err)
	case err != nil:
		return f, fmt.Errorf("freeze the machine %q: %w", m.name, err)
	}
	return f, nil
}

func (m *Machine) freeze(ctx context.Context, dir string) (hypervisor.Frozen, error) {
	done, err := m.driver.freezes.take(ctx, m.uuid)
	if err != nil {
		return hypervisor.Frozen{}, err
	}
	defer done()
	z := &freezing{Machine: m, dir: dir}
	if err := z.look(ctx); err != nil {
		return hypervisor.Frozen{}, err
	}
	if err := z.act(ctx); err != nil {
		return hypervisor.Frozen{}, err
	}
	return z.result()
}

// look finds out what there is to freeze, and whether it can be.
func (z *freezing) look(ctx context.Context) error {
	s, err := z.status(ctx)
	if err != nil {
		return err
	}
	if z.meta, err = z.current(ctx); err != nil {
		return err
	}
	if z.facts, err = z.driver.host(ctx, z.uri, z.meta.Arch); err != nil {
		return err
	}
	if s.over() {
		return z.coverable(ctx)
	}
	z.paused = s.state() == hypervisor.Paused
	z.domain, err = z.freezable(ctx, z.facts, z.meta)
	return err
}

// act freezes, or leaves everything as it was.
func (z *freezing) act(ctx context.Context) error {
	err := z.layDown(ctx)
	if err == nil && z.domain == "" {
		err = z.swap()
	} else if err == nil {
		err = z.snapshot(ctx)
	}
	if err != nil {
		return errors.Join(err, z.undo())
	}
	if err := z.settle(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("%w: its disks are frozen, but the machine does not know it: %w", hypervisor.ErrCrashed, err)
	}
	return nil
}

// layDown links the disks into the directory and makes the overlays, which nobody uses yet.
func (z *freezing) layDown(ctx context.Context) error {
	tool := z.driver.disks
	for i, active := range z.meta.Disks {
		info, err := tool.Info(ctx, active.Path, active.Format)
		if err != nil {
			return err
		}
		d := freezingDisk{active: active, size: info.VirtualSize, frozen: filepath.Join(z.dir, frozenDisk(i, active.Format))}
		d.overlay = z.freeOverlay(i)
		if err := os.Link(active.Path, d.frozen); err != nil {
			return fmt.Errorf("keep the disk: %w", err)
		}
		z.disks = append(z.disks, d)
		// QEMU holds the disk, so qemu-img must not open it (-u).
		err = tool.Create(ctx, d.overlay, disk.QCOW2, d.size, disk.CreateOptions{
			Backing: d.frozen, BackingFormat: active.Format, Extra: []string{"-u"},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// coverable refuses a disk that qemuargs attach with a format of its own: QEMU would read its overlay by that format, too.
// Of a running machine libvirt knows every disk.
func (z *freezing) coverable(ctx context.Context) error {
	text, err := askDomain(ctx, z.Machine, func(_ *libvirt.Connect, dom *libvirt.Domain) (string, error) {
		return dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	})
	if err != nil {
		return err
	}
	var x libvirtxml.Domain
	if err := x.Unmarshal(text); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, d := range x.Devices.Disks {
		known[diskFile(d)] = true
	}
	for _, d := range z.meta.Disks {
		if !known[d.Path] && d.Format != disk.QCOW2 {
			return fmt.Errorf("%w: the %s disk %q, which qemuargs attach, cannot get a qcow2 overlay; use format = \"qcow2\"",
				hypervisor.ErrUnsupported, d.Format, d.Path)
		}
	}
	return nil
}

func (z *freezing) freeOverlay(i int) string {
	for n := 1; ; n++ {
		path := filepath.Join(z.meta.Dir, fmt.Sprintf("%s%d-%d.qcow2", overlayPrefix, n, i))
		if !fileExists(path) {
			return path
		}
	}
}

// undo takes back what layDown did.
func (z *freezing) undo() error {
	paths := []string{filepath.Join(z.dir, memoryFile), filepath.Join(z.dir, varsFile)}
	for _, d := range z.disks {
		if d.overlay != d.active.Path { // swapped, and not swapped back
			paths = append(paths, d.frozen, d.overlay)
		}
	}
	var errs []error
	for _, path := range paths {
		if path == "" {
			continue
		}
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// swap puts the overlays of a machine that is off under the names of its disks.
func (z *freezing) swap() error {
	if err := z.keepVars(); err != nil {
		return err
	}
	for i := range z.disks {
		d := &z.disks[i]
		if err := alike(d.overlay, d.active.Path); err != nil {
			return errors.Join(err, z.swapBack(i))
		}
		if err := os.Rename(d.overlay, d.active.Path); err != nil {
			return errors.Join(err, z.swapBack(i))
		}
		d.overlay = d.active.Path
	}
	return nil
}

// alike gives a file the owner and mode of another. A disk that qemuargs attach is QEMU's own already, and libvirt would
// not see to it.
func alike(path, other string) error {
	info, err := os.Stat(other)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		if err := os.Chown(path, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, info.Mode().Perm())
}

// swapBack gives the first n disks, whose overlays have their names, those names again.
func (z *freezing) swapBack(n int) error {
	var errs []error
	for i := range z.disks[:n] {
		d := &z.disks[i]
		if err := os.Rename(d.frozen, d.active.Path); err != nil {
			errs = append(errs, fmt.Errorf("%w: the machine is based on what was to be frozen: %w", hypervisor.ErrCrashed, err))
			continue
		}
		d.overlay = "" // it is gone
	}
	return errors.Join(errs...)
}

func (z *freezing) keepVars() error {
	if !z.meta.UEFI {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(z.meta.Dir, varsFile))
	if err != nil {
		return fmt.Errorf("keep the UEFI variables: %w", err)
	}
	return os.WriteFile(filepath.Join(z.dir, varsFile), data, 0o400)
}

// snapshot writes the memory and puts the overlays in the place of the disks, all at the same moment of the guest, which
// stands still meanwhile.
func (z *freezing) snapshot(ctx context.Context) error {
	text, err := z.snapshotXML()
	if err != nil {
		return err
	}
	// The call is not given up when ctx ends, but cut short: what became of it must be known.
	return z.with(context.WithoutCancel(ctx), func(_ *libvirt.Connect, dom *libvirt.Domain) (err error) {
		version, err := hypervisorVersion(dom)
		if err != nil {
			return err
		}
		z.host.Hypervisor = version
		if !z.paused {
			if err := dom.Suspend(); err != nil {
				return err
			}
			defer func() {
				if rerr := dom.Resume(); rerr != nil {
					err = errors.Join(err, fmt.Errorf("%w: the guest stands still: %w", hypervisor.ErrCrashed, rerr))
				}
			}()
		}
		if err := z.keepVars(); err != nil {
			return err
		}
		defer abortWith(ctx, dom)()
		snap, err := dom.CreateSnapshotXML(text, libvirt.DOMAIN_SNAPSHOT_CREATE_NO_METADATA|
			libvirt.DOMAIN_SNAPSHOT_CREATE_REUSE_EXT|libvirt.DOMAIN_SNAPSHOT_CREATE_ATOMIC)
		if err != nil {
			return notMigratable(err)
		}
		return snap.Free()
	})
}

// abortWith cuts libvirt's job on a domain short when ctx ends, until the function that it returns is called.
func abortWith(ctx context.Context, dom *libvirt.Domain) (stop func()) {
	done := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = dom.AbortJob() // the job may be over
	})
	return func() {
		if !release() {
			<-done
		}
	}
}

func (z *freezing) snapshotXML() (string, error) {
	var x libvirtxml.Domain
	if err := x.Unmarshal(z.domain); err != nil {
		return "", err
	}
	z.host.Machine, z.host.Accelerator, z.host.CPU = x.OS.Type.Machine, z.meta.Accel, z.meta.CPU
	snap := libvirtxml.DomainSnapshot{
		Memory: &libvirtxml.DomainSnapshotMemory{Snapshot: "external", File: filepath.Join(z.dir, memoryFile)},
		Disks:  &libvirtxml.DomainSnapshotDisks{},
	}
	overlays := map[string]string{}
	for _, d := range z.disks {
		overlays[d.active.Path] = d.overlay
	}
	for _, d := range x.Devices.Disks {
		entry := libvirtxml.DomainSnapshotDisk{Name: d.Target.Dev, Snapshot: "no"}
		if overlay := overlays[diskFile(d)]; overlay != "" {
			entry.Snapshot = "external"
			entry.Driver = &libvirtxml.DomainDiskDriver{Type: disk.QCOW2}
			entry.Source = &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: overlay}}
		}
		snap.Disks.Disks = append(snap.Disks.Disks, entry)
	}
	return snap.Marshal()
}

// result describes what was frozen.
func (z *freezing) result() (hypervisor.Frozen, error) {
	f := hypervisor.Frozen{Driver: Name, Host: z.host}
	d := detail{Domain: z.domain, MAC: z.meta.MAC}
	if z.domain != "" {
		f.Memory = memoryFile
		var x libvirtxml.Domain
		if err := x.Unmarshal(z.domain); err != nil {
			return f, err
		}
		d.Firmware = fileDigest(loaderPath(&x))
	}
	if z.meta.UEFI {
		f.Vars = varsFile
	}
	for _, disk := range z.disks {
		f.Disks = append(f.Disks, hypervisor.FrozenDisk{
			Name: filepath.Base(disk.frozen), Format: disk.active.Format, VirtualSize: disk.size,
		})
		d.Under = append(d.Under, disk.active.Backing)
	}
	var err error
	f.Detail, err = json.Marshal(d)
	return f, err
}
