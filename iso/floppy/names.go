package floppy

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// names makes the short name of a file, unlike all in taken, and its long name where the short one loses something.
func names(name string, taken map[[11]byte]bool) (short [11]byte, long []uint16) {
	base, ext := splitName(name)
	shortBase, shortExt := shortChars(base), shortChars(ext)
	short = join(shortBase, shortExt)
	fits := len(shortBase) <= 8 && len(shortExt) <= 3 && shortBase == upper(base) && shortExt == upper(ext)
	for i := 1; taken[short] || !fits; i++ {
		tail := fmt.Sprintf("~%d", i)
		short = join(shortBase[:min(len(shortBase), 8-len(tail))]+tail, shortExt)
		fits = true
	}
	taken[short] = true
	if display(short) == name {
		return short, nil
	}
	return short, utf16.Encode([]rune(name))
}

// display is a short name as a directory listing shows it.
func display(short [11]byte) string {
	base, ext := strings.TrimRight(string(short[:8]), " "), strings.TrimRight(string(short[8:]), " ")
	if ext == "" {
		return base
	}
	return base + "." + ext
}

// splitName cuts a name at its last dot; leading dots begin no extension.
func splitName(name string) (base, ext string) {
	if i := strings.LastIndexByte(name, '.'); i > 0 && strings.Trim(name[:i], ".") != "" {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// shortChars drops blanks and dots and replaces what a short name cannot hold.
func shortChars(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '.':
			return -1
		case r < 0x80 && (r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'()-@^_`{}~", r)):
			return r
		}
		return '_'
	}, upper(s))
}

// join fills the two parts of a short name up with blanks.
func join(base, ext string) [11]byte {
	var out [11]byte
	copy(out[:], fmt.Sprintf("%-8.8s%-3.3s", base, ext))
	return out
}

// dotName is the short name of "." or "..".
func dotName(s string) [11]byte { return join(s, "") }

// upper folds case as FAT does for the names that matter here.
func upper(s string) string { return strings.ToUpper(s) }

// checkLongName refuses what no reader of FAT would find again.
func checkLongName(name string) error {
	if i := strings.IndexFunc(name, func(r rune) bool { return r < ' ' || strings.ContainsRune(`"*:<>?\|`, r) }); i >= 0 {
		return fmt.Errorf("%q holds a character that FAT forbids in a name (%q): rename the file", name, name[i])
	}
	if strings.TrimRight(name, ". ") != name {
		return fmt.Errorf("%q ends in a dot or a blank, which FAT drops: rename the file", name)
	}
	if n := len(utf16.Encode([]rune(name))); n > 255 {
		return fmt.Errorf("%q is longer than 255 characters: rename the file", name)
	}
	return nil
}
