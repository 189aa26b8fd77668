// Package orgname is the grammar of organisations' names, which users have too: one name space for what owns boxes.
//
// An organisation is the first half of a box's name and the first segment of the box's URL, so it must be neither something
// that cannot stand in a path nor one of the registry's own paths.
package orgname

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A name is a path segment, a directory's name in ~/.vagrant.d and a part of a libvirt volume's name.
var part = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Grammar says in words which names Fits takes.
const Grammar = "1 to 128 letters, digits, dots, dashes and underscores and begins with a letter or digit"

// reserved are the first path segments of our own URLs, which an organisation of that name would hide, or would be hidden by.
var reserved = []string{
	"api", "assets", "boxes", "builds", "dl", "healthz", "livez", "login", "logout", "metrics", "minisign.pub", "readyz", "search",
	"settings", "static", "up", "v1", "v2", "vagrant",
}

// Fits tells whether s is of the grammar that both halves of a box's name have.
func Fits(s string) bool { return part.MatchString(s) }

// Reserved tells whether the registry keeps a name for its own pages, whatever its case.
func Reserved(s string) bool { return slices.Contains(reserved, strings.ToLower(s)) }

// ReservedNames are all those names, for messages.
func ReservedNames() string { return strings.Join(reserved, " ") }

// Check says what is wrong with the name of a new organisation or user.
func Check(name string) error {
	switch {
	case !Fits(name):
		return fmt.Errorf("%q: a name is %s", name, Grammar)
	case Reserved(name):
		return fmt.Errorf("%q is kept for the registry's own pages; choose another name, not one of %s", name, ReservedNames())
	}
	return nil
}
