package vmware

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
)

// exportName is the VMX file that ovftool reads, beside the machine's own and its disks.
const exportName = "export.vmx"

// ovftool has VMware's own tool write the package.
func (x *export) ovftool(ctx context.Context, format string) (err error) {
	source := filepath.Join(x.folder(), exportName)
	x.vmx.Set("nvram", nvramName)
	if err := writeVMX(source, x.vmx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(source)) }()
	target := filepath.Join(x.dir, x.o.Name+"."+format)
	args := append([]string{"--noSSLVerify", "--skipManifestCheck", "-tt=" + format, "--name=" + x.o.Name}, x.Set.Export.OVFToolOptions...)
	var total int64
	for _, d := range x.from {
		if info, err := inspect(beside(x.path, d.File)); err == nil {
			total += info.size
		}
	}
	_, err = x.tools.run(ctx, ovfTool, format, append(args, source, target), percentOf(total, x.o.Progress))
	return err
}

// ownOVF writes the package without VMware's tool.
func (x *export) ownOVF(ctx context.Context, format string) error {
	if len(x.Set.Export.OVFToolOptions) > 0 {
		return fmt.Errorf("ovftool_options are set, but ovftool is not installed: %w", ErrNotInstalled)
	}
	machine, err := x.vmx.ToMachine()
	if err != nil {
		return err
	}
	machine.NVRAM = ""
	names, err := x.streams(ctx, &machine)
	if err != nil {
		return err
	}
	if err := x.firmware(ctx, x.o.Name+".nvram"); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(x.dir, x.o.Name+".nvram")); err == nil {
		machine.NVRAM = x.o.Name + ".nvram"
		names = append(names, machine.NVRAM)
	}
	for _, loss := range ovf.Losses(machine, ovf.VMware) {
		x.say("warning: %s", loss)
	}
	if err := x.descriptor(machine); err != nil {
		return err
	}
	names = append([]string{x.o.Name + ".ovf"}, names...)
	manifest, err := ovf.SumFiles(ctx, x.dir, names...)
	if err != nil {
		return err
	}
	if format == formatOVA {
		return x.pack(ctx, names, manifest)
	}
	out, err := os.Create(filepath.Join(x.dir, x.o.Name+".mf"))
	if err != nil {
		return err
	}
	return errors.Join(manifest.Write(out), out.Close())
}

// streams converts the disks to the form that travels, and has the machine name them.
func (x *export) streams(ctx context.Context, machine *hardware.Machine) ([]string, error) {
	var names []string
	for i, c := range machine.Controllers {
		for j := range c.Drives {
			drive := &machine.Controllers[i].Drives[j]
			if drive.Kind != hardware.Disk {
				continue
			}
			n := len(names)
			name := fmt.Sprintf("%s-disk%d.vmdk", x.o.Name, n+1)
			x.say("Writing disk %s", name)
			written, err := x.driver.disks.Fan(ctx, disk.FanOptions{
				Src: beside(x.path, drive.File), SrcFormat: disk.VMDK, Volatile: true, Scratch: x.dir,
				Targets: []disk.Target{{Path: filepath.Join(x.dir, name), Form: disk.FormVMDKStream, Progress: x.progress(n)}},
			})
			if err != nil {
				return nil, err
			}
			drive.File, drive.Format, drive.UUID = name, hardware.StreamVMDK, uuid.NewString()
			drive.Size, drive.Capacity = written[0].Size, written[0].VirtualSize
			names = append(names, name)
		}
	}
	return names, nil
}

func (x *export) descriptor(machine hardware.Machine) error {
	out, err := os.Create(filepath.Join(x.dir, x.o.Name+".ovf"))
	if err != nil {
		return err
	}
	return errors.Join(ovf.Write(out, machine, ovf.VMware), out.Close())
}

// pack puts the files into an archive, in whose place they were.
func (x *export) pack(ctx context.Context, names []string, manifest ovf.Manifest) error {
	var members []ovf.Member
	for _, name := range names {
		member, err := ovf.FileMember(filepath.Join(x.dir, name))
		if err != nil {
			return err
		}
		members = append(members, member)
	}
	out, err := os.Create(filepath.Join(x.dir, x.o.Name+".ova"))
	if err != nil {
		return err
	}
	if err := errors.Join(ovf.WriteOVA(ctx, out, members, manifest), out.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(x.dir, name)); err != nil {
			return err
		}
	}
	return nil
}
