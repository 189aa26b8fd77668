package pack

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// vmware lays out a box for Vagrant's VMware plug-in with a machine that is described anew. Its files have the names that the
// disks have in their own descriptors.
func (j *job) vmware(_ context.Context, disks []image) (boxfile.Contents, error) {
	path, err := j.scratchFile("vmware", j.Name+".vmx", j.vmxWriter(disks))
	if err != nil {
		return boxfile.Contents{}, err
	}
	c := boxfile.Contents{Files: []boxfile.File{{Name: j.Name + ".vmx", Path: path}}}
	for _, d := range disks {
		c.Files = append(c.Files, boxfile.File{Name: filepath.Base(d.path), Path: d.path})
	}
	return j.vmwareBox(c), nil
}

// vmwareBox completes a box.
func (j *job) vmwareBox(c boxfile.Contents) boxfile.Contents {
	c.Metadata.VMXFile = c.Files[0].Name
	if j.Vagrantfile != "" {
		c.Vagrantfile = j.vagrantfile("# Written by Boxkiln.\n")
	}
	return c
}

// vmxWriter writes the file of the machine.
func (j *job) vmxWriter(disks []image) func(w io.Writer) error {
	return func(w io.Writer) error {
		drives, err := j.drives(disks, hardware.SparseVMDK)
		if err != nil {
			return err
		}
		file, err := vmx.FromMachine(j.machine(vmware, drives))
		if err != nil {
			return err
		}
		return file.Write(w)
	}
}

// vmx writes a folder with a machine that is described anew. The disks are in it already.
func (j *job) vmx(_ context.Context, disks []image) ([]hypervisor.File, error) {
	dir, err := j.vmxDir()
	if err != nil {
		return nil, err
	}
	path, err := writeFile(filepath.Join(dir, j.Name+".vmx"), j.vmxWriter(disks))
	if err != nil {
		return nil, err
	}
	files, err := images(disks)
	if err != nil {
		return nil, err
	}
	descriptor, err := fileOf(path, hypervisor.RoleDescriptor)
	return append([]hypervisor.File{descriptor}, files...), err
}

// vmxDir makes the folder of the machine.
func (j *job) vmxDir() (string, error) {
	dir := j.own(filepath.Join(j.dir, j.Name+"-vmx"))
	// Not with its parents: a folder for results that is gone is nobody's to make again.
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, nil
}

// runnable tells whether the exported files are a machine of VMware's whose disks it can run from as they are.
func (j *job) runnable() bool {
	if !j.native(hypervisor.PackageVMX) {
		return false
	}
	for _, d := range j.exported.disks {
		if d.format != disk.VMDK || isStream(d.path) {
			return false
		}
	}
	return true
}

// exportedVMware lays out a box of what a build under VMware left, without another copy of the disks.
func (j *job) exportedVMware(context.Context, []image) (boxfile.Contents, error) {
	name := filepath.Base(j.exported.descriptor)
	path, err := j.scratchFile("vmware", name, j.cleanVMX)
	if err != nil {
		return boxfile.Contents{}, err
	}
	c := boxfile.Contents{Files: []boxfile.File{{Name: name, Path: path}}}
	beside, err := j.besideVMX()
	for _, path := range beside {
		c.Files = append(c.Files, boxfile.File{Name: filepath.Base(path), Path: path})
	}
	return j.vmwareBox(c), err
}

// exportedVMX copies what a build under VMware left into the folder.
func (j *job) exportedVMX(ctx context.Context, _ []image) ([]hypervisor.File, error) {
	dir, err := j.vmxDir()
	if err != nil {
		return nil, err
	}
	path, err := writeFile(filepath.Join(dir, filepath.Base(j.exported.descriptor)), j.cleanVMX)
	if err != nil {
		return nil, err
	}
	first, err := fileOf(path, hypervisor.RoleDescriptor)
	if err != nil {
		return nil, err
	}
	files := []hypervisor.File{first}
	beside, err := j.besideVMX()
	if err != nil {
		return nil, err
	}
	for _, src := range beside {
		f, err := copyInto(ctx, dir, src)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// cleanVMX writes the exported machine's file without what belongs to the machine that ran.
func (j *job) cleanVMX(w io.Writer) error {
	f, err := os.Open(j.exported.descriptor)
	if err != nil {
		return err
	}
	defer f.Close()
	file, err := vmx.Parse(f)
	if err != nil {
		return err
	}
	file.CleanForBox(vmx.BoxOptions{})
	return file.Write(w)
}

// besideVMX lists the files that belong to the exported machine: those that the artifact names, its disks with their extents, and
// its variables.
func (j *job) besideVMX() ([]string, error) {
	var paths []string
	seen := map[string]bool{}
	add := func(path string) {
		if !seen[path] {
			seen[path] = true
			paths = append(paths, path)
		}
	}
	for _, d := range j.exported.disks {
		add(d.path)
		extents, err := extentsOf(d.path)
		if err != nil {
			return nil, err
		}
		for _, e := range extents {
			add(e)
		}
	}
	if j.exported.nvram != "" {
		add(j.exported.nvram)
	}
	for _, f := range j.artifact.Files {
		switch strings.ToLower(filepath.Ext(f.Path)) {
		case ".vmdk", ".nvram", ".vmsd", ".vmxf": // what Packer keeps of a machine, packer-plugin-vmware builder/vmware/common/step_clean_files.go
			add(f.Path)
		}
	}
	return paths, nil
}

// ova writes an appliance that VMware and VirtualBox import. The descriptor and the digests of the disks are known, so that it is
// written in one go.
func (j *job) ova(ctx context.Context, disks []image) ([]hypervisor.File, error) {
	drives, err := j.drives(disks, hardware.StreamVMDK)
	if err != nil {
		return nil, err
	}
	m := j.machine(either, drives)
	descriptor, err := j.scratchFile("ova", j.Name+".ovf", func(w io.Writer) error { return ovf.Write(w, m, ovf.VMware) })
	if err != nil {
		return nil, err
	}
	var members []ovf.Member
	for _, path := range append([]string{descriptor}, paths(disks)...) {
		member, err := ovf.FileMember(path)
		if err != nil {
			return nil, err
		}
		member.ModTime = epoch
		members = append(members, member)
	}
	path := j.own(filepath.Join(j.dir, j.Name+".ova"))
	if err := place(path, func(w io.Writer) error { return ovf.WriteOVA(ctx, w, members, nil) }); err != nil {
		return nil, err
	}
	f, err := fileOf(path, hypervisor.RoleAppliance)
	f.Format = "ova"
	return []hypervisor.File{f}, err
}

// epoch is the time on all members, as on those of boxes, so that equal contents make equal files.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func paths(disks []image) []string {
	var list []string
	for _, d := range disks {
		list = append(list, d.path)
	}
	return list
}

// place writes a file that appears when it is whole.
func place(path string, write func(w io.Writer) error) error {
	f, err := fsx.Create(path, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	return f.Place()
}

// copyInto copies a file under its own name; on one file system that can, without moving its bytes.
func copyInto(ctx context.Context, dir, src string) (hypervisor.File, error) {
	in, err := os.Open(src)
	if err != nil {
		return hypervisor.File{}, err
	}
	defer in.Close()
	stop := context.AfterFunc(ctx, func() { in.Close() }) // ends the copy
	path, err := writeFile(filepath.Join(dir, filepath.Base(src)), func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
	if !stop() {
		return hypervisor.File{}, context.Cause(ctx)
	}
	if err != nil {
		return hypervisor.File{}, err
	}
	role := hypervisor.RoleOther
	switch strings.ToLower(filepath.Ext(path)) {
	case ".vmdk":
		role = hypervisor.RoleDisk
	case ".nvram":
		role = hypervisor.RoleNVRAM
	}
	return fileOf(path, role)
}
