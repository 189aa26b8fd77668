package upload

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// sums are the checksums that Vagrant knows (Vagrant's util/file_checksum.rb). MD5 and SHA-1 prove nothing, but whoever
// announces one is held to it.
var sums = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha384": sha512.New384, "sha512": sha512.New}

// newSum is the hash of what was announced; nil when nothing was, or the sha256, which everything has.
func newSum(c boxregistry.Checksum) (hash.Hash, error) {
	if c.Hex == "" || c.Type == "sha256" {
		return nil, nil
	}
	make, ok := sums[c.Type]
	if !ok {
		return nil, fmt.Errorf("%w: it was announced by the checksum type %q: use md5, sha1, sha256, sha384 or sha512", boxregistry.ErrChecksum, c.Type)
	}
	return make(), nil
}

// checkSum compares what came, whose sha256 is known, with what was announced.
func checkSum(c boxregistry.Checksum, sha256 string, h hash.Hash) error {
	if c.Hex == "" {
		return nil
	}
	got := sha256
	if h != nil {
		got = hex.EncodeToString(h.Sum(nil))
	}
	if !strings.EqualFold(got, c.Hex) {
		return fmt.Errorf("%w: %s %s came, and %s was announced", boxregistry.ErrChecksum, c.Type, got, c.Hex)
	}
	return nil
}

// agree makes the file of a good box for a place. The place has the last word about the architecture of a box that names
// none, and the box about that of a place that knows none; otherwise they must say the same, and so must the providers,
// because Vagrant refuses a box whose metadata.json names another one than the catalog (box_collection.rb).
func agree(p boxregistry.Publication, s boxfile.Summary) (boxregistry.Publication, error) {
	if got := boxregistry.Provider(s.Metadata.Provider); got != p.File.Provider {
		return p, invalid("its metadata.json names the provider %q, and this is the place of a %s box", got, p.File.Provider)
	}
	if s.Metadata.Architecture != "" {
		a, err := boxregistry.ParseArchitecture(s.Metadata.Architecture)
		switch {
		case err != nil:
			return p, invalid("its metadata.json: %v", err)
		case p.File.Architecture == boxregistry.UnknownArchitecture:
			p.File.Architecture, p.DeclaredAs = a, boxregistry.UnknownArchitecture
		case a != p.File.Architecture:
			return p, invalid("its metadata.json names the architecture %q, and this is the place of a box for %s", a, p.File.Architecture)
		}
	}
	p.File.Digest, p.File.Size = blob.Digest(s.SHA256), s.Size
	p.File.UnpackedSize, p.File.VirtualSize = s.Unpacked, s.VirtualSize
	return p, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", boxfile.ErrInvalid, fmt.Errorf(format, args...))
}

// stays says whether the architecture of a place without one has to stay unknown: others of the box are.
func stays(err error) bool { return errors.Is(err, boxregistry.ErrArchitectureMix) }
