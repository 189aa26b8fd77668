package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// Identity is everything by which a file of a box is called, and its bytes.
type Identity struct {
	Box          boxregistry.Name
	Version      boxregistry.Version
	Provider     boxregistry.Provider
	Architecture boxregistry.Architecture
	Digest       blob.Digest
}

// String is the identity as the comments of signatures have it:
// "ops/debian12 1.2.0 libvirt amd64 sha256:3f2a...".
func (i Identity) String() string {
	return fmt.Sprintf("%s %s %s %s sha256:%s", i.Box, i.Version, i.Provider, i.Architecture, i.Digest)
}

// aboutProvenance begins the comment of a statement's signature, so that it is never taken for that of a box.
const aboutProvenance = "provenance of "

// BoxComment is the comment of the signature of the box.
func (i Identity) BoxComment() string { return i.String() }

// StatementComment is the comment of the signature of the statement.
func (i Identity) StatementComment() string { return aboutProvenance + i.String() }

// ParseIdentity reads what String wrote.
func ParseIdentity(text string) (Identity, error) {
	f := strings.Split(text, " ")
	if len(f) != 5 {
		return Identity{}, fmt.Errorf("%.200q does not name a file of a box: want \"org/box version provider architecture sha256:digest\"", text)
	}
	hexDigits, hasSum := strings.CutPrefix(f[4], "sha256:")
	var i Identity
	var errs [5]error
	i.Box, errs[0] = boxregistry.ParseName(f[0])
	i.Version, errs[1] = boxregistry.ParseVersion(f[1])
	i.Provider, errs[2] = boxregistry.ParseProvider(f[2])
	i.Architecture, errs[3] = boxregistry.ParseArchitecture(f[3])
	i.Digest, errs[4] = blob.ParseDigest(hexDigits)
	for _, err := range errs {
		if err != nil {
			return Identity{}, fmt.Errorf("%.200q does not name a file of a box: %w", text, err)
		}
	}
	if !hasSum || i.String() != text {
		return Identity{}, fmt.Errorf("%.200q does not name a file of a box", text)
	}
	return i, nil
}

// resource is the identity as the subject of a statement.
func (i Identity) resource() Resource {
	return Resource{Name: strings.Join([]string{i.Box.String(), i.Version.String(), string(i.Provider), string(i.Architecture)}, "/"),
		Digest: Digest{SHA256: string(i.Digest)}}
}

// Identity is what a statement is about. The error wraps ErrStatement.
func (s Statement) Identity() (Identity, error) {
	e := s.Predicate.BuildDefinition.External
	i, err := ParseIdentity(fmt.Sprintf("%s %s %s %s sha256:%s", e.Box, e.Version, e.Provider, e.Architecture, s.Subject[0].Digest.SHA256))
	if err != nil {
		return i, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if s.Subject[0].Name != i.resource().Name {
		return i, fmt.Errorf("%w: the subject is %.200q and the parameters are of %s", ErrStatement, s.Subject[0].Name, i)
	}
	return i, nil
}

// sum is the sha256 in hexadecimal.
func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}
