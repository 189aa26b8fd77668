package vmware

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// draw writes the VMX file of a new machine without drives.
func draw(spec hypervisor.Spec, set settings) *vmx.File {
	f := new(vmx.File)
	for _, kv := range basics {
		f.Set(kv[0], kv[1])
	}
	f.Set("virtualHW.version", strconv.Itoa(set.HWVersion))
	f.Set("guestOS", set.GuestOS)
	f.Set("numvcpus", strconv.Itoa(spec.CPUs))
	if set.Cores > 0 {
		f.Set("cpuid.coresPerSocket", strconv.Itoa(set.Cores))
	}
	f.Set("memsize", strconv.Itoa(spec.MemoryMiB))
	f.SetBool("vhv.enable", set.NestedVirt)
	if spec.Firmware.UEFI {
		f.Set("firmware", "efi")
		f.SetBool("uefi.secureBoot.enabled", set.SecureBoot)
	}
	drawNetwork(f, spec.Network, set.Net)
	drawPeripherals(f, set)
	return f
}

// basics are what Packer's template of a VMX file has, too: without the bridges there is no slot for PCI Express cards.
var basics = [][2]string{
	{".encoding", "UTF-8"},
	{"config.version", "8"},
	{"virtualHW.productCompatibility", "hosted"},
	{"bios.bootOrder", "hdd,cdrom"},
	{"powerType.powerOff", "soft"}, {"powerType.powerOn", "soft"}, {"powerType.reset", "soft"}, {"powerType.suspend", "soft"},
	{"tools.syncTime", "TRUE"}, {"tools.upgrade.policy", "manual"},
	{"pciBridge0.present", "TRUE"},
	{"pciBridge4.present", "TRUE"}, {"pciBridge4.virtualDev", "pcieRootPort"}, {"pciBridge4.functions", "8"},
	{"pciBridge5.present", "TRUE"}, {"pciBridge5.virtualDev", "pcieRootPort"}, {"pciBridge5.functions", "8"},
	{"pciBridge6.present", "TRUE"}, {"pciBridge6.virtualDev", "pcieRootPort"}, {"pciBridge6.functions", "8"},
	{"pciBridge7.present", "TRUE"}, {"pciBridge7.virtualDev", "pcieRootPort"}, {"pciBridge7.functions", "8"},
	{"vmci0.present", "TRUE"}, {"hpet0.present", "TRUE"},
	{"floppy0.present", "FALSE"},
}

// furnish adds what every machine gets, also one that starts from an existing one: names, media, the serial port, and the settings of
// the template, which win.
func furnish(f *vmx.File, spec hypervisor.Spec, set settings) error {
	f.Set("displayName", spec.Name)
	f.Set("annotation", fmt.Sprintf("Made by Boxkiln for build %s, attempt %d.", spec.Tag.Build, spec.Tag.Attempt))
	f.Set("nvram", nvramName)
	f.Set("extendedConfigFile", strings.TrimSuffix(vmxName, ".vmx")+".vmxf")
	f.Set("uuid.action", "create")
	// Nobody sits in front of the machine to answer VMware's questions.
	f.SetBool("msg.autoAnswer", true)
	f.SetBool("gui.exitAtPowerOff", true)
	if err := attachMedia(f, spec, set); err != nil {
		return err
	}
	if set.Serial.Kind == "" {
		drawPort(f, "serial0", portSettings{Kind: "file", Path: serialName})
		f.Set("answer.msg.serial.file.open", "Append")
	}
	for _, key := range slices.Sorted(maps.Keys(set.Data)) {
		f.Set(key, set.Data[key])
	}
	return nil
}

// ourSerial tells whether the first serial port is still the driver's.
func ourSerial(f *vmx.File) bool {
	name, _ := f.Get("serial0.fileName")
	return f.Bool("serial0.present") && name == serialName
}

func drawNetwork(f *vmx.File, n hypervisor.Network, net netSettings) {
	f.SetBool("ethernet0.present", true)
	f.SetBool("ethernet0.startConnected", true)
	f.Set("ethernet0.virtualDev", n.Model)
	f.Set("ethernet0.connectionType", net.Connection)
	if net.VNet != "" {
		f.Set("ethernet0.vnet", net.VNet)
	}
	if n.MAC == "" {
		f.Set("ethernet0.addressType", "generated")
		return
	}
	f.Set("ethernet0.addressType", "static")
	f.Set("ethernet0.address", n.MAC)
}

func drawPeripherals(f *vmx.File, set settings) {
	f.SetBool("sound.present", set.Sound)
	if set.Sound {
		f.Set("sound.fileName", "-1")
		f.SetBool("sound.autodetect", true)
	}
	f.SetBool("usb.present", set.USB != "")
	f.SetBool("ehci.present", set.USB != "")
	if strings.HasPrefix(set.USB, "3") {
		f.SetBool("usb_xhci.present", true)
	}
	if set.Serial.Kind != "" {
		drawPort(f, "serial0", set.Serial)
	}
	if set.Parallel.Kind != "" {
		drawPort(f, "parallel0", set.Parallel)
	}
}

// drawPort adds a serial or parallel port.
func drawPort(f *vmx.File, name string, p portSettings) {
	f.SetBool(name+".present", true)
	f.SetBool(name+".startConnected", true)
	switch p.Kind {
	case "auto":
		f.Set(name+".fileType", "device")
		f.SetBool(name+".autodetect", true)
	default:
		f.Set(name+".fileType", p.Kind)
		f.Set(name+".fileName", p.Path)
	}
	if p.EndPoint != "" {
		f.Set(name+".pipe.endPoint", p.EndPoint)
		f.SetBool(name+".tryNoRxLoss", p.TryNoRxLoss)
	}
	if p.Yield {
		f.SetBool(name+".yieldOnMsrRead", true)
	}
	if p.Bidirectional {
		f.SetBool(name+".bidirectional", true)
	}
}

// slots hands out places for drives. Those that a file has already are taken.
type slots struct{ taken map[string]bool }

func slotsOf(f *vmx.File) slots {
	s := slots{taken: map[string]bool{}}
	for _, d := range f.Devices() {
		s.taken[strings.ToLower(d.Key)] = true
	}
	return s
}

// The places of each controller, in the order in which they are used. Unit 7 of a SCSI bus is the controller itself.
func places(bus string, cd bool) []string {
	switch bus {
	case "ide":
		if cd {
			return []string{"ide1:0", "ide1:1", "ide0:1", "ide0:0"}
		}
		return []string{"ide0:0", "ide0:1", "ide1:0", "ide1:1"}
	case "sata":
		return numbered("sata0", 30, -1)
	case "nvme":
		return numbered("nvme0", 15, -1)
	}
	return numbered("scsi0", 16, 7)
}

func numbered(controller string, n, skip int) []string {
	var keys []string
	for i := range n {
		if i != skip {
			keys = append(keys, controller+":"+strconv.Itoa(i))
		}
	}
	return keys
}

// take finds a place and makes sure that its controller is there.
func (s slots) take(f *vmx.File, bus, model string, cd bool) (string, error) {
	for _, key := range places(bus, cd) {
		if s.taken[key] {
			continue
		}
		s.taken[key] = true
		controller, _, _ := strings.Cut(key, ":")
		if bus != "ide" {
			if _, there := f.Get(controller + ".virtualDev"); bus == "scsi" && !there {
				f.Set(controller+".virtualDev", model)
			}
			f.SetBool(controller+".present", true)
		}
		return key, nil
	}
	return "", fmt.Errorf("the %s controller has no place left for a further drive: use another disk_adapter_type or cdrom_adapter_type", bus)
}

// busOf is the kind of controller behind an adapter's name.
func busOf(adapter string) string {
	switch adapter {
	case "ide", "sata", "nvme":
		return adapter
	}
	return "scsi"
}

// attachDisks attaches disks, which lie beside the VMX file.
func attachDisks(f *vmx.File, disks []hypervisor.Disk, files []string) error {
	s := slotsOf(f)
	for i, d := range disks {
		key, err := s.take(f, busOf(d.Interface), d.Interface, false)
		if err != nil {
			return err
		}
		f.SetBool(key+".present", true)
		f.Set(key+".fileName", files[i])
	}
	return nil
}

// attachMedia attaches CDs, in drives that are empty first, and the floppy disk.
func attachMedia(f *vmx.File, spec hypervisor.Spec, set settings) error {
	s, free, there := slotsOf(f), emptyDrives(f), map[string]bool{}
	for _, d := range f.Devices() {
		there[d.File] = true // a template can have attached one
	}
	images := spec.CDs
	if image := spec.Fetched[fetchTools]; set.Tools.Mode == "attach" && image != "" {
		images = append(images[:len(images):len(images)], image)
	}
	for _, path := range images {
		if there[path] {
			continue
		}
		var key string
		if len(free) > 0 {
			key, free = free[0], free[1:]
			f.DeletePrefix(key + ".")
		} else {
			var err error
			if key, err = s.cdPlace(f, cdBus(spec, set)); err != nil {
				return err
			}
		}
		f.SetBool(key+".present", true)
		f.SetBool(key+".startConnected", true)
		f.Set(key+".deviceType", "cdrom-image")
		f.Set(key+".fileName", path)
	}
	if spec.Floppy != "" {
		f.SetBool("floppy0.present", true)
		f.SetBool("floppy0.startConnected", true)
		f.SetBool("floppy0.clientDevice", false)
		f.Set("floppy0.fileType", "file")
		f.Set("floppy0.fileName", spec.Floppy)
	}
	return nil
}

// emptyDrives are the CD drives without an image.
func emptyDrives(f *vmx.File) []string {
	var keys []string
	for _, d := range f.Devices() {
		typ, _ := f.Get(d.Key + ".deviceType")
		if d.Kind == hardware.CD && (d.File == "" || !strings.EqualFold(typ, "cdrom-image")) {
			keys = append(keys, d.Key)
		}
	}
	return keys
}

// cdPlace is a place on the bus that CDs are to be on, or else on another one that has room.
func (s slots) cdPlace(f *vmx.File, bus string) (string, error) {
	key, err := s.take(f, bus, "lsilogic", true)
	if err != nil && bus == "ide" {
		return s.take(f, "sata", "", true)
	}
	return key, err
}

// cdBus is Packer's choice: where the disks are, if a CD can be there, and IDE otherwise; but SATA beside NVMe, where systems are new.
func cdBus(spec hypervisor.Spec, set settings) string {
	if set.Disks.CDAdapter != "" {
		return set.Disks.CDAdapter
	}
	if len(spec.Disks) > 0 && (spec.Disks[0].Interface == "sata" || spec.Disks[0].Interface == "nvme") {
		return "sata"
	}
	return "ide"
}

// beside makes the path of a file that a VMX file names.
func beside(vmxFile, name string) string {
	name = filepath.FromSlash(name)
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(vmxFile), name)
}
