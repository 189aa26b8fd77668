package schema

import (
	"reflect"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/zclconf/go-cty/cty"
)

// Block is one kind of block of a template: a source, provisioner, post-processor or data source, or a block nested in
// one of these.
type Block struct {
	Type string
	Doc  string
	Args []Arg // sorted by name
	// Missing is empty for a kind that can be built. Otherwise the kind is only validated, and Missing says what is not
	// there yet, in words that follow "cannot be built: ".
	Missing string
}

// Arg is one argument of a block: an attribute, or a nested block.
type Arg struct {
	Name      string
	Doc       string
	Type      cty.Type // of an attribute; of a nested block the dynamic type
	Required  bool
	Sensitive bool
	// Late arguments hold text whose {{ }} actions on run-time data are rendered while the build runs.
	Late bool
	// Local arguments hold paths of files on the machine of the template's user. Where such a file lies does not matter
	// to the guest; what is in it does.
	Local bool
	// Guest tells whether the value belongs to the guest's fingerprint.
	Guest Reach
	// Block describes a nested block; nil for an attribute.
	Block *Block
	// Repeat allows the nested block several times.
	Repeat bool

	goType reflect.Type // what the owner decodes into; it has the last word on a value
}

// Reach tells whether the value of an argument changes what is inside the guest.
type Reach string

// The declared reaches. The zero value means that nobody declared one.
const (
	ReachesGuest Reach = "yes"
	StaysOutside Reach = "no"
)

// Arg returns the argument of that name, or nil.
func (b *Block) Arg(name string) *Arg {
	i, found := slices.BinarySearchFunc(b.Args, name, func(a Arg, name string) int { return strings.Compare(a.Name, name) })
	if !found {
		return nil
	}
	return &b.Args[i]
}

// Names returns the names of all arguments, sorted.
func (b *Block) Names() []string {
	names := make([]string, len(b.Args))
	for i := range b.Args {
		names[i] = b.Args[i].Name
	}
	return names
}

// Suggest returns the argument whose name is nearest to a misspelt one, or "" if none is near.
func (b *Block) Suggest(name string) string { return Nearest(name, b.Names()) }

// Nearest returns the known name that a misspelt one was probably meant to be, or "" if none is near. Names that differ
// only in case or in dashes for underscores count as near.
func Nearest(name string, known []string) string {
	best, bestDistance := "", max(1, len(name)/3)+1
	for _, k := range known {
		d := levenshtein.Distance(fold(name), fold(k), nil)
		if d < bestDistance && d < len(k) {
			best, bestDistance = k, d
		}
	}
	return best
}

func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
