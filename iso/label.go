package iso

import (
	"fmt"
	"slices"
	"strings"
)

// DefaultLabel is the volume label that Packer gives to a CD or a floppy without one.
const DefaultLabel = "packer"

// Label lengths in bytes: ECMA-119 8.4.7 for a CD, the volume entry of a FAT root directory for a floppy.
const (
	maxCDLabel     = 32
	maxFloppyLabel = 11
)

// checkCDLabel takes more than the standard's upper case, because guests look for labels such as "cidata".
func checkCDLabel(label string) error {
	if len(label) > maxCDLabel {
		return fmt.Errorf("%q has %d characters, a CD's label has at most %d", label, len(label), maxCDLabel)
	}
	if i := strings.IndexFunc(label, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		return fmt.Errorf("%q holds a character that is not printable ASCII", label)
	}
	return nil
}

func checkFloppyLabel(label string) error {
	if len(label) > maxFloppyLabel {
		return fmt.Errorf("%q has %d characters, a floppy's label has at most %d", label, len(label), maxFloppyLabel)
	}
	bad := func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"*+,./:;<=>?[\]|`, r) }
	if i := strings.IndexFunc(label, bad); i >= 0 {
		return fmt.Errorf("%q holds a character that FAT forbids in a label: use letters, digits, - and _", label)
	}
	return nil
}

// SeedWarnings names what will keep an installer from finding its seed on a medium with this label and these files:
// the wrong case of a label, or a file that the label's reader insists on.
func SeedWarnings(label string, entries []Entry) []string {
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e Entry) bool { return e.Name == name })
	}
	var warnings []string
	switch {
	case strings.EqualFold(label, "cidata"):
		for _, name := range []string{"meta-data", "user-data"} {
			if !has(name) {
				warnings = append(warnings, fmt.Sprintf("label %q without a file %q: cloud-init ignores the medium; add it, it may be empty", label, name))
			}
		}
	case strings.EqualFold(label, "OEMDRV"):
		if label != "OEMDRV" {
			warnings = append(warnings, fmt.Sprintf("label %q: Anaconda looks for \"OEMDRV\" in capitals", label))
		}
		if !has("ks.cfg") {
			warnings = append(warnings, fmt.Sprintf("label %q without a file \"ks.cfg\": Anaconda finds no kickstart there", label))
		}
	case has("meta-data") && has("user-data"):
		warnings = append(warnings, fmt.Sprintf("label %q with user-data and meta-data: cloud-init only reads a medium labelled \"cidata\"", label))
	}
	return warnings
}
