package volume

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
)

// naming makes the identifiers of one tree of the volume.
type naming interface {
	// clean makes a name that the tree can hold, and leaves room for number, which tells it from others.
	clean(name string, dir bool, number string) string
	// encode gives the identifier's bytes.
	encode(name string, dir bool) []byte
	// compare orders two clean names within a directory.
	compare(a, b string) int
}

// unique makes a name that no other in the directory has, and notes it in taken.
func unique(n naming, name string, dir bool, taken map[string]bool) string {
	id := n.clean(name, dir, "")
	for i := 0; taken[id]; i++ {
		id = n.clean(name, dir, strconv.Itoa(i))
	}
	taken[id] = true
	return id
}

// splitExt cuts a file name at its last dot; a leading dot begins no extension, and directories have none.
func splitExt(name string, dir bool) (base, ext string) {
	if i := strings.LastIndexByte(name, '.'); i > 0 && !dir {
		return name[:i], name[i:]
	}
	return name, ""
}

// primaryNames are those of ECMA-119 level 2: capital letters, digits and underscores, at most 30 of them.
type primaryNames struct{}

func (primaryNames) clean(name string, dir bool, number string) string {
	base, ext := splitExt(name, dir)
	base, ext = dCharacters(base), dCharacters(strings.TrimPrefix(ext, "."))
	ext = ext[:min(len(ext), 8)]
	base = base[:min(len(base), 29-len(ext)-len(number))] + number
	if dir {
		return base
	}
	return base + "." + ext
}

// dCharacters maps every other character to an underscore.
func dCharacters(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, s)
}

func (primaryNames) encode(name string, dir bool) []byte {
	if dir {
		return []byte(name)
	}
	return []byte(name + ";1")
}

// compare follows ECMA-119 9.3: by name, then by extension, the shorter one filled up with spaces. A space and the
// end of a string both sort before every character that a name can hold.
func (primaryNames) compare(a, b string) int {
	aBase, aExt, _ := strings.Cut(a, ".")
	bBase, bExt, _ := strings.Cut(b, ".")
	if c := strings.Compare(aBase, bBase); c != 0 {
		return c
	}
	return strings.Compare(aExt, bExt)
}

// jolietNames are UTF-16. The specification allows 64 units; readers take the 103 that mkisofs calls
// "joliet-long", so names survive up to there.
type jolietNames struct{}

const maxJolietUnits = 103

func (jolietNames) clean(name string, dir bool, number string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`*/:;?\`, r) {
			return '_'
		}
		return r
	}, name)
	base, ext := splitExt(name, dir)
	extUnits := utf16.Encode([]rune(ext))
	extUnits = extUnits[:min(len(extUnits), maxJolietUnits/2)]
	baseUnits := utf16.Encode([]rune(base))
	baseUnits = baseUnits[:min(len(baseUnits), maxJolietUnits-len(extUnits)-len(number))]
	return string(utf16.Decode(baseUnits)) + number + string(utf16.Decode(extUnits))
}

func (j jolietNames) encode(name string, dir bool) []byte {
	if !dir {
		name += ";1"
	}
	return ucs2(name)
}

func (jolietNames) compare(a, b string) int { return bytes.Compare(ucs2(a), ucs2(b)) }

// ucs2 is UTF-16 with the high byte first.
func ucs2(s string) []byte {
	units := utf16.Encode([]rune(s))
	out := make([]byte, 0, 2*len(units))
	for _, u := range units {
		out = append(out, byte(u>>8), byte(u))
	}
	return out
}
