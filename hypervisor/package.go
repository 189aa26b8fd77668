package hypervisor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// Package is something that a machine that is off is made into: a Vagrant box of a provider, a machine of another product,
// or an image of its disks.
type Package string

// The packages.
const (
	PackageLibvirt    Package = "libvirt"        // a box
	PackageVirtualBox Package = "virtualbox"     // a box
	PackageVMware     Package = "vmware_desktop" // a box
	PackageOVA        Package = "ova"            // a machine in one file, for VMware and VirtualBox
	PackageVMX        Package = "vmx"            // a folder with a machine of Workstation or Fusion
	PackageQCOW2      Package = "qcow2"          // an image, with the properties that OpenStack's image service wants
	PackageRaw        Package = "raw"            // an image
	PackageVHD        Package = "vhd"            // an image
	PackageVHDX       Package = "vhdx"           // an image
	PackageAMI        Package = "ami"            // an image that EC2 keeps, see Importer
)

// Packages lists all packages, boxes first.
func Packages() []Package {
	return []Package{PackageLibvirt, PackageVirtualBox, PackageVMware, PackageOVA, PackageVMX, PackageQCOW2, PackageRaw, PackageVHD, PackageVHDX, PackageAMI}
}

// IsBox tells whether it is a Vagrant box. Its name is then the provider's.
func (p Package) IsBox() bool {
	return p == PackageLibvirt || p == PackageVirtualBox || p == PackageVMware
}

// IsImage tells whether it consists of images of the disks, with no machine around them.
func (p Package) IsImage() bool {
	return p == PackageQCOW2 || p == PackageRaw || p == PackageVHD || p == PackageVHDX
}

// IsRemote tells whether it is kept elsewhere: a driver's Importer makes it, and there are no files of it on this host.
func (p Package) IsRemote() bool { return p == PackageAMI }

// others are names that people know these things by, and why one of them is not there.
var otherPackages = map[string]string{
	"aws":           `is called "ami"`,
	"vmware":        `is called "vmware_desktop" (a box), "vmx" (a folder) or "ova"`,
	"vbox":          `is called "virtualbox"`,
	"ovf":           `is called "ova": the same, in one file`,
	"vpc":           `is called "vhd"`,
	"img":           `is called "raw" or "qcow2"`,
	"vmdk":          `comes inside of "ova", "vmx" and the boxes`,
	"hyperv":        `cannot be made yet; "vhdx" is the disk of such a machine`,
	"box":           `needs a provider: "libvirt", "virtualbox" or "vmware_desktop"`,
	"vagrant":       `needs a provider: "libvirt", "virtualbox" or "vmware_desktop"`,
	"vmware_fusion": `is called "vmware_desktop"`,
}

// ParsePackages reads a list of packages. All mistakes are told at once, each with what was probably meant.
func ParsePackages(names []string) ([]Package, error) {
	var list []Package
	var errs []error
	for _, name := range names {
		p := Package(name)
		switch {
		case !slices.Contains(Packages(), p):
			errs = append(errs, unknownPackage(name))
		case slices.Contains(list, p):
			errs = append(errs, fmt.Errorf("package %q is named twice: once is enough", name))
		default:
			list = append(list, p)
		}
	}
	return list, errors.Join(errs...)
}

func unknownPackage(name string) error {
	if why, ok := otherPackages[strings.ToLower(name)]; ok {
		return fmt.Errorf("package %q %s", name, why)
	}
	var known []string
	for _, p := range Packages() {
		known = append(known, string(p))
	}
	if near := schema.Nearest(name, known); near != "" {
		return fmt.Errorf("package %q is not known: did you mean %q?", name, near)
	}
	return fmt.Errorf("package %q is not known: use %s", name, strings.Join(known, ", "))
}

// PackageArgs are the template arguments about what else the machine is made into when it is off. They can be given outside
// of the template too, so that it stays valid for Packer.
type PackageArgs struct {
	Package        []string `json:"package" doc:"What to make of the machine: libvirt, virtualbox, vmware_desktop (boxes), ova, vmx, qcow2, raw, vhd, vhdx, ami." guest:"artifact"`
	PackageGuestOS string   `json:"package_guest_os" doc:"System in the guest for packages that name it, such as debian/12 or windows/2022. Default: what the guest says." guest:"artifact"`
}

// Wanted reads the list.
func (a PackageArgs) Wanted() ([]Package, error) { return ParsePackages(a.Package) }

// MakesBox tells whether one of the packages is a box, or an image of which a box is made that names it.
func (a PackageArgs) MakesBox() bool {
	return slices.ContainsFunc(a.Package, func(name string) bool { return Package(name).IsBox() || Package(name).IsRemote() })
}
