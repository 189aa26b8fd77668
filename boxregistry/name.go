package boxregistry

import (
	"regexp"
	"strings"

	"github.com/boxkiln/boxkiln/internal/orgname"
)

// Name is what users write as config.vm.box: an organisation and a box, "org/box". The zero value is no name;
// only ParseName makes one. Names are compared byte by byte, as Vagrant does.
type Name struct{ org, box string }

// Org is the part before the slash.
func (n Name) Org() string { return n.org }

// Box is the part after the slash.
func (n Name) Box() string { return n.box }

// IsZero reports whether n is no name.
func (n Name) IsZero() bool { return n.org == "" }

// String is "org/box", or "" for the zero value.
func (n Name) String() string {
	if n.IsZero() {
		return ""
	}
	return n.org + "/" + n.box
}

// ParseName reads "org/box". The error is an *InvalidNameError.
func ParseName(s string) (Name, error) {
	invalid := func(want string) (Name, error) {
		return Name{}, &InvalidNameError{Kind: "box name", Value: s, Want: want}
	}
	org, box, ok := strings.Cut(s, "/")
	if !ok || strings.Contains(box, "/") {
		return invalid(`want an organisation and a box with one slash between them, for example "ops/debian12"`)
	}
	for _, part := range []string{org, box} {
		if !orgname.Fits(part) {
			return invalid("each half is " + orgname.Grammar)
		}
	}
	if orgname.Reserved(org) {
		return invalid("this organisation's name is taken by the registry's own pages; choose another, not one of " +
			orgname.ReservedNames())
	}
	return Name{org: org, box: box}, nil
}

// Provider is Vagrant's name for a hypervisor: "libvirt", "virtualbox", "vmware_desktop" and whatever its plugins add.
type Provider string

var providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// ParseProvider checks a provider's name. Any name of Vagrant's grammar is taken, for plugins bring their own.
func ParseProvider(s string) (Provider, error) {
	if !providerName.MatchString(s) {
		return "", &InvalidNameError{Kind: "provider", Value: s,
			Want: `want lower-case letters, digits, dashes and underscores, for example "libvirt"`}
	}
	return Provider(s), nil
}

// Architecture is Vagrant's name for a guest's processor.
type Architecture string

// UnknownArchitecture stands for a box whose maker did not say.
const UnknownArchitecture Architecture = "unknown"

// machineNames are kernel names (uname -m) that Vagrant folds on the host, so that no client would ask for them.
var machineNames = map[string]Architecture{"x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "i586": "i386"}

// ParseArchitecture checks an architecture's name and folds the kernel's names to Vagrant's ("x86_64" is "amd64").
// Names that Vagrant does not fold, such as "riscv64", stay as they are: it asks for those by the same name.
func ParseArchitecture(s string) (Architecture, error) {
	if a, ok := machineNames[s]; ok {
		return a, nil
	}
	if !providerName.MatchString(s) {
		return "", &InvalidNameError{Kind: "architecture", Value: s,
			Want: `want lower-case letters, digits, dashes and underscores, for example "amd64", "arm64" or "unknown"`}
	}
	return Architecture(s), nil
}
