// Package ovf reads and writes Open Virtualization Format packages: the descriptor (.ovf), its manifest (.mf) and the archive
// of all of them (.ova).
//
// [Write] writes a machine as one of two products does, because no descriptor serves both: ESXi refuses VirtualBox's hardware
// family, and VirtualBox VMware's SATA controller. [Read] takes descriptors of VirtualBox, VMware and ovftool, of OVF 0.9, 1.x and
// 2.0. It is strict: what a product would refuse to import, it refuses, and says which element and what to do.
// Sources: DMTF DSP0243 1.1.0, schema DSP8023 1.1.1; VirtualBox src/VBox/Main/{xml/ovfreader.cpp,src-server/ApplianceImplExport.cpp}.
package ovf

import (
	"context"
	"io"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// Flavour is whose way of writing a descriptor has.
type Flavour string

// The flavours.
const (
	VirtualBox Flavour = "virtualbox"
	VMware     Flavour = "vmware"
)

// Write writes the descriptor of m. The same machine gives the same bytes. It fails when the product of f could not start the
// machine: a controller or a card that it does not have, two drives on one port. What it merely has no words for is left out, and
// told by Losses. Every disk needs a File; VirtualBox also needs its UUID and Capacity.
func Write(w io.Writer, m hardware.Machine, f Flavour) error { panic("not written yet") }

// Losses tells in sentences what of m a descriptor of this flavour does not hold. A machine without losses is read back as it was
// written.
func Losses(m hardware.Machine, f Flavour) []string { panic("not written yet") }

// Descriptor is what Read found.
type Descriptor struct {
	Machine hardware.Machine
	// Flavour is whose descriptor it is; empty if neither product's marks are in it.
	Flavour Flavour
	// Version of OVF: "0.9", "1.0", "2.0".
	Version string
	// SystemType is the hardware family, "virtualbox-2.2" or "vmx-19".
	SystemType string
	// Files are all files of the package in the order of References, with those that are no disks.
	Files []File
	// Licence is the text that an import must accept, "" if there is none.
	Licence string
	// Ignored names what was left out of Machine: items of an unknown kind that are not required.
	Ignored []string
}

// File is a file that a descriptor names.
type File struct {
	ID, Name string
	Size     int64 // bytes; 0 if the descriptor does not say
	Gzipped  bool  // ovf:compression="gzip"
}

// MaxDescriptor is the longest descriptor that Read takes, in bytes. Real ones have tens of kilobytes.
const MaxDescriptor = 4 << 20

// Read reads a descriptor of exactly one virtual machine. It opens none of the files that it names. Errors name the element and what to do.
func Read(r io.Reader) (Descriptor, error) { panic("not written yet") }

// Algorithm is a hash function of a manifest, as manifests spell it.
type Algorithm string

// The algorithms that are read. SHA256 is written: all readers take it.
const (
	SHA1   Algorithm = "SHA1"
	SHA256 Algorithm = "SHA256"
	SHA512 Algorithm = "SHA512"
)

// Sum is the digest of a file of a package.
type Sum struct {
	File      string
	Algorithm Algorithm
	Hex       string // in lower case
}

// Manifest lists the digests of a package's files, the descriptor's first.
type Manifest []Sum

// ReadManifest reads a manifest in any spelling that VirtualBox, ovftool and openssl have.
func ReadManifest(r io.Reader) (Manifest, error) { panic("not written yet") }

// Write writes "SHA256(name)= hex" lines.
func (m Manifest) Write(w io.Writer) error { panic("not written yet") }

// Sum returns the digest of a file.
func (m Manifest) Sum(file string) (Sum, bool) { panic("not written yet") }

// CheckDir compares the files of a folder with the manifest: all of them must be there and have their digests.
func (m Manifest) CheckDir(ctx context.Context, dir string) error { panic("not written yet") }

// SumFiles makes a manifest of files of a folder, in SHA256.
func SumFiles(ctx context.Context, dir string, names ...string) (Manifest, error) {
	panic("not written yet")
}

// Member is a file to put into an OVA.
type Member struct {
	Name    string
	Size    int64 // bytes, exactly
	ModTime time.Time
	Open    func() (io.ReadCloser, error)
}

// FileMember is the file at path under its own name.
func FileMember(path string) (Member, error) { panic("not written yet") }

// WriteOVA writes an archive as it goes, holding nothing back: the descriptor, which must be the first member, then the manifest
// if there is one (ovftool's order), then the others. Without a manifest one is made of what is written, in SHA256, and put at the end
// (VirtualBox's order), under the descriptor's name.
func WriteOVA(ctx context.Context, w io.Writer, members []Member, m Manifest) error {
	panic("not written yet")
}

// OVA is what ExtractOVA found.
type OVA struct {
	Descriptor     Descriptor
	DescriptorFile string
	ManifestFile   string // "" if there is none
	Files          []string
}

// MaxMembers is how many members an OVA may have.
const MaxMembers = 256

// ExtractOVA unpacks an archive into dir, an existing folder, checking the manifest while it reads. It takes plain files at the
// root only, one descriptor among them, and nothing that is there already. maxBytes limits what is written, 0 is no limit. On an error
// what it wrote is removed.
func ExtractOVA(ctx context.Context, r io.Reader, dir string, maxBytes int64) (OVA, error) {
	panic("not written yet")
}

// ReadOVA reads the descriptor of an archive and nothing after it.
func ReadOVA(r io.Reader) (Descriptor, error) { panic("not written yet") }
