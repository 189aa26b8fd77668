package sbom

import (
	"cmp"
	"strings"
)

// Compare orders two versions of a package of type t as its manager does: -1 when a is older than b, 1 when it is newer, 0 when
// the manager takes them for the same, however they are written.
func Compare(t Type, a, b string) int {
	switch t {
	case Deb:
		return compareDeb(a, b)
	case RPM:
		return compareEVR(a, b, compareRPM)
	case APK:
		return compareAPK(a, b)
	case Pacman:
		return compareEVR(a, b, comparePacman)
	}
	return cmp.Compare(a, b)
}

// evr is a version in its parts: "epoch:version-release".
type evr struct {
	epoch, version, release string
	released                bool // there is a release
}

// splitEVR cuts a version. An epoch is made of digits and 0 where it is missing; the release begins after the last dash.
func splitEVR(s string) evr {
	v := evr{epoch: "0", version: s}
	if epoch, rest, ok := strings.Cut(s, ":"); ok && digits(epoch) == len(epoch) {
		v.version = rest
		if epoch != "" {
			v.epoch = epoch
		}
	}
	v.version, v.release, v.released = cutLast(v.version, "-")
	return v
}

// compareDeb is the order of Debian policy 5.6.12 (deb-version(7)): the epoch as a number, then the upstream version and the
// revision, each as pieces.
func compareDeb(a, b string) int {
	x, y := splitEVR(a), splitEVR(b)
	return cmp.Or(compareNumbers(x.epoch, y.epoch), comparePieces(x.version, y.version), comparePieces(x.release, y.release))
}

// comparePieces takes turns at a piece without digits and a number, until two differ.
func comparePieces(a, b string) int {
	for a != "" || b != "" {
		x, y := nonDigits(a), nonDigits(b)
		if c := compareWords(a[:x], b[:y]); c != 0 {
			return c
		}
		a, b = a[x:], b[y:]
		x, y = digits(a), digits(b)
		if c := compareNumbers(a[:x], b[:y]); c != 0 {
			return c
		}
		a, b = a[x:], b[y:]
	}
	return 0
}

// compareWords compares letter by letter: "~" comes before everything, even the end; the end before letters, letters before
// other characters.
func compareWords(a, b string) int {
	for i := range max(len(a), len(b)) {
		if c := cmp.Compare(weight(a, i), weight(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

// weight is the place of s[i] in that order. A digit ends a piece, and so counts as the end.
func weight(s string, i int) int {
	const afterLetters = 256
	switch {
	case i >= len(s):
		return 0
	case s[i] == '~':
		return -1
	case isLetter(s[i]):
		return int(s[i])
	}
	return int(s[i]) + afterLetters
}

// compareNumbers compares runs of digits of any length; the empty one is zero.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// span is how many bytes at the beginning of s are of a kind.
func span(s string, kind func(byte) bool) int {
	for i := range len(s) {
		if !kind(s[i]) {
			return i
		}
	}
	return len(s)
}

func digits(s string) int    { return span(s, isDigit) }
func letters(s string) int   { return span(s, isLetter) }
func nonDigits(s string) int { return span(s, func(c byte) bool { return !isDigit(c) }) }
