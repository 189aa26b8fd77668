package boxregistry

import (
	"regexp"
	"strings"
)

// Version is a version number as Ruby's Gem::Version reads it. It is made by ParseVersion; the zero value is no
// version. Two versions that differ only in how they are written ("1.0", "1.0.0") compare as equal.
type Version struct {
	text string
	key  string // ordered as bytes the way the versions are ordered, and equal where they are
}

// versionGrammar is Gem::Version's own pattern without the blanks that it allows around a version.
var versionGrammar = regexp.MustCompile(`^[0-9]+(\.[0-9A-Za-z]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// maxVersion is the longest version text, in bytes: long enough for a date and a commit, short enough for a file name.
const maxVersion = 128

// ParseVersion reads a version number. One that Vagrant cannot parse makes the whole box unusable to it, so those are
// refused: "v1.0", "1.0_1", "1.0+build", "latest". The error is an *InvalidNameError.
func ParseVersion(s string) (Version, error) {
	if len(s) > maxVersion || !versionGrammar.MatchString(s) {
		return Version{}, &InvalidNameError{Kind: "version", Value: s,
			Want: `want numbers and letters with dots between them, a number first, for example "1.2.0" or "20261120.1"; ` +
				`no "v" before it, no "+" or "_"`}
	}
	return Version{text: s, key: sortKey(canonical(segments(s)))}, nil
}

// String is the version as it was written.
func (v Version) String() string { return v.text }

// IsZero reports whether v is no version.
func (v Version) IsZero() bool { return v.text == "" }

// Compare is -1, 0 or 1 as v is before, the same as, or after w. "1.0.0-rc1" is before "1.0.0".
func (v Version) Compare(w Version) int { return strings.Compare(v.key, w.key) }

// SortKey is a byte string that orders like the versions and is equal for equal ones, for a database's index.
func (v Version) SortKey() []byte { return []byte(v.key) }

// Prerelease reports whether the version has a letter in it or a dash, as Gem::Version#prerelease? does. Vagrant
// itself does not hold back pre-releases: the newest wins.
func (v Version) Prerelease() bool {
	return strings.ContainsFunc(v.text, isLetter) || strings.Contains(v.text, "-")
}

// segment is one number or one run of letters of a version.
type segment string // a number has no leading zeros; zero is "0"

func (s segment) number() bool { return s[0] >= '0' && s[0] <= '9' }

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

// segments splits a version into runs of digits and of letters; a dash counts as ".pre.".
func segments(text string) []segment {
	var out []segment
	rest := strings.ReplaceAll(text, "-", ".pre.")
	for rest != "" {
		kind := isDigit
		if isLetter(rune(rest[0])) {
			kind = isLetter
		} else if !isDigit(rune(rest[0])) {
			rest = rest[1:]
			continue
		}
		run := rest[:len(rest)-len(strings.TrimLeftFunc(rest, kind))]
		rest = rest[len(run):]
		if isDigit(rune(run[0])) {
			run = strings.TrimLeft(run[:len(run)-1], "0") + run[len(run)-1:]
		}
		out = append(out, segment(run))
	}
	return out
}

// leadingNumbers is how many segments come before the first one of letters.
func leadingNumbers(segs []segment) int {
	for i, s := range segs {
		if !s.number() {
			return i
		}
	}
	return len(segs)
}

// canonical drops the zeros that end the leading numbers and those that end the rest, as Gem does before comparing.
func canonical(segs []segment) []segment {
	n := leadingNumbers(segs)
	return append(trimZeros(segs[:n:n]), trimZeros(segs[n:])...)
}

func trimZeros(segs []segment) []segment {
	for len(segs) > 0 && segs[len(segs)-1] == "0" {
		segs = segs[:len(segs)-1]
	}
	return segs[:len(segs):len(segs)]
}

// The first byte of each segment in a sort key. Gem compares segment by segment, letters before numbers, and reads a
// missing segment as zero. So the end of a version is an endless run of zeros, and where a real run of zeros stands
// to it depends on what follows the run: letters make the version smaller, a number makes it greater.
const (
	keyLetters           = 1
	keyZeroBeforeLetters = 2
	keyEnd               = 3
	keyZeroBeforeNumber  = 4
	keyNumber            = 5
)

// sortKey encodes canonical segments. Letters end in a zero byte, which is below every letter; numbers begin with
// their length, for the longer number is the greater one.
func sortKey(segs []segment) string {
	var b strings.Builder
	for i, s := range segs {
		switch {
		case !s.number():
			b.WriteByte(keyLetters)
			b.WriteString(string(s))
			b.WriteByte(0)
		case s == "0":
			b.WriteByte(zeroKind(segs[i:]))
		default:
			b.WriteByte(keyNumber)
			b.WriteByte(byte(len(s))) // at most maxVersion
			b.WriteString(string(s))
		}
	}
	b.WriteByte(keyEnd)
	return b.String()
}

// zeroKind looks past the zeros that segs begins with. Canonical segments never end in one.
func zeroKind(segs []segment) byte {
	for _, s := range segs {
		if !s.number() {
			return keyZeroBeforeLetters
		}
		if s != "0" {
			return keyZeroBeforeNumber
		}
	}
	return keyEnd
}
