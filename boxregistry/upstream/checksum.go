package upstream

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"regexp"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// hashes are the algorithms that Vagrant knows (lib/vagrant/util/file_checksum.rb).
var hashes = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// bsdLine is what `sha256sum --tag` and the BSDs write: "SHA256 (debian.box) = 9f86...".
var bsdLine = regexp.MustCompile(`^([A-Za-z0-9-]+) \(.*\) = ([0-9A-Fa-f]+)$`)

// ParseChecksum reads a checksum as catalogs in the wild have it: the type in any case ("SHA256" was shipped by HCP), the
// value with blanks, in upper case, as a line of sha256sum with the file's name, or with "sha256:" before it. Without a
// type the length tells it. No value, or the types "NONE" and "UNSET" of HCP, is the zero checksum.
func ParseChecksum(kind, value string) (boxregistry.Checksum, error) {
	kind = foldType(kind)
	if m := bsdLine.FindStringSubmatch(strings.TrimSpace(value)); m != nil {
		value = foldType(m[1]) + ":" + m[2]
	}
	fields := strings.Fields(value)
	if len(fields) == 0 || kind == "none" || kind == "unset" {
		return boxregistry.Checksum{}, nil
	}
	digits := strings.ToLower(fields[0])
	if prefix, rest, ok := strings.Cut(digits, ":"); ok {
		if kind != "" && kind != prefix {
			return boxregistry.Checksum{}, fmt.Errorf("checksum %q is not of the type %q", fields[0], kind)
		}
		kind, digits = prefix, rest
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return boxregistry.Checksum{}, fmt.Errorf("checksum %.80q: want hexadecimal digits", value)
	}
	if kind == "" {
		kind = typeOfLength(len(raw))
	}
	sum, ok := hashes[kind]
	if !ok {
		return boxregistry.Checksum{}, fmt.Errorf("checksum type %q: want md5, sha1, sha256, sha384 or sha512", kind)
	}
	if want := sum().Size(); len(raw) != want {
		return boxregistry.Checksum{}, fmt.Errorf("checksum %q has %d digits, and %s has %d", digits, len(digits), kind, 2*want)
	}
	return boxregistry.Checksum{Type: kind, Hex: digits}, nil
}

func foldType(s string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(s)), "-", "")
}

// typeOfLength is the type whose sums have that many bytes.
func typeOfLength(n int) string {
	for kind, sum := range hashes {
		if sum().Size() == n {
			return kind
		}
	}
	return ""
}

// ChecksumError says that the bytes which came are not those that were announced. It is a boxregistry.ErrChecksum.
type ChecksumError struct {
	Announced, Got boxregistry.Checksum
}

// Error implements error.
func (e *ChecksumError) Error() string {
	return fmt.Sprintf("the %s that came is %s, and %s was announced", e.Got.Type, e.Got.Hex, e.Announced.Hex)
}

// Unwrap makes it a boxregistry.ErrChecksum.
func (e *ChecksumError) Unwrap() error { return boxregistry.ErrChecksum }

// check hashes bytes and compares them with what was announced; without an announcement everything is right.
type check struct {
	want boxregistry.Checksum
	sum  hash.Hash // nil without an announcement
}

func newCheck(want boxregistry.Checksum) check {
	if want.Type == "" {
		return check{}
	}
	return check{want, hashes[want.Type]()}
}

// Write implements io.Writer.
func (c check) Write(p []byte) (int, error) {
	if c.sum != nil {
		c.sum.Write(p)
	}
	return len(p), nil
}

func (c check) verify() error {
	if c.sum == nil {
		return nil
	}
	if got := hex.EncodeToString(c.sum.Sum(nil)); got != c.want.Hex {
		return &ChecksumError{c.want, boxregistry.Checksum{Type: c.want.Type, Hex: got}}
	}
	return nil
}
