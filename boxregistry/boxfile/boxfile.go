// Package boxfile writes and inspects Vagrant boxes: compressed tar archives that hold metadata.json, the files of one
// machine and perhaps a Vagrantfile and an info.json, all at the root.
//
// [Write] makes a box in one pass from files to archive, compressor, digest and destination, without a copy on the way;
// the bytes depend on nothing but the contents and the level. [Inspect] reads a box from a stranger in one pass and
// never creates a file under a name from the archive. What Vagrant wants of a box is in its documentation
// (boxes/format) and, per provider, in the code that imports the box; the comments beside the checks name it.
package boxfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"unicode"
)

// The names of the entries that have a meaning for Vagrant itself.
const (
	MetadataName    = "metadata.json"
	VagrantfileName = "Vagrantfile"
	InfoName        = "info.json"
)

// The providers whose boxes are checked file by file; any other one is taken as it is.
const (
	Libvirt       = "libvirt"
	VirtualBox    = "virtualbox"
	VMwareDesktop = "vmware_desktop"
	AWS           = "aws"
)

// Metadata is metadata.json. Fields that Vagrant does not read are for its plug-ins and for us.
type Metadata struct {
	Provider string `json:"provider"`
	// Architecture is in Go's words (amd64, arm64), as Vagrant 2.4 and Packer write it.
	Architecture string `json:"architecture,omitempty"`
	// Format and VirtualSize describe the only disk, box.img, of a libvirt box in the form that all versions of
	// vagrant-libvirt read (action/handle_box_image.rb).
	Format      string    `json:"format,omitempty"`
	VirtualSize Gibibytes `json:"virtual_size,omitempty"`
	// Disks are the disks of a libvirt box that has several.
	Disks []MetadataDisk `json:"disks,omitempty"`
	// VMXFile is the machine of a vmware_desktop box; without it the first *.vmx counts.
	VMXFile string `json:"vmx_file,omitempty"`
	// NVRAM is a file of the box with the UEFI variables at the end of the build. No version of vagrant-libvirt reads
	// it; it is there for people and for `boxkiln convert`.
	NVRAM string `json:"nvram,omitempty"`
	// Machine is what Boxkiln notes of the machine that the box was made of, for `boxkiln convert`. It is carried as it is.
	Machine json.RawMessage `json:"boxkiln,omitempty"`
}

// MetadataDisk is a disk of a libvirt box with several.
type MetadataDisk struct {
	Path   string `json:"path"`
	Format string `json:"format,omitempty"` // Packer writes it; vagrant-libvirt asks qemu-img
	Name   string `json:"name,omitempty"`   // of the volume; default: Path without extension
}

// Gibibytes is a disk size as metadata.json has it: a whole number, rounded up.
type Gibibytes int64

const gib = 1 << 30

// CeilGibibytes rounds bytes up.
func CeilGibibytes(bytes int64) Gibibytes {
	whole := bytes / gib
	if bytes%gib > 0 {
		whole++
	}
	return Gibibytes(whole)
}

// Bytes is the size in bytes; sizes beyond what a number of bytes can hold become the largest one.
func (g Gibibytes) Bytes() int64 {
	if g > math.MaxInt64/gib {
		return math.MaxInt64
	}
	return int64(g) * gib
}

// UnmarshalJSON takes fractions too, which some boxes in the wild have, and rounds them up.
func (g *Gibibytes) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil || f < 0 || f > math.MaxInt32 {
		return fmt.Errorf("virtual_size must be a number of gigabytes, not %.40s", b)
	}
	*g = Gibibytes(math.Ceil(f))
	return nil
}

// parseMetadata reads metadata.json as Vagrant does: names count as they are written, others are no matter.
func parseMetadata(b []byte) (Metadata, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\ufeff")), &fields); err != nil {
		return Metadata{}, fmt.Errorf("metadata.json is not a JSON object: %w", err)
	}
	known := map[string]json.RawMessage{}
	for _, name := range []string{"provider", "architecture", "format", "virtual_size", "disks", "vmx_file", "nvram", "boxkiln"} {
		// encoding/json would match "Provider" too, which Vagrant would not see.
		if v, ok := fields[name]; ok {
			known[name] = v
		}
	}
	exact, err := json.Marshal(known)
	if err != nil {
		return Metadata{}, err
	}
	var m Metadata
	if err := json.Unmarshal(exact, &m); err != nil {
		return Metadata{}, fmt.Errorf("metadata.json: %w", err)
	}
	return m, checkProvider(m.Provider)
}

func checkProvider(provider string) error {
	if provider == "" {
		return errors.New(`metadata.json names no provider; it needs "provider": "libvirt" or the like`)
	}
	const most = 64
	for _, r := range provider {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-') || len(provider) > most {
			return fmt.Errorf("provider %.80q: use up to 64 lower-case letters, digits, _ and -", provider)
		}
	}
	return nil
}

// checkName refuses every name that could lead a careless unpacker out of its directory. Vagrant has bsdtar turn
// backslashes into slashes (box_collection.rb), so they count as such.
func checkName(name string, longest int) error {
	drive := len(name) >= 2 && name[1] == ':' && unicode.IsLetter(rune(name[0]))
	switch {
	case len(name) > longest:
		return fmt.Errorf("the name of an entry has %d bytes, more than %d; it begins with %.60q", len(name), longest, name)
	case !fs.ValidPath(name) || name == ".", strings.Contains(name, `\`), drive:
		return fmt.Errorf("the name of an entry leads out of the box: %q", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("the name of an entry holds control characters: %q", name)
	}
	return nil
}
