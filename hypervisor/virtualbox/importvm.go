package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// importSource registers the machine of an OVF or OVA, with disks in VirtualBox's own format: those of the file are
// compressed for transport, and cannot be written to.
func (b *builder) importSource(ctx context.Context) error {
	s := b.m.record.Settings
	options := "importtovdi"
	if s.Import.Options != "" {
		options = s.Import.Options + "," + options
	}
	args := []string{"import", b.spec.Source, "--options", options, "--vsys", "0", "--vmname", b.spec.Name, "--basefolder", b.spec.Dir}
	// An accepted licence is the template's matter; import fails without, and with exit status 0 at that.
	if _, err := b.vbox.run(ctx, append(args, s.Import.Flags...)...); err != nil {
		return fmt.Errorf("source_path = %q: %w", b.spec.Source, err)
	}
	in, err := b.vbox.info(ctx, b.spec.Name)
	if err != nil {
		return err
	}
	b.m.uuid, b.m.record.UEFI = in.uuid, in.efi
	return nil
}

// importedDisks puts frozen disks in the place of the imported ones.
func (b *builder) importedDisks(ctx context.Context) error {
	if b.frozen == nil {
		return nil
	}
	in, err := b.vbox.info(ctx, b.m.uuid)
	if err != nil {
		return err
	}
	disks := in.disks()
	if len(disks) != len(b.frozen.Disks) {
		return fmt.Errorf("the imported machine has %d disks, and %d were frozen", len(disks), len(b.frozen.Disks))
	}
	for i, at := range disks {
		if err := b.detach(ctx, b.m.uuid, at); err != nil {
			return err
		}
		if _, err := b.vbox.run(ctx, "closemedium", "disk", at.medium, "--delete"); err != nil {
			return err
		}
		at.medium = filepath.Join(b.folder(), diskName(i))
		if err := b.frozen.copyDisk(ctx, i, at.medium); err != nil {
			return err
		}
		if err := b.attach(ctx, b.m.uuid, at, "hdd"); err != nil {
			return err
		}
	}
	return b.thawVars(ctx)
}

// borrow takes a machine that its user registered.
func (b *builder) borrow(ctx context.Context) error {
	s := b.m.record.Settings.VM
	in, err := b.vbox.info(ctx, s.Name)
	if errors.Is(err, hypervisor.ErrNotFound) {
		return fmt.Errorf("vm_name = %q: VirtualBox has no machine of that name here; `VBoxManage list vms` shows those of this user", s.Name)
	}
	if err != nil {
		return err
	}
	if r, taken, err := b.vbox.record(ctx, in.uuid); err != nil {
		return err
	} else if taken && r.Tag != b.spec.Tag {
		return fmt.Errorf("vm_name = %q: build %s has the machine; wait until it ends", s.Name, r.Tag.Build)
	}
	if in.state != "poweroff" && in.state != "aborted" {
		return fmt.Errorf("vm_name = %q: the machine is %s; power it off first", s.Name, in.state)
	}
	snapshots, err := b.vbox.snapshots(ctx, in.uuid)
	if err != nil {
		return err
	}
	if s.Target != "" && snapshots.has(s.Target) && !s.Override {
		return fmt.Errorf("target_snapshot = %q: the machine has that snapshot already; set force_delete_snapshot = true to replace it", s.Target)
	}
	b.m.uuid, b.m.record.UEFI = in.uuid, in.efi
	if s.Attach == "" {
		return nil
	}
	if !snapshots.has(s.Attach) {
		return fmt.Errorf("attach_snapshot = %q: the machine has only %q", s.Attach, snapshots.names)
	}
	b.m.record.Revert = snapshots.current
	if err := b.vbox.keep(ctx, in.uuid, b.m.record); err != nil { // before it is changed
		return err
	}
	_, err = b.vbox.run(ctx, "snapshot", in.uuid, "restore", s.Attach)
	return err
}

// snapshots are those of a machine.
type snapshots struct {
	names   []string
	current string // UUID
}

func (s snapshots) has(name string) bool { return slices.Contains(s.names, name) }

// snapshots lists the snapshots of a machine. For one without VBoxManage fails, with no code to tell it by, so a machine
// whose folder of snapshots cannot be listed has none.
func (m *manager) snapshots(ctx context.Context, machine string) (snapshots, error) {
	var s snapshots
	out, err := m.run(ctx, "snapshot", machine, "list", "--machinereadable")
	if e, ok := errors.AsType[*Error](err); ok && e.Code == 0 {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	for _, p := range parsePairs(out) {
		switch {
		case strings.HasPrefix(p.key, "SnapshotName"):
			s.names = append(s.names, unescape(p.value))
		case p.key == "CurrentSnapshotUUID":
			s.current = p.value
		}
	}
	return s, nil
}

// giveBack leaves a borrowed machine as its user knows it: off, without what was added, at the snapshot it was at.
func (m *Machine) giveBack(ctx context.Context, keep bool) error {
	in, err := m.driver.vbox.info(ctx, m.uuid)
	if err != nil {
		return err
	}
	errs := []error{m.unwire(ctx, in), m.removeMedia(ctx, in)}
	if m.record.Revert != "" && !keep {
		_, err := m.driver.vbox.run(ctx, "snapshot", m.uuid, "restore", m.record.Revert)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(m.record.Dir, serialFile)); err != nil {
		return err
	}
	return m.driver.vbox.forget(ctx, m.uuid)
}
