package pack

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
)

// ovfName is the only name of a descriptor that Vagrant imports (plugins/providers/virtualbox/action/import.rb).
const ovfName = "box.ovf"

// virtualBox lays out a box for VirtualBox with a machine that is described anew.
func (j *job) virtualBox(_ context.Context, disks []image) (boxfile.Contents, error) {
	drives, err := j.drives(disks, hardware.StreamVMDK)
	if err != nil {
		return boxfile.Contents{}, err
	}
	var files []boxfile.File
	for i := range drives {
		drives[i].File = fmt.Sprintf("box-disk%03d.vmdk", i+1)
		files = append(files, boxfile.File{Name: drives[i].File, Path: disks[i].path})
	}
	m := j.machine(virtualBox, drives)
	path, err := j.scratchFile("virtualbox", ovfName, func(w io.Writer) error { return ovf.Write(w, m, ovf.VirtualBox) })
	if err != nil {
		return boxfile.Contents{}, err
	}
	return boxfile.Contents{Files: append([]boxfile.File{{Name: ovfName, Path: path}}, files...), Vagrantfile: j.virtualBoxVagrantfile()}, nil
}

// exportedVirtualBox lays out a box of what VirtualBox exported, without another copy. The manifest stays out: it would
// name the descriptor as it was called before.
func (j *job) exportedVirtualBox(context.Context, []image) (boxfile.Contents, error) {
	c := boxfile.Contents{Files: []boxfile.File{{Name: ovfName, Path: j.exported.descriptor}}, Vagrantfile: j.virtualBoxVagrantfile()}
	dir := filepath.Dir(j.exported.descriptor)
	for _, name := range j.exported.files {
		c.Files = append(c.Files, boxfile.File{Name: name, Path: filepath.Join(dir, name)})
	}
	return c, nil
}

// virtualBoxVagrantfile tells Vagrant the address of the first card, which every machine of the box gets: without it
// `vagrant up` stops with "base MAC address not specified" (lib/vagrant/../virtualbox/action/match_mac_address.rb).
func (j *job) virtualBoxVagrantfile() string {
	mac := strings.ToUpper(strings.ReplaceAll(j.mac(), ":", ""))
	return j.vagrantfile(fmt.Sprintf(`# Written by Boxkiln. Your own Vagrantfile is read after this one and wins.
Vagrant.configure("2") do |config|
  config.vm.base_mac = %s
end
`, rubyString(mac)))
}

// drives describes disks for a descriptor, which names them by the base names of their files.
func (j *job) drives(disks []image, format hardware.DiskFormat) ([]hardware.Drive, error) {
	var drives []hardware.Drive
	for i, d := range disks {
		f, err := fileOf(d.path, "")
		if err != nil {
			return nil, err
		}
		drives = append(drives, hardware.Drive{Kind: hardware.Disk, File: filepath.Base(d.path), Format: format, Size: f.Size, Capacity: d.size,
			UUID: j.diskUUID(i).String()})
	}
	return drives, nil
}

// diskUUID is what descriptors and images call the i-th disk.
func (j *job) diskUUID(i int) uuid.UUID { return uuid.MustParse(j.uuid(fmt.Sprintf("disk %d", i))) }
