package vmware

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// tagPrefix begins the keys that the driver keeps in VMX files.
const tagPrefix = "boxkiln."

// The driver's keys.
const (
	keyOwner = tagPrefix + "owner"
	// keyPassword is the VNC password of the last start: VMware keeps the one that it is given in a form of its own.
	keyPassword = tagPrefix + "vncpassword"
)

// owner is what makes a machine ours. It is short: how long a line of a VMX file may be is VMware's secret.
type owner struct {
	Name string         `json:"name"`
	UUID string         `json:"uuid"`
	Tag  hypervisor.Tag `json:"tag"`
}

// details are what else must be known of a machine. They are in a file beside the VMX file, which is written when the machine is
// whole.
type details struct {
	Arch string   `json:"arch"`
	UEFI bool     `json:"uefi,omitempty"`
	Set  settings `json:"settings"`
	// Serial is the file of the first serial port, "" if the template has taken that.
	Serial string `json:"serial,omitempty"`
	// ToolsImage is the image of VMware Tools on this host, if the template wants them.
	ToolsImage string `json:"tools_image,omitempty"`
}

// machineFolder is the folder of a machine's files within its Spec.Dir.
const machineFolder = "vmware"

// The names of a machine's files in that folder.
const (
	vmxName    = "machine.vmx"
	serialName = "serial.log"
	nvramName  = "machine.nvram"
	detailName = "boxkiln.json"
)

// vmxPath is where the VMX file of a machine with that Spec.Dir lies.
func vmxPath(dir string) string { return filepath.Join(dir, machineFolder, vmxName) }

// numberedDisk is the file name of a disk, as Packer gives them: disk.vmdk, disk-1.vmdk ...
func numberedDisk(base string, i int) string {
	if i > 0 {
		base += "-" + strconv.Itoa(i)
	}
	return base + ".vmdk"
}

// diskName is the file name of a working disk.
func diskName(i int) string { return numberedDisk(defaultDiskName, i) }

// readVMX reads a VMX file. One that is not there is hypervisor.ErrNotFound.
func readVMX(path string) (*vmx.File, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s", hypervisor.ErrNotFound, path)
	}
	if err != nil {
		return nil, err
	}
	f, err := vmx.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// writeVMX writes a VMX file whole or not at all. It holds the VNC password, so it is nobody else's.
func writeVMX(path string, f *vmx.File) error {
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		return err
	}
	return fsx.WriteFile(path, b.Bytes(), 0o600)
}

// ownerOf reads whose machine a VMX file is. A file that does not say is hypervisor.ErrForeign.
func ownerOf(path string, f *vmx.File) (owner, error) {
	var o owner
	text, ok := f.Get(keyOwner)
	if !ok {
		return o, fmt.Errorf("%w: %s", hypervisor.ErrForeign, path)
	}
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return o, fmt.Errorf("%s: what Boxkiln keeps there cannot be read: %w", path, err)
	}
	return o, nil
}

// store writes it into a VMX file.
func (o owner) store(f *vmx.File) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	f.Set(keyOwner, string(text))
	return nil
}

// readDetails reads what is known of a machine beside its VMX file; false for one that is not whole.
func readDetails(path string) (d details, whole bool, err error) {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(path), detailName))
	if errors.Is(err, fs.ErrNotExist) {
		return d, false, nil
	}
	if err != nil {
		return d, false, err
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return d, false, fmt.Errorf("%s beside %s: %w", detailName, path, err)
	}
	return d, true, nil
}

// write says that the machine of a VMX file is whole.
func (d details) write(path string) error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return fsx.WriteFile(filepath.Join(filepath.Dir(path), detailName), data, 0o600)
}
