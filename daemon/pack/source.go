package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// Source is a machine of anybody's: out of a box, an appliance, a descriptor with its disks, or images.
type Source struct {
	Artifact hypervisor.Artifact
	Name     string // what its files suggest
	// What the source says of the machine; zero for what it does not say.
	Hardware Hardware
	Guest    Guest
	GuestOS  string
}

// Open finds out what files are, by their content, and unpacks them into the existing directory scratch where they are archives. Several
// files are the disks of one machine. Nothing that they say is trusted: disks that lead to other files are refused.
func Open(ctx context.Context, paths []string, scratch string) (Source, error) {
	kinds := make([]kind, len(paths))
	for i, path := range paths {
		k, err := kindOf(path)
		if err != nil {
			return Source{}, err
		}
		if len(paths) > 1 && k != kindImage {
			return Source{}, fmt.Errorf("%q is %s: convert it by itself; only disk images can be several", path, k)
		}
		kinds[i] = k
	}
	s := Source{Name: baseName(paths[0])}
	s.Artifact.Arch = "amd64"
	switch kinds[0] {
	case kindBox:
		return s, s.openBox(ctx, paths[0], scratch)
	case kindOVA:
		s.Artifact.Files = []hypervisor.File{{Path: paths[0], Role: hypervisor.RoleAppliance}}
		return s, nil
	case kindDescriptor:
		s.Artifact.Files = []hypervisor.File{{Path: paths[0], Role: hypervisor.RoleDescriptor}}
		return s, nil
	}
	return s, s.openImages(paths)
}

// baseName is a file's name without what only says its kind.
func baseName(path string) string {
	base := filepath.Base(path)
	for {
		short := strings.TrimSuffix(base, filepath.Ext(base))
		if short == "" || !slices.Contains(kindExtensions, strings.ToLower(filepath.Ext(base))) {
			return base
		}
		base = short
	}
}

var kindExtensions = []string{".box", ".ova", ".ovf", ".vmx", ".qcow2", ".raw", ".img", ".vmdk", ".vdi", ".vhd", ".vhdx",
	".libvirt", ".virtualbox", ".vmware_desktop"}

// kind is what a file is.
type kind string

const (
	kindBox        kind = "a Vagrant box"
	kindOVA        kind = "an appliance"
	kindDescriptor kind = "the description of a machine"
	kindImage      kind = "a disk image"
)

// kindOf looks at a file.
func kindOf(path string) (kind, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%q is not there", path)
	}
	if err != nil {
		return "", err
	}
	if st.IsDir() {
		return "", fmt.Errorf("%q is a folder: name the .ovf or .vmx, or the disk images in it", path)
	}
	if !st.Mode().IsRegular() || st.Size() == 0 {
		return "", fmt.Errorf("%q is no file with a machine in it: it is empty, or no regular file", path)
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".ovf", ".vmx":
		return kindDescriptor, nil
	case ".box":
		return kindBox, nil
	}
	return kindByContent(path, st.Size())
}

// The marks of archives and compressors. Sources: the formats' own specifications, as file(1) has them.
var (
	compressors = map[string]string{"gzip": "\x1f\x8b", "xz": "\xfd7zXZ\x00", "zstd": "\x28\xb5\x2f\xfd", "bzip2": "BZh", "zip": "PK\x03\x04"}
	isoMark     = []byte("CD001")
)

const (
	tarMarkAt = 257
	isoMarkAt = 32769
	sector    = 512
)

func kindByContent(path string, size int64) (kind, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, isoMarkAt+len(isoMark))
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	head = head[:n]
	for name, mark := range compressors {
		if bytes.HasPrefix(head, []byte(mark)) {
			return "", fmt.Errorf("%q is compressed with %s: unpack it first (a Vagrant box must be called .box)", path, name)
		}
	}
	if len(head) > tarMarkAt+5 && string(head[tarMarkAt:tarMarkAt+5]) == "ustar" {
		return tarKind(path, f)
	}
	if bytes.HasSuffix(head, isoMark) && len(head) > isoMarkAt {
		return "", fmt.Errorf("%q is an image of a CD, not of a disk: build from it with iso_url", path)
	}
	format, err := disk.DetectFormat(path)
	if err != nil {
		return "", err
	}
	if !slices.Contains(readable, format) {
		return "", fmt.Errorf("%q is a %s image, which is not read: make a qcow2 of it with qemu-img convert -f %[2]s -O qcow2", path, format)
	}
	if format == disk.Raw && size%sector != 0 {
		return "", fmt.Errorf("%q is no disk image: it has no format's mark, and %d bytes are no whole number of sectors", path, size)
	}
	return kindImage, nil
}

// readable are the formats that can be told from others and have no ways to other files that are not looked at.
var readable = []string{disk.QCOW2, disk.Raw, disk.VMDK, disk.VDI, disk.VPC, disk.VHDX}

// tarKind tells an appliance from a box without compression: a descriptor is its first member.
func tarKind(path string, f *os.File) (kind, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	h, err := tar.NewReader(f).Next()
	if err != nil {
		return "", fmt.Errorf("%q: the archive cannot be read: %w", path, err)
	}
	if strings.EqualFold(filepath.Ext(h.Name), ".ovf") {
		return kindOVA, nil
	}
	return kindBox, nil
}

// openImages takes disks as they are.
func (s *Source) openImages(paths []string) error {
	for _, path := range paths {
		format, err := disk.DetectFormat(path)
		if err == nil {
			err = alone(image{path: path, format: format})
		}
		if err != nil {
			return err
		}
		s.Artifact.Files = append(s.Artifact.Files, hypervisor.File{Path: path, Role: hypervisor.RoleDisk, Format: format})
	}
	return nil
}

// alone refuses a disk that leads to another file, which would be opened with the rights of whoever converts it.
func alone(d image) error {
	switch d.format {
	case disk.VMDK:
		_, err := extentsOf(d.path)
		return err
	case disk.QCOW2:
		ok, err := d.flat()
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%q needs another file under it: if you trust it, flatten it with qemu-img convert -f qcow2 -O qcow2", d.path)
		}
	}
	return nil
}

// loader is how a Vagrantfile says that the guest was installed under UEFI.
var loader = regexp.MustCompile(`(?m)^\s*\w+\.loader\s*=`)

// openBox unpacks a box.
func (s *Source) openBox(ctx context.Context, path, scratch string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	dir := filepath.Join(scratch, "box")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	sum, err := boxfile.Unpack(ctx, f, dir, boxfile.Limits{})
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	m := sum.Metadata
	if m.Architecture != "" {
		s.Artifact.Arch = m.Architecture
	}
	s.readNote(m.Machine)
	switch m.Provider {
	case boxfile.Libvirt:
		s.Artifact.UEFI = s.Artifact.UEFI || m.NVRAM != "" || loader.MatchString(sum.Vagrantfile)
		return s.libvirtFiles(dir, m)
	case boxfile.VirtualBox:
		s.add(dir, ovfName, hypervisor.RoleDescriptor, "")
		return nil
	case boxfile.VMwareDesktop, "vmware_fusion", "vmware_workstation", "vmware":
		return s.vmwareFiles(dir, sum)
	}
	return fmt.Errorf("%q is a box for %s; those for libvirt, virtualbox and vmware_desktop can be converted", path, m.Provider)
}

func (s *Source) add(dir, name string, role hypervisor.Role, format string) {
	s.Artifact.Files = append(s.Artifact.Files, hypervisor.File{Path: filepath.Join(dir, filepath.FromSlash(name)), Role: role, Format: format})
}

// libvirtFiles names the disks in the order of the box's metadata.
func (s *Source) libvirtFiles(dir string, m boxfile.Metadata) error {
	if len(m.Disks) == 0 {
		s.add(dir, "box.img", hypervisor.RoleDisk, disk.QCOW2)
	}
	for _, d := range m.Disks {
		s.add(dir, d.Path, hypervisor.RoleDisk, disk.QCOW2)
	}
	if m.NVRAM != "" && filepath.IsLocal(m.NVRAM) && isFile(filepath.Join(dir, m.NVRAM)) {
		s.add(dir, m.NVRAM, hypervisor.RoleNVRAM, "")
	}
	return nil
}

func (s *Source) vmwareFiles(dir string, sum boxfile.Summary) error {
	name := sum.Metadata.VMXFile
	for _, f := range sum.Files {
		if name == "" && filepath.Ext(f.Name) == ".vmx" {
			name = f.Name
		}
	}
	s.add(dir, name, hypervisor.RoleDescriptor, "")
	for _, f := range sum.Files {
		if ext := strings.ToLower(filepath.Ext(f.Name)); ext == ".nvram" || ext == ".vmsd" || ext == ".vmxf" {
			s.add(dir, f.Name, hypervisor.RoleOther, "")
		}
	}
	return nil
}

// checked are the formats that qemu-img can check.
var checked = []string{disk.QCOW2, disk.VMDK, disk.VDI, disk.VHDX}

// verify refuses disks whose structure is not whole.
func (j *job) verify(ctx context.Context) error {
	for _, d := range j.exported.disks {
		if !slices.Contains(checked, d.format) {
			continue
		}
		found, err := j.Tool.Check(ctx, d.path, d.format)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && !found.OK() {
			err = fmt.Errorf("qemu-img check counts %d corruptions", found.Corruptions+found.CheckErrors)
		}
		if err != nil {
			return fmt.Errorf("%q is damaged or cut off; get it again: %w", d.path, err)
		}
	}
	return nil
}
