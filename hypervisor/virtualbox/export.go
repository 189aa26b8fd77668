package virtualbox

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// Export takes away what only the build needed, runs the template's vboxmanage_post and has VirtualBox write an OVF or OVA.
// With skip_export it writes nothing. A machine that is kept leaves our hands here.
func (m *Machine) Export(ctx context.Context, dir string, o hypervisor.ExportOptions) (hypervisor.Artifact, error) {
	a := hypervisor.Artifact{Driver: Name, Arch: m.record.Arch, UEFI: m.record.UEFI}
	set := m.record.Settings.Export
	in, err := m.driver.vbox.info(ctx, m.uuid)
	if err != nil {
		return a, err
	}
	base := cmp.Or(set.File, o.Name)
	switch {
	case !in.off():
		return a, fmt.Errorf("export the machine %q: it is %s; shut it down first", m.record.Name, in.status())
	case base == "" || filepath.Base(base) != base:
		return a, fmt.Errorf("export name %q: a plain file name is needed", base)
	}
	if err := m.finish(ctx, in); err != nil {
		return a, fmt.Errorf("export the machine %q: %w", m.record.Name, err)
	}
	if !set.Skip {
		if a.Files, err = m.write(ctx, dir, base, o); err != nil {
			return hypervisor.Artifact{}, fmt.Errorf("export the machine %q: %w", m.record.Name, err)
		}
	}
	if set.Keep && !m.record.borrowed() {
		if err := m.release(ctx, cmp.Or(set.Name, o.Name)); err != nil {
			return a, fmt.Errorf("keep the machine %q: %w", m.record.Name, err)
		}
	}
	return a, nil
}

// finish makes the machine what the template wants to have: without our ports and media, and after its own last commands.
func (m *Machine) finish(ctx context.Context, in info) error {
	if err := netx.Pause(ctx, m.record.Settings.Run.Settle); err != nil {
		return err
	}
	if err := m.unwire(ctx, in); err != nil {
		return err
	}
	if !m.record.Settings.Export.BundleISO {
		if err := m.removeMedia(ctx, in); err != nil {
			return err
		}
	}
	if err := m.runCommands(ctx, "vboxmanage_post", m.record.Settings.ManagePost); err != nil {
		return err
	}
	return m.takeSnapshot(ctx)
}

// takeSnapshot takes the snapshot that a borrowed machine shall have.
func (m *Machine) takeSnapshot(ctx context.Context) error {
	s := m.record.Settings.VM
	if s.Target == "" {
		return nil
	}
	had, err := m.driver.vbox.snapshots(ctx, m.uuid)
	if err != nil {
		return err
	}
	if had.has(s.Target) && s.Override {
		if _, err := m.driver.vbox.run(ctx, "snapshot", m.uuid, "delete", s.Target); err != nil {
			return err
		}
	}
	_, err = m.driver.vbox.run(ctx, "snapshot", m.uuid, "take", s.Target)
	return err
}

// write has VirtualBox export the machine as base.ovf or base.ova, with its disks, and describes the files.
func (m *Machine) write(ctx context.Context, dir, base string, o hypervisor.ExportOptions) (files []hypervisor.File, err error) {
	set := m.record.Settings.Export
	format := cmp.Or(set.Format, o.Format, "ovf")
	target := filepath.Join(dir, base+"."+format)
	// Only a borrowed machine is called what its user calls it.
	args := []string{"export", m.uuid, "--output", target}
	if name := cmp.Or(set.Name, o.Name); !m.record.borrowed() && name != "" {
		args = append(args, "--vsys", "0", "--vmname", name)
	}
	if set.BundleISO && !slices.Contains(set.Options, "--iso") {
		args = append(args, "--iso")
	}
	before, err := names(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeNew(dir, before))
		}
	}()
	const whole = 100
	watch := func(percent int) {
		if o.Progress != nil {
			o.Progress(int64(percent), whole)
		}
	}
	if _, err := m.driver.vbox.watched(ctx, watch, append(args, set.Options...)...); err != nil {
		return nil, err
	}
	after, err := names(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range after {
		if slices.Contains(before, name) {
			continue
		}
		f, err := describe(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	slices.SortStableFunc(files, func(a, b hypervisor.File) int { return cmp.Compare(rank(a.Role), rank(b.Role)) })
	if _, err := os.Stat(target); err != nil {
		return nil, fmt.Errorf("VBoxManage export ended well and wrote no %s", filepath.Base(target))
	}
	return files, nil
}

// rank puts the descriptor before the disks, as in an OVA.
func rank(r hypervisor.Role) int {
	return slices.Index([]hypervisor.Role{hypervisor.RoleAppliance, hypervisor.RoleDescriptor, hypervisor.RoleDisk, hypervisor.RoleManifest, hypervisor.RoleOther}, r)
}

// names lists a directory.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Name()
	}
	return list, err
}

// removeNew removes from a directory what was not there before.
func removeNew(dir string, before []string) error {
	after, err := names(dir)
	errs := []error{err}
	for _, name := range after {
		if !slices.Contains(before, name) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}

// describe tells what an exported file is by its name, as VirtualBox gives them.
func describe(path string) (hypervisor.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return hypervisor.File{}, err
	}
	f := hypervisor.File{Path: path, Size: info.Size(), Role: hypervisor.RoleOther}
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".ovf":
		f.Role = hypervisor.RoleDescriptor
	case ".mf":
		f.Role = hypervisor.RoleManifest
	case ".ova":
		f.Role, f.Format = hypervisor.RoleAppliance, "ova"
	case ".nvram":
		f.Role = hypervisor.RoleNVRAM
	case ".vmdk":
		f.Role, f.Format = hypervisor.RoleDisk, "vmdk"
		f.VirtualSize, err = vmdkSize(path)
	}
	return f, err
}

// vmdkSize is the size in bytes of the disk in a sparse VMDK. Source: VMware Virtual Disk Format 5.0, SparseExtentHeader.
func vmdkSize(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	const capacityAt, sector = 12, 512
	h := make([]byte, capacityAt+8)
	if _, err := f.ReadAt(h, 0); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if string(h[:4]) != "KDMV" {
		return 0, fmt.Errorf("%s is no sparse VMDK", path)
	}
	return int64(binary.LittleEndian.Uint64(h[capacityAt:])) * sector, nil
}

// release gives the machine to the user: under the name that the template gives it, in VirtualBox's own folder, and without
// our record. Until the record is gone it is ours, so that an interrupted release leaves nothing.
func (m *Machine) release(ctx context.Context, name string) error {
	if _, err := m.driver.vbox.run(ctx, "modifyvm", m.uuid, "--name", name); err != nil {
		return err
	}
	folder, err := m.driver.vbox.machineFolder(ctx)
	if err != nil {
		return err
	}
	if _, err := m.driver.vbox.run(ctx, "movevm", m.uuid, "--type", "basic", "--folder", folder); err != nil {
		return err
	}
	return m.driver.vbox.forget(ctx, m.uuid)
}

var folderLine = regexp.MustCompile(`(?m)^Default machine folder:\s*(\S.*?)\s*$`)

// machineFolder is where VirtualBox keeps its user's machines.
func (m *manager) machineFolder(ctx context.Context) (string, error) {
	out, err := m.run(ctx, "list", "systemproperties")
	if err != nil {
		return "", err
	}
	found := folderLine.FindStringSubmatch(out)
	if found == nil {
		return "", errors.New("VBoxManage list systemproperties tells no default machine folder")
	}
	return found[1], nil
}
