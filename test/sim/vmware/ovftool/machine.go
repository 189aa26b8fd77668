package ovftool

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// machine is what a VMX and an OVF say of a machine in common.
type machine struct {
	Name        string
	OSType      string // as a VMX says it: debian12-64
	Hardware    int    // version of the virtual hardware
	CPUs        int
	MemoryMB    int
	EFI         bool
	NVRAM       string // absolute path of its firmware's variables; empty for none
	Controllers []controller
	Drives      []drive
	NICs        []nic
}

// controller is what drives hang on.
type controller struct {
	Bus    string // ide, sata, scsi, nvme
	Number int
	Model  string // of SCSI, as a VMX says it
}

// drive is a disk or CD-ROM drive.
type drive struct {
	Controller int // index in Controllers
	Unit       int
	CD         bool
	File       string // absolute path of the disk
}

// nic is a network card.
type nic struct{ Network, Model string }

// fromVMX reads a machine.
func fromVMX(f *vmx.File, path string) machine {
	m := machine{
		Name: f.Get("displayName"), OSType: f.Get("guestOS"), Hardware: f.Int("virtualHW.version", 9),
		CPUs: f.Int("numvcpus", 1), MemoryMB: f.Int("memsize", 512), EFI: f.EFI(), NVRAM: f.NVRAM(path),
	}
	index := map[string]int{}
	for _, d := range f.Drives(filepath.Dir(path)) {
		key := fmt.Sprintf("%s%d", d.Bus, d.Controller)
		if _, ok := index[key]; !ok {
			index[key] = len(m.Controllers)
			m.Controllers = append(m.Controllers, controller{d.Bus, d.Controller, d.Model})
		}
		m.Drives = append(m.Drives, drive{index[key], d.Unit, d.CD, d.File})
	}
	for _, n := range f.NICs() {
		m.NICs = append(m.NICs, nic{n.Type, n.Model})
	}
	return m
}

// toVMX writes a machine whose files lie beside its VMX.
func (m machine) toVMX() *vmx.File {
	f := vmx.Parse(nil)
	f.Set("config.version", "8")
	f.Set("virtualHW.version", strconv.Itoa(m.Hardware))
	f.Set("displayName", m.Name)
	f.Set("guestOS", m.OSType)
	f.Set("numvcpus", strconv.Itoa(m.CPUs))
	f.Set("memsize", strconv.Itoa(m.MemoryMB))
	if m.EFI {
		f.Set("firmware", "efi")
	}
	if m.NVRAM != "" {
		f.Set("nvram", filepath.Base(m.NVRAM))
	}
	for _, c := range m.Controllers {
		c.write(f)
	}
	for _, d := range m.Drives {
		d.write(f, m.Controllers[d.Controller])
	}
	for i, n := range m.NICs {
		n.write(f, fmt.Sprintf("ethernet%d", i))
	}
	return f
}

func (c controller) write(f *vmx.File) {
	key := fmt.Sprintf("%s%d", c.Bus, c.Number)
	if c.Bus != "ide" {
		f.Set(key+".present", "TRUE")
	}
	if c.Bus == "scsi" {
		f.Set(key+".virtualDev", c.Model)
	}
}

func (d drive) write(f *vmx.File, c controller) {
	key := fmt.Sprintf("%s%d:%d", c.Bus, c.Number, d.Unit)
	f.Set(key+".present", "TRUE")
	if !d.CD {
		f.Set(key+".fileName", filepath.Base(d.File))
		return
	}
	f.Set(key+".deviceType", "atapi-cdrom")
	f.Set(key+".fileName", "auto detect")
	f.Set(key+".clientDevice", "TRUE")
}

func (n nic) write(f *vmx.File, key string) {
	f.Set(key+".present", "TRUE")
	f.Set(key+".connectionType", n.Network)
	f.Set(key+".addressType", "generated")
	if n.Model != "" {
		f.Set(key+".virtualDev", n.Model)
	}
}

// The resource types of CIM that an OVF uses.
const (
	typeCPU      = 3
	typeMemory   = 4
	typeIDE      = 5
	typeSCSI     = 6
	typeEthernet = 10
	typeFloppy   = 14
	typeCD       = 15
	typeDVD      = 16
	typeDisk     = 17
	typeStorage  = 20
)

// scsiModels are the names of SCSI controllers in an OVF, by those in a VMX.
var scsiModels = map[string]string{"lsilogic": "lsilogic", "lsisas1068": "lsilogicsas", "pvscsi": "VirtualSCSI", "buslogic": "buslogic"}

// storageModels are those of what OVF 1 knows no type for.
var storageModels = map[string]string{"sata": "vmware.sata.ahci", "nvme": "vmware.nvme.controller"}

// cardModels are those of network cards.
var cardModels = map[string]string{"e1000": "E1000", "e1000e": "E1000e", "vmxnet3": "VmxNet3", "vlance": "PCNet32"}

func keyOf(m map[string]string, value string) (string, bool) {
	for k, v := range m {
		if strings.EqualFold(v, value) {
			return k, true
		}
	}
	return "", false
}

// osType is the guest system as vmw:osType says it.
func (m machine) osType() string { return strings.ReplaceAll(m.OSType, "-", "_") + "Guest" }

// guestOS is the way back. vmw:osType spells a system of 64 bits with _64.
func guestOS(osType string) string {
	name := strings.TrimSuffix(osType, "Guest")
	if base, ok := strings.CutSuffix(name, "_64"); ok {
		return base + "-64"
	}
	return strings.ReplaceAll(name, "_", "-")
}

// cimID is CIM's number of a guest system, 1 (other) for those without one.
func (m machine) cimID() int {
	for prefix, ids := range map[string][2]int{
		"debian": {95, 96}, "ubuntu": {93, 94}, "rhel": {79, 80}, "centos": {106, 107}, "oraclelinux": {108, 109}, "fedora": {99, 100},
		"otherlinux": {36, 101}, "other": {1, 102},
	} {
		if strings.HasPrefix(m.OSType, prefix) && (prefix != "other" || !strings.HasPrefix(m.OSType, "otherlinux")) {
			if strings.HasSuffix(m.OSType, "-64") {
				return ids[1]
			}
			return ids[0]
		}
	}
	return 1
}
