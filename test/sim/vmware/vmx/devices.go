package vmx

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Drive is a disk or a CD-ROM drive of a machine.
type Drive struct {
	Key              string // its node, such as scsi0:0
	Bus              string // ide, sata, scsi or nvme
	Model            string // virtualDev of its controller: lsilogic, pvscsi ...; empty where there is none
	Controller, Unit int    // the numbers in Key
	CD               bool
	File             string // absolute; empty for a drive without an image
	Config           string // the same as the file says it
}

var driveKey = regexp.MustCompile(`^((ide|sata|scsi|nvme)([0-9]+)):([0-9]+)\.(present|filename)$`)

// Drives returns the drives that are present, in the order of their keys. Relative paths are below dir, the folder of
// the file.
func (f *File) Drives(dir string) []Drive {
	var drives []Drive
	seen := map[string]bool{}
	for _, key := range f.Keys(driveKey) {
		m := driveKey.FindStringSubmatch(key)
		node := m[1] + ":" + m[4]
		if seen[node] || !f.Bool(node+".present") || m[2] != "ide" && !f.Bool(m[1]+".present") {
			continue
		}
		seen[node] = true
		drives = append(drives, f.drive(dir, m[1], m[2], m[4]))
	}
	return drives
}

func (f *File) drive(dir, controller, bus, unit string) Drive {
	node := controller + ":" + unit
	d := Drive{Key: node, Bus: bus, Config: f.Get(node + ".fileName")}
	d.Controller, _ = strconv.Atoi(strings.TrimPrefix(controller, bus)) // both are digits
	d.Unit, _ = strconv.Atoi(unit)
	if bus == "scsi" {
		d.Model = strings.ToLower(f.Get(controller + ".virtualDev"))
	}
	kind := strings.ToLower(f.Get(node + ".deviceType"))
	d.CD = strings.Contains(kind, "cdrom")
	connected := !d.CD || kind == "cdrom-image" && !strings.EqualFold(f.Get(node+".startConnected"), "false")
	if connected && d.Config != "" {
		d.File = Absolute(dir, d.Config)
	}
	return d
}

// Disks returns the disks among the drives.
func (f *File) Disks(dir string) []Drive {
	var disks []Drive
	for _, d := range f.Drives(dir) {
		if !d.CD && d.File != "" {
			disks = append(disks, d)
		}
	}
	return disks
}

// NIC is a network card of a machine.
type NIC struct {
	Key   string // its node, such as ethernet0
	Model string // e1000, e1000e, vmxnet3 or vlance, as virtualDev says it
	MAC   string // address of a static one, generatedAddress of any other; empty when it is not there yet
	Type  string // connectionType, nat unless set
}

var nicKey = regexp.MustCompile(`^ethernet[0-9]+\.present$`)

// NICs returns the network cards that are present.
func (f *File) NICs() []NIC {
	var nics []NIC
	for _, key := range f.Keys(nicKey) {
		if !f.Bool(key) {
			continue
		}
		node := strings.TrimSuffix(key, ".present")
		n := NIC{Key: node, Model: strings.ToLower(f.Get(node + ".virtualDev")), Type: strings.ToLower(f.Get(node + ".connectionType"))}
		n.MAC = f.Get(node + ".generatedAddress")
		if strings.EqualFold(f.Get(node+".addressType"), "static") {
			n.MAC = f.Get(node + ".address")
		}
		if n.Type == "" {
			n.Type = "nat"
		}
		nics = append(nics, n)
	}
	return nics
}

// EFI tells whether the machine has UEFI firmware.
func (f *File) EFI() bool { return strings.EqualFold(f.Get("firmware"), "efi") }

// NVRAM is the absolute path of the machine's non-volatile memory. path is the configuration file.
func (f *File) NVRAM(path string) string {
	name := f.Get("nvram")
	if name == "" {
		name = Base(path) + ".nvram"
	}
	return Absolute(filepath.Dir(path), name)
}

// Base is the name of a machine's files without their extension.
func Base(path string) string { return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)) }

// Absolute is the path that a configuration file in dir means by name.
func Absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

// Describe is a word on the machine for its log.
func (f *File) Describe() string {
	return fmt.Sprintf("%q: %s processors, %s MB", f.Get("displayName"), f.Get("numvcpus"), f.Get("memsize"))
}
