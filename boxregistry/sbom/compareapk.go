package sbom

import (
	"cmp"
	"slices"
	"strings"
)

// apkKind is what a piece of an apk version is. A version is "digits{.digits}...{letter}{_suffix{digits}}...{~hash}{-rN}"
// (APK_VERSION in apk-package(5), src/version.c of apk-tools). Where two versions differ in the kind of their next pieces, the
// one whose kind comes earlier is newer.
type apkKind int

const (
	apkFirst    apkKind = iota // the first number
	apkNumber                  // a number after a dot
	apkLetter                  // one letter
	apkSuffix                  // a word after "_"
	apkSuffixNo                // the number of a suffix
	apkHash                    // hexadecimal digits after "~"
	apkRevision                // the number after "-r"
	apkEnd
	apkInvalid
)

// apkSuffixes in their order; those before noSuffix mark what comes before a release.
var apkSuffixes = []string{"alpha", "beta", "pre", "rc", noSuffix, "cvs", "svn", "git", "hg", "p"}

const noSuffix = ""

// apkPiece is one piece of a version.
type apkPiece struct {
	kind apkKind
	text string
}

// compareAPK compares piece by piece until two differ.
func compareAPK(a, b string) int {
	x, y := apkPiece{}, apkPiece{}
	x.text, a = cut(a, digits(a))
	y.text, b = cut(b, digits(b))
	for x.kind == y.kind && x.kind < apkEnd {
		if c := x.compare(y); c != 0 {
			return c
		}
		x, a = nextAPK(x.kind, a)
		y, b = nextAPK(y.kind, b)
	}
	switch {
	case x.kind == y.kind:
		return 0
	case x.preRelease():
		return -1
	case y.preRelease():
		return 1
	}
	return cmp.Compare(y.kind, x.kind)
}

func cut(s string, n int) (before, after string) { return s[:n], s[n:] }

func (p apkPiece) preRelease() bool {
	return p.kind == apkSuffix && slices.Index(apkSuffixes, p.text) < slices.Index(apkSuffixes, noSuffix)
}

// compare compares two pieces of one kind. Numbers after a dot with a leading zero are fractions, and compared as text.
func (p apkPiece) compare(q apkPiece) int {
	switch p.kind {
	case apkNumber:
		if strings.HasPrefix(p.text, "0") || strings.HasPrefix(q.text, "0") {
			return cmp.Compare(p.text, q.text)
		}
		return compareNumbers(p.text, q.text)
	case apkFirst, apkSuffixNo, apkRevision:
		return compareNumbers(p.text, q.text)
	case apkSuffix:
		return cmp.Compare(slices.Index(apkSuffixes, p.text), slices.Index(apkSuffixes, q.text))
	}
	return cmp.Compare(p.text, q.text)
}

// nextAPK takes the piece that follows one of kind before.
func nextAPK(before apkKind, s string) (apkPiece, string) {
	if s == "" {
		return apkPiece{kind: apkEnd}, ""
	}
	kind, skip := apkInvalid, 0
	switch c := s[0]; {
	case c == '.' && before <= apkNumber:
		kind, skip = apkNumber, 1
	case isDigit(c) && before == apkSuffix:
		kind = apkSuffixNo
	case 'a' <= c && c <= 'z' && before <= apkNumber:
		kind = apkLetter
	case c == '_' && before <= apkSuffixNo:
		kind, skip = apkSuffix, 1
	case c == '~' && before < apkHash:
		kind, skip = apkHash, 1
	case strings.HasPrefix(s, "-r") && before < apkRevision:
		kind, skip = apkRevision, len("-r")
	}
	s = s[skip:]
	n := apkLength(kind, s)
	if n == 0 || kind == apkSuffix && !slices.Contains(apkSuffixes, s[:n]) {
		return apkPiece{kind: apkInvalid}, s
	}
	return apkPiece{kind, s[:n]}, s[n:]
}

// apkLength is how long the piece is that s begins with.
func apkLength(k apkKind, s string) int {
	switch k {
	case apkLetter:
		return 1
	case apkSuffix:
		return span(s, func(c byte) bool { return 'a' <= c && c <= 'z' })
	case apkHash:
		return span(s, func(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' })
	case apkNumber, apkSuffixNo, apkRevision:
		return digits(s)
	}
	return 0
}
