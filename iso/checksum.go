package iso

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// Algorithm names a hash function as Packer's iso_checksum does.
type Algorithm string

// The algorithms that iso_checksum knows.
const (
	MD5    Algorithm = "md5"
	SHA1   Algorithm = "sha1"
	SHA256 Algorithm = "sha256"
	SHA512 Algorithm = "sha512"
)

// algorithms in rising strength: where a checksum file gives several digests of one file, the strongest counts.
var algorithms = []Algorithm{MD5, SHA1, SHA256, SHA512}

// New is a fresh hash. The algorithm must be one of the constants.
func (a Algorithm) New() hash.Hash {
	switch a {
	case MD5:
		return md5.New()
	case SHA1:
		return sha1.New()
	case SHA512:
		return sha512.New()
	default:
		return sha256.New()
	}
}

// Digest is the hash of a file: an algorithm and lower-case hex.
type Digest struct {
	Algorithm Algorithm `json:"algorithm"`
	Hex       string    `json:"hex"`
}

// String is the digest in the form of iso_checksum, such as sha256:9f86d0….
func (d Digest) String() string { return string(d.Algorithm) + ":" + d.Hex }

// Checksum is what iso_checksum says: a digest, a file to look the digest up in, or nothing at all.
type Checksum struct {
	Digest Digest // the declared digest, if it was given directly
	File   string // URL or path of a checksum file, if the value began with "file:"
}

// None reports that the medium is not to be verified.
func (c Checksum) None() bool { return c == Checksum{} }

// ParseChecksum reads any form of iso_checksum that Packer takes. It does no I/O.
func ParseChecksum(s string) (Checksum, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Checksum{}, errors.New("missing: give a digest such as \"sha256:…\", \"file:URL-or-path\" of a checksum file, or \"none\"")
	}
	if strings.EqualFold(s, "none") {
		return Checksum{}, nil
	}
	kind, value, typed := strings.Cut(s, ":")
	if !typed {
		d, err := digestByLength(s)
		return Checksum{Digest: d}, err
	}
	if strings.EqualFold(kind, "file") {
		return parseChecksumFile(value)
	}
	d, err := newDigest(Algorithm(strings.ToLower(kind)), value)
	return Checksum{Digest: d}, err
}

func parseChecksumFile(ref string) (Checksum, error) {
	if ref == "" {
		return Checksum{}, errors.New("\"file:\" names no checksum file: write file:URL or file:path")
	}
	if strings.HasSuffix(strings.ToLower(ref), ".iso") {
		return Checksum{}, errors.New("\"file:\" names an .iso: it takes the file that lists checksums, such as SHA256SUMS")
	}
	if _, err := parseLocation(ref, ""); err != nil {
		return Checksum{}, err
	}
	return Checksum{File: ref}, nil
}

func newDigest(a Algorithm, value string) (Digest, error) {
	if !slices.Contains(algorithms, a) {
		return Digest{}, fmt.Errorf("unknown type %q: use md5, sha1, sha256, sha512, file or none", string(a))
	}
	value = strings.ToLower(strings.TrimSpace(value))
	if _, err := hex.DecodeString(value); err != nil {
		return Digest{}, fmt.Errorf("%q is not hexadecimal", value)
	}
	if want := a.New().Size() * 2; len(value) != want {
		return Digest{}, fmt.Errorf("%q has %d characters, a %s digest has %d", value, len(value), a, want)
	}
	return Digest{Algorithm: a, Hex: value}, nil
}

// digestByLength finds the algorithm of a bare digest by its length.
func digestByLength(value string) (Digest, error) {
	for _, a := range algorithms {
		if len(value) == a.New().Size()*2 {
			return newDigest(a, value)
		}
	}
	return Digest{}, fmt.Errorf("%q has %d characters, so it is no md5 (32), sha1 (40), sha256 (64) or sha512 (128) digest; "+
		"a checksum file is named with \"file:\", no verification with \"none\"", value, len(value))
}
