package vmx

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// Device is a drive of a file.
type Device struct {
	// Key is what its keys begin with, such as "scsi0:0".
	Key  string
	Kind hardware.DriveKind
	// File is the medium: a disk's is a path, relative to the VMX file or absolute. Empty for a drive without a medium or with one of the
	// host's drives.
	File string
	// Bus is "ide", "sata", "scsi", "nvme" or "floppy"; Number the controller's, and Unit the drive's on it.
	Bus          string
	Number, Unit int
}

// busOrder is the order in which drives are told.
var busOrder = []string{"ide", "sata", "scsi", "nvme", "floppy"}

var (
	deviceKey     = regexp.MustCompile(`(?i)^((?:ide|sata|scsi|nvme)(\d{1,2}):(\d{1,3})|floppy(\d))\.present$`)
	controllerKey = regexp.MustCompile(`(?i)^(sata|scsi|nvme)(\d{1,2})\.present$`)
	cardKey       = regexp.MustCompile(`(?i)^ethernet(\d{1,2})\.present$`)
	serialKey     = regexp.MustCompile(`(?i)^serial(\d)\.present$`)
)

// present returns what pattern finds in the keys that are TRUE.
func (f *File) present(pattern *regexp.Regexp) [][]string {
	var found [][]string
	seen := map[string]bool{}
	for _, key := range f.Keys() {
		parts := pattern.FindStringSubmatch(strings.ToLower(key))
		if parts != nil && f.Bool(key) && !seen[parts[0]] {
			seen[parts[0]] = true
			found = append(found, parts)
		}
	}
	return found
}

// Devices returns the drives that are present, in the order ide, sata, scsi, nvme, floppy and by number.
func (f *File) Devices() []Device {
	var devices []Device
	for _, parts := range f.present(deviceKey) {
		d := Device{Key: parts[1], Bus: strings.TrimRight(parts[1], "0123456789:")}
		d.Number, _ = strconv.Atoi(parts[2])
		d.Unit, _ = strconv.Atoi(parts[3] + parts[4])
		f.medium(&d)
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b Device) int {
		return cmp.Or(cmp.Compare(slices.Index(busOrder, a.Bus), slices.Index(busOrder, b.Bus)), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Unit, b.Unit))
	})
	return devices
}

// medium tells what kind of drive a device is, and what is in it. A drive without a type is a disk.
func (f *File) medium(d *Device) {
	typ, _ := f.Get(d.Key + ".deviceType")
	file, _ := f.Get(d.Key + ".fileName")
	typ = strings.ToLower(typ)
	switch {
	case d.Bus == "floppy":
		d.Kind = hardware.FloppyDrive
		if fileType, _ := f.Get(d.Key + ".fileType"); !strings.EqualFold(fileType, "file") {
			file = ""
		}
	case strings.Contains(typ, "cdrom"):
		d.Kind = hardware.CD
		if typ != "cdrom-image" {
			file = ""
		}
	default:
		d.Kind = hardware.Disk
	}
	if !strings.EqualFold(file, autoDetect) {
		d.File = file
	}
}

// autoDetect stands for whatever drive the host has.
const autoDetect = "auto detect"

// NICs returns the numbers of the network cards that are present: 0 is ethernet0.
func (f *File) NICs() []int { return f.numbers(cardKey) }

func (f *File) numbers(pattern *regexp.Regexp) []int {
	var numbers []int
	for _, parts := range f.present(pattern) {
		n, _ := strconv.Atoi(parts[1])
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// MAC is the address of a card, in lower case with colons: the static one, else the one that VMware generated; "" before the first start.
func (f *File) MAC(nic int) string {
	card := "ethernet" + strconv.Itoa(nic)
	key := ".generatedAddress"
	if typ, _ := f.Get(card + ".addressType"); strings.EqualFold(typ, "static") {
		key = ".address"
	}
	mac, _ := f.Get(card + key)
	return strings.ToLower(mac)
}

// formatUUID writes a UUID as VMware does: "56 4d 1a 2b 3c 4d 5e 6f-70 81 92 a3 b4 c5 d6 e7".
func formatUUID(uuid string) string {
	digits := strings.ReplaceAll(uuid, "-", "")
	var b strings.Builder
	for i := 0; i+2 <= len(digits); i += 2 {
		switch i {
		case 0:
		case len(digits) / 2:
			b.WriteByte('-')
		default:
			b.WriteByte(' ')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}

func parseUUID(s string) (string, error) {
	digits := strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(s))
	if len(digits) != 32 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%q is no UUID as VMware writes it", s)
	}
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:], nil
}

// BoxOptions say what goes out of a file beyond what always does.
type BoxOptions struct {
	// NoNICs removes the network cards: Vagrant's plug-in makes its own.
	NoNICs bool
}

// CleanForBox takes out what a box must not have: media in the drives, floppy drives, the VNC server and its password, identity
// (UUIDs, generated addresses) that all copies would share, and traces of the last run. Steps: packer-plugin-vmware
// builder/vmware/common/step_clean_vmx.go, and identity, which Packer leaves in.
func (f *File) CleanForBox(o BoxOptions) {
	for _, d := range f.Devices() {
		switch d.Kind {
		case hardware.CD:
			f.Set(d.Key+".deviceType", "cdrom-raw")
			f.Set(d.Key+".fileName", autoDetect)
			f.SetBool(d.Key+".clientDevice", true)
		case hardware.Disk:
			f.Delete(d.Key + ".redo")
		}
	}
	f.DeletePrefix("floppy0.")
	f.DeletePrefix("floppy1.")
	f.SetBool("floppy0.present", false) // absent, it would be there
	f.DeletePrefix("RemoteDisplay.vnc.")
	f.SetBool("RemoteDisplay.vnc.enabled", false)
	for _, nic := range f.NICs() {
		card := fmt.Sprintf("ethernet%d", nic)
		f.Delete(card+".generatedAddress", card+".generatedAddressOffset")
		if o.NoNICs {
			f.DeletePrefix(card + ".")
		}
	}
	f.Delete("uuid.bios", "uuid.location", "vc.uuid", "vmci0.id", "checkpoint.vmState", "migrate.hostlog", "monitor.phys_bits_used", "cleanShutdown")
}
