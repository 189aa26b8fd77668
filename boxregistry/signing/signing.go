// Package signing signs what a registry publishes of its own builds, in the format of minisign
// (https://jedisct1.github.io/minisign/), so that anybody can check it without this program.
//
// [Load] reads the registry's [Key], or makes it at first use. What is signed is not the file but its BLAKE2b-512, which
// [NewHash] computes while the file is written; [Key.Sign] signs that together with a comment, which says what the file is.
// The two halves are signed one after the other, so [Key.Recomment] can say of the same bytes that they are something else too,
// without reading them again. [PublicKey.Check] checks a file in one pass. Signatures that are kept one behind the other are
// found by their comments: [Find].
package signing

import (
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"

	"aead.dev/minisign"
	"golang.org/x/crypto/blake2b"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// Extension is what is put behind a file's name to name its signature.
const Extension = ".minisig"

// ErrSignature says that a signature is not one of that key over those bytes.
var ErrSignature = errors.New("the signature does not hold")

// Key signs. Its methods may be called from several goroutines.
type Key struct {
	private minisign.PrivateKey
	public  PublicKey
}

// NewKey makes a key pair.
func NewKey() (*Key, error) {
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("make a key pair: %w", err)
	}
	return &Key{private, PublicKey{public}}, nil
}

// Load reads the secret key at path, in minisign's own format and without a password, or makes one there that only its owner
// can read. A file that others can read is refused.
func Load(path string) (*Key, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return create(path)
	case err != nil:
		return nil, err
	case info.Mode().Perm()&^layout.SecretMode != 0:
		return nil, fmt.Errorf("the signing key %s can be read by others (mode %#o): if nobody has, chmod 600 it; else remove it, and a new one is made", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k := &Key{}
	if err := k.private.UnmarshalText([]byte(strings.TrimSpace(string(text)))); err != nil {
		return nil, fmt.Errorf("the signing key %s cannot be used: %w; want one that minisign -G -W made, or none", path, err)
	}
	k.public.key = k.private.Public().(minisign.PublicKey)
	return k, nil
}

func create(path string) (*Key, error) {
	k, err := NewKey()
	if err != nil {
		return nil, err
	}
	text, err := k.private.MarshalText()
	if err != nil {
		return nil, err
	}
	return k, fsx.WriteFile(path, append(text, '\n'), layout.SecretMode)
}

// Public is the key that checks what k signs.
func (k *Key) Public() PublicKey { return k.public }

// NewHash computes what Sign signs: write the file to it.
func NewHash() hash.Hash {
	h, err := blake2b.New512(nil)
	if err != nil {
		panic(err) // only a key that is too long can be wrong
	}
	return h
}

// Sign makes the text of a signature file over what was written to h. The comment is one line; it is signed too.
func (k *Key) Sign(h hash.Hash, comment string) ([]byte, error) {
	text, err := k.private.Sign(nil, h.Sum(nil), crypto.BLAKE2b_512)
	if err != nil {
		return nil, err
	}
	return k.Recomment(text, comment)
}

// SignBytes signs a file that is in memory.
func (k *Key) SignBytes(data []byte, comment string) ([]byte, error) {
	h := NewHash()
	h.Write(data)
	return k.Sign(h, comment)
}

// Recomment gives a signature of this key another comment. It returns ErrSignature for what this key did not sign.
func (k *Key) Recomment(signature []byte, comment string) ([]byte, error) {
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if s.KeyID != k.private.ID() {
		return nil, fmt.Errorf("%w: it is of the key %016X, and this is %s", ErrSignature, s.KeyID, k.public.ID())
	}
	if strings.ContainsAny(comment, "\r\n") {
		return nil, fmt.Errorf("comment %q: want one line", comment)
	}
	// The comment is signed together with the signature of the file, unhashed.
	text, err := k.private.Sign(nil, append(s.Signature[:], comment...), crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	var global minisign.Signature
	if err := global.UnmarshalText(text); err != nil {
		return nil, err
	}
	s.TrustedComment, s.CommentSignature = comment, global.Signature
	s.UntrustedComment = "signature from boxkiln's key " + k.public.ID()
	return s.MarshalText()
}

// PublicKey checks signatures. The zero value is no key.
type PublicKey struct{ key minisign.PublicKey }

// ParsePublicKey reads a public key: the text of a minisign.pub file, or its line of base64 alone.
func ParsePublicKey(text string) (PublicKey, error) {
	var p PublicKey
	if err := p.key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return PublicKey{}, fmt.Errorf("%.80q is not a public key of minisign: %w; want a line that begins with RW, or the file that has it", text, err)
	}
	return p, nil
}

// ID is the number by which signatures name the key, in hexadecimal as minisign shows it.
func (p PublicKey) ID() string { return fmt.Sprintf("%016X", p.key.ID()) }

// String is the key in base64, as minisign -P takes it.
func (p PublicKey) String() string { return p.key.String() }

// File is the text of a minisign.pub file.
func (p PublicKey) File() string {
	return "untrusted comment: minisign public key " + p.ID() + "\n" + p.String() + "\n"
}

// Check reads r to its end and checks that signature is this key's, over what r holds and over its comment, which it returns.
// The error wraps ErrSignature unless r could not be read.
func (p PublicKey) Check(r io.Reader, signature []byte) (comment string, err error) {
	message := minisign.NewReader(r)
	if _, err := io.Copy(io.Discard, message); err != nil {
		return "", err
	}
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return "", fmt.Errorf("%w: it is not in minisign's format: %w", ErrSignature, err)
	}
	if s.KeyID != p.key.ID() {
		return "", fmt.Errorf("%w: it was made with the key %016X, and the key to check with is %s", ErrSignature, s.KeyID, p.ID())
	}
	if s.Algorithm != minisign.HashEdDSA || !message.Verify(p.key, signature) {
		return "", fmt.Errorf("%w: the file or the comment is not what the key %s signed", ErrSignature, p.ID())
	}
	return s.TrustedComment, nil
}
