// Package ovf reads and writes Open Virtualization Format packages: the descriptor (.ovf), its manifest (.mf) and the archive
// of all of them (.ova).
//
// [Write] writes a machine as one of two products does, because no descriptor serves both: ESXi refuses VirtualBox's hardware
// family, and VirtualBox takes firmware, boot order and MAC addresses from settings of its own only. [Read] takes descriptors of VirtualBox, VMware and ovftool, of OVF 0.9, 1.x and
// 2.0. It is strict: what a product would refuse to import, it refuses, and says which element and what to do.
// Sources: DMTF DSP0243 1.1.0, schema DSP8023 1.1.1; VirtualBox src/VBox/Main/{xml/ovfreader.cpp,src-server/ApplianceImplExport.cpp}.
package ovf

import (
	"errors"
	"fmt"
	"io"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// Flavour is whose way of writing a descriptor has.
type Flavour = hardware.Product

// The flavours.
const (
	VirtualBox = hardware.VirtualBox
	VMware     = hardware.VMware
)

// Write writes the descriptor of m. The same machine gives the same bytes. It fails when the product of f could not start the
// machine (see [hardware.Machine.Check]), when a disk has no capacity, and for VirtualBox also when the machine or a medium has no UUID:
// give every export new ones. What f merely has no words for is left out, and told by Losses.
func Write(w io.Writer, m hardware.Machine, f Flavour) error {
	if err := check(m, f); err != nil {
		return fmt.Errorf("machine %q cannot be written as an OVF for %s: %w", m.Name, f, err)
	}
	var b builder
	if f == VirtualBox {
		writeVirtualBox(&b, m)
	} else {
		writeVMware(&b, m)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func check(m hardware.Machine, f Flavour) error {
	errs := []error{m.Check(f)}
	if f == VirtualBox && m.UUID == "" {
		errs = append(errs, errors.New("give the machine a new uuid"))
	}
	for _, c := range m.Controllers {
		for _, d := range c.Drives {
			where := fmt.Sprintf("%s drive %d (%s)", c.Bus, d.Port, d.File)
			if d.Kind == hardware.Disk && formatURI(d.Format) == "" {
				errs = append(errs, fmt.Errorf("%s: an OVF has no disks in format %q: convert it to streamOptimized VMDK", where, d.Format))
			}
			if d.Kind == hardware.Disk && d.Capacity == 0 {
				errs = append(errs, fmt.Errorf("%s: the disk's capacity is missing", where))
			}
			if f == VirtualBox && d.Kind != hardware.FloppyDrive && d.File != "" && d.UUID == "" {
				errs = append(errs, fmt.Errorf("%s: give the medium a new uuid", where))
			}
		}
	}
	return errors.Join(errs...)
}

// Descriptor is what Read found.
type Descriptor struct {
	// Machine is what a stranger wrote: [hardware.Machine.Check] tells whether its name can be a folder's, and what a product cannot start.
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
	// Remarks tell what was left out of Machine or taken for something else, and where the text is not as the schema wants it though
	// products forgive that.
	Remarks []string
}

// File is a file that a descriptor names.
type File struct {
	ID string
	// Name is the file's, Href how the descriptor spells it. They differ when it is percent-encoded.
	Name, Href string
	Size       int64 // bytes; 0 if the descriptor does not say
	Gzipped    bool  // ovf:compression="gzip"
}

// MaxDescriptor is the longest descriptor that Read takes, in bytes. Real ones have tens of kilobytes.
const MaxDescriptor = 4 << 20
