package sbom

import (
	"cmp"
	"strings"
)

// compareEVR compares epochs as numbers, then versions, then releases if both have one, as rpm and pacman do with the order of
// segments that each has.
func compareEVR(a, b string, segments func(a, b string) int) int {
	x, y := splitEVR(a), splitEVR(b)
	if c := cmp.Or(compareNumbers(x.epoch, y.epoch), segments(x.version, y.version)); c != 0 || !x.released || !y.released {
		return c
	}
	return segments(x.release, y.release)
}

// compareRPM is rpmvercmp: runs of digits and of letters are compared in turn and what lies between them counts for nothing,
// but "~" is older than the end of the version and "^" newer than the end, though older than anything else
// (rpm-version(7), rpmio/rpmvercmp.c of rpm 4.18).
func compareRPM(a, b string) int {
	for a != "" || b != "" {
		a, b = a[span(a, rpmSeparator):], b[span(b, rpmSeparator):]
		if done, c := compareMarks(a, b); done {
			return c
		}
		if marked(a) {
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			break
		}
		var c int
		if c, a, b = compareSegment(a, b); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b)) // whoever has segments left is newer
}

func rpmSeparator(c byte) bool { return !isDigit(c) && !isLetter(c) && c != '~' && c != '^' }

func marked(s string) bool { return strings.HasPrefix(s, "~") || strings.HasPrefix(s, "^") }

// compareMarks decides where only one of the two begins with "~" or "^".
func compareMarks(a, b string) (done bool, c int) {
	if aTilde, bTilde := strings.HasPrefix(a, "~"), strings.HasPrefix(b, "~"); aTilde || bTilde {
		return aTilde != bTilde, older(aTilde)
	}
	aCaret, bCaret := strings.HasPrefix(a, "^"), strings.HasPrefix(b, "^")
	switch {
	case aCaret == bCaret:
		return false, 0
	case a == "" || b == "":
		return true, older(a == "")
	}
	return true, older(aCaret)
}

func older(a bool) int {
	if a {
		return -1
	}
	return 1
}

// compareSegment takes a run of digits or of letters, whichever a begins with, from both and compares them; digits are newer
// than letters. The rest of both comes back.
func compareSegment(a, b string) (c int, restA, restB string) {
	kind := isLetter
	if isDigit(a[0]) {
		kind = isDigit
	}
	x, y := span(a, kind), span(b, kind)
	switch {
	case y == 0:
		c = older(!isDigit(a[0]))
	case isDigit(a[0]):
		c = compareNumbers(a[:x], b[:y])
	default:
		c = cmp.Compare(a[:x], b[:y])
	}
	return c, a[x:], b[y:]
}

// comparePacman is the older rpmvercmp that pacman keeps (lib/libalpm/version.c, vercmp(8)): separators count by their number,
// there are no marks, and a version is newer than the same with letters behind it: 1.0 is newer than 1.0rc.
func comparePacman(a, b string) int {
	for a != "" && b != "" {
		x, y := span(a, pacmanSeparator), span(b, pacmanSeparator)
		a, b = a[x:], b[y:]
		if a == "" || b == "" {
			break
		}
		if x != y {
			return older(x < y)
		}
		var c int
		if c, a, b = compareSegment(a, b); c != 0 {
			return c
		}
	}
	switch {
	case a == "" && b == "":
		return 0
	case a == "" && letters(b) == 0, letters(a) > 0:
		return -1
	}
	return 1
}

func pacmanSeparator(c byte) bool { return !isDigit(c) && !isLetter(c) }
