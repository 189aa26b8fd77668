package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// medium is a disk, DVD or floppy image that VirtualBox knows.
type medium struct {
	UUID    string
	Device  string // disk, dvd, floppy
	Path    string
	Format  string // VDI, VMDK, VHD, RAW
	Variant string // "dynamic default", "fixed default", "compressed"
	Size    int64  // capacity in bytes
	Type    string // normal, immutable, writethrough ...
	Parent  string // UUID of the medium that it was a difference to, if it is of a snapshot
}

// imageFormat is one that VirtualBox and qemu-img know.
type imageFormat struct{ name, qemu, suffix string }

var imageFormats = []imageFormat{{"VDI", "vdi", ".vdi"}, {"VMDK", "vmdk", ".vmdk"}, {"VHD", "vpc", ".vhd"}, {"RAW", "raw", ".img"}, {"QCOW", "qcow2", ".qcow2"}}

func formatNamed(name string) (imageFormat, bool) {
	i := slices.IndexFunc(imageFormats, func(f imageFormat) bool { return strings.EqualFold(f.name, name) })
	if i < 0 {
		return imageFormat{}, false
	}
	return imageFormats[i], true
}

// qemuFormat is what QEMU calls the format of a medium.
func (m *medium) qemuFormat() string {
	f, _ := formatNamed(m.Format)
	return f.qemu
}

// findMedium looks among the known ones, by UUID or path.
func (s *state) findMedium(name string) *medium {
	id := asUUID(name)
	for _, m := range s.Media {
		if id != "" && m.UUID == id || id == "" && m.Path == name {
			return m
		}
	}
	return nil
}

// openMedium returns the medium with that UUID or path, and gets to know it if it is a file.
func (c *call) openMedium(s *state, device, name string) (*medium, error) {
	if asUUID(name) == "" {
		path, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		name = path
	}
	if m := s.findMedium(name); m != nil {
		return m, nil
	}
	if asUUID(name) != "" {
		return nil, &comError{code: notFound, component: vboxWrap, text: fmt.Sprintf("Could not find an open hard disk with UUID {%s}", asUUID(name)),
			context: "OpenMedium(Bstr(pszFilenameOrUuid).raw(), enmDevType, enmAccessMode, fForceNewUuidOnOpen, pMedium.asOutParam())",
			file:    "VBoxManageDisk.cpp:191", more: fmt.Sprintf("Invalid UUID or filename \"%s\"", name)}
	}
	m, err := probeMedium(device, name)
	if err != nil {
		return nil, err
	}
	if other := s.findMedium(m.UUID); other != nil {
		return nil, &comError{code: invalidArg, component: vboxWrap, text: fmt.Sprintf(
			"Cannot register the hard disk '%s' {%s} because a hard disk '%s' with UUID {%s} already exists", name, m.UUID, other.Path, m.UUID),
			context: "OpenMedium(Bstr(pszFilenameOrUuid).raw(), enmDevType, enmAccessMode, fForceNewUuidOnOpen, pMedium.asOutParam())",
			file:    "VBoxManageDisk.cpp:191", more: fmt.Sprintf("Invalid UUID or filename \"%s\"", name)}
	}
	s.Media = append(s.Media, m)
	return m, nil
}

func cannotOpen(path, reason, code string) error {
	return &comError{code: fileError, component: mediumWrap, text: fmt.Sprintf("Could not open the medium '%s'.\nVBoxManage: error: %s (%s)", path, reason, code),
		context: "OpenMedium(Bstr(pszFilenameOrUuid).raw(), enmDevType, enmAccessMode, fForceNewUuidOnOpen, pMedium.asOutParam())",
		file:    "VBoxManageDisk.cpp:191", more: fmt.Sprintf("Invalid UUID or filename \"%s\"", path)}
}

// probeMedium looks at an image that nobody has opened yet.
func probeMedium(device, path string) (*medium, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cannotOpen(path, fmt.Sprintf("VD: error VERR_FILE_NOT_FOUND opening image file '%s'", path), "VERR_FILE_NOT_FOUND")
	}
	if err != nil || info.IsDir() {
		return nil, cannotOpen(path, fmt.Sprintf("VD: error VERR_ACCESS_DENIED opening image file '%s'", path), "VERR_ACCESS_DENIED")
	}
	m := &medium{UUID: newUUID(), Device: device, Path: path, Type: "normal", Format: "RAW", Variant: "fixed default", Size: info.Size()}
	if device != "disk" {
		m.Type = "readonly"
		return m, nil
	}
	f, ok := detect(path)
	if !ok {
		return nil, cannotOpen(path, fmt.Sprintf("Could not get the storage format of the medium '%s'", path), "VERR_NOT_SUPPORTED")
	}
	m.Format, m.Variant = f.name, "dynamic default"
	if m.Size, err = virtualSize(f.qemu, path); err != nil {
		return nil, cannotOpen(path, "VD: "+err.Error(), "VERR_VD_IMAGE_CORRUPTED")
	}
	if id := storedUUID(f, path); id != "" {
		m.UUID = id
	}
	return m, nil
}

// detect tells the format of a disk image by its first or last bytes.
func detect(path string) (imageFormat, bool) {
	head, tail := edges(path)
	switch {
	case bytes.HasPrefix(head[64:], []byte{0x7f, 0x10, 0xda, 0xbe}):
		return imageFormats[0], true
	case bytes.HasPrefix(head, []byte("KDMV")), bytes.HasPrefix(head, []byte("# Disk DescriptorFile")):
		return imageFormats[1], true
	case bytes.HasPrefix(head, []byte("conectix")), bytes.HasPrefix(tail, []byte("conectix")):
		return imageFormats[2], true
	case bytes.HasPrefix(head, []byte("QFI\xfb")):
		return imageFormats[4], true
	}
	return imageFormat{}, false
}

// edges are the first KiB of a file, and the last half.
func edges(path string) (head, tail []byte) {
	head, tail = make([]byte, 1024), make([]byte, 512)
	f, err := os.Open(path)
	if err != nil {
		return head, tail
	}
	defer f.Close()
	f.ReadAt(head, 0)
	if info, err := f.Stat(); err == nil && info.Size() >= 512 {
		f.ReadAt(tail, info.Size()-512)
	}
	return head, tail
}

var ddbUUID = regexp.MustCompile(`ddb\.uuid\.image="([0-9a-f-]{36})"`)

// storedUUID is the UUID that an image carries itself, empty if it has none: in VDI's header at 0x188, with the first three
// fields in little endian (RTUUID), or in the descriptor of a VMDK that VirtualBox wrote.
func storedUUID(f imageFormat, path string) string {
	head, _ := edges(path)
	switch f.name {
	case "VDI":
		u := head[0x188:0x198]
		return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(u), binary.LittleEndian.Uint16(u[4:]),
			binary.LittleEndian.Uint16(u[6:]), u[8:10], u[10:16])
	case "VMDK":
		file, err := os.Open(path)
		if err != nil {
			return ""
		}
		defer file.Close()
		text := make([]byte, 16<<10)
		n, _ := file.ReadAt(text, 0)
		if found := ddbUUID.FindSubmatch(text[:n]); found != nil {
			return string(found[1])
		}
	}
	return ""
}

// qemuImg runs qemu-img, whose last line of complaint is the error.
func qemuImg(args ...string) ([]byte, error) {
	cmd := exec.Command("qemu-img", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		text := strings.TrimSpace(complaint.String())
		if strings.Contains(text, "No space left on device") {
			return nil, &comError{code: fileError, component: mediumWrap, text: "Could not write to the storage unit (VERR_DISK_FULL)"}
		}
		return nil, fmt.Errorf("%s", text[strings.LastIndexByte(text, '\n')+1:])
	}
	return out, nil
}

func virtualSize(format, path string) (int64, error) {
	out, err := qemuImg("info", "-U", "-f", format, "--output=json", path)
	if err != nil {
		return 0, err
	}
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	return info.Size, json.Unmarshal(out, &info)
}

// subformat are qemu-img's options for a variant; false if the format has no such variant.
func subformat(format, variant string) (options, shown string, ok bool) {
	switch strings.ToLower(format + " " + variant) {
	case "vdi standard", "vdi ", "raw standard", "raw ":
		return "", "dynamic default", true
	case "vdi fixed":
		return "static=on", "fixed default", true
	case "vmdk standard", "vmdk ":
		return "subformat=monolithicSparse", "dynamic default", true
	case "vmdk fixed":
		return "subformat=monolithicFlat", "fixed default", true
	case "vmdk split2g":
		return "subformat=twoGbMaxExtentSparse", "dynamic split2G", true
	case "vmdk stream":
		return "subformat=streamOptimized", "dynamic streamOptimized", true
	case "vhd standard", "vhd ":
		return "subformat=dynamic,force_size=on", "dynamic default", true
	case "vhd fixed":
		return "subformat=fixed,force_size=on", "fixed default", true
	}
	return "", "", false
}

// convert makes a medium's image from another one.
func convert(from *medium, to *medium, variant string) error {
	options, shown, ok := subformat(to.Format, variant)
	if !ok {
		return &comError{code: notSupported, component: mediumWrap, text: fmt.Sprintf("Medium format '%s' does not support storage deletion", to.Format)}
	}
	args := []string{"convert", "-f", from.qemuFormat(), "-O", to.qemuFormat()}
	if options != "" {
		args = append(args, "-o", options)
	}
	if _, err := qemuImg(append(args, from.Path, to.Path)...); err != nil {
		os.Remove(to.Path)
		if com := (*comError)(nil); errors.As(err, &com) {
			return err
		}
		return &comError{code: fileError, component: mediumWrap, text: fmt.Sprintf("Could not create the clone medium '%s': %v (VERR_VD_IMAGE_CORRUPTED)", to.Path, err)}
	}
	to.Size, to.Variant = from.Size, shown
	if id := storedUUID(mustFormat(to.Format), to.Path); id != "" {
		to.UUID = id
	}
	return nil
}

func mustFormat(name string) imageFormat {
	f, _ := formatNamed(name)
	return f
}

// create makes an empty image.
func (m *medium) create(variant string) error {
	options, shown, ok := subformat(m.Format, variant)
	if !ok {
		return complain("Invalid medium variant %q for format %s", variant, m.Format)
	}
	args := []string{"create", "-f", m.qemuFormat()}
	if options != "" {
		args = append(args, "-o", options)
	}
	if _, err := qemuImg(append(args, m.Path, strconv.FormatInt(m.Size, 10))...); err != nil {
		if com := (*comError)(nil); errors.As(err, &com) {
			return err
		}
		return &comError{code: fileError, component: mediumWrap, text: fmt.Sprintf("Could not create the medium storage unit '%s'.\nVBoxManage: error: VD: %v", m.Path, err)}
	}
	m.Variant = shown
	if id := storedUUID(mustFormat(m.Format), m.Path); id != "" {
		m.UUID = id
	}
	return nil
}

// users are the machines that a medium is attached to.
func (s *state) users(m *medium) []*machine {
	var users []*machine
	for _, vm := range s.Machines {
		if vm.Registered && vm.uses(m.UUID) {
			users = append(users, vm)
		}
	}
	return users
}

func (m *machine) uses(uuid string) bool {
	for _, ctl := range m.Storage {
		for _, a := range ctl.Attached {
			if a.Medium == uuid {
				return true
			}
		}
	}
	return slices.ContainsFunc(m.Snapshots, func(s *snapshot) bool { return s.Machine.uses(uuid) })
}

// forget drops a medium from the registry.
func (s *state) forget(m *medium) {
	s.Media = slices.DeleteFunc(s.Media, func(x *medium) bool { return x == m })
}

// rtUUID is a UUID in the byte order of RTUUID.
func rtUUID(uuid string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	if err != nil || len(b) != 16 {
		return make([]byte, 16)
	}
	slices.Reverse(b[:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b
}

// writeVDIUUID gives a VDI another UUID; see storedUUID.
func writeVDIUUID(path, uuid string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(rtUUID(uuid), 0x188)
	return err
}
