package sshguest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// KeyPair is a key made for one build.
type KeyPair struct {
	PrivatePEM    []byte // in OpenSSH's format
	AuthorizedKey string // one line for authorized_keys, without the newline
}

// GenerateKey makes a key pair of a type: "ed25519" (also for ""), "rsa" (2048 bits or more, 4096 for 0) or "ecdsa" (256,
// 384 or 521 bits, 521 for 0).
func GenerateKey(typ string, bits int) (KeyPair, error) {
	private, err := generate(typ, bits)
	if err != nil {
		return KeyPair{}, err
	}
	const comment = "boxkiln temporary key"
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return KeyPair{}, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return KeyPair{}, err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return KeyPair{PrivatePEM: pem.EncodeToMemory(block), AuthorizedKey: line + " " + comment}, nil
}

func generate(typ string, bits int) (crypto.Signer, error) {
	switch typ {
	case "", "ed25519":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case "rsa":
		if bits == 0 {
			bits = 4096
		}
		if bits < 2048 || bits > 16384 {
			return nil, fmt.Errorf("temporary_key_pair_bits: an rsa key of %d bits cannot be made; use 2048 to 16384", bits)
		}
		return rsa.GenerateKey(rand.Reader, bits)
	case "ecdsa":
		curve, err := curveOf(bits)
		if err != nil {
			return nil, err
		}
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
	return nil, fmt.Errorf("temporary_key_pair_type %q is not supported; use \"ed25519\", \"rsa\" or \"ecdsa\"", typ)
}

func curveOf(bits int) (elliptic.Curve, error) {
	switch bits {
	case 256:
		return elliptic.P256(), nil
	case 384:
		return elliptic.P384(), nil
	case 0, 521:
		return elliptic.P521(), nil
	}
	return nil, fmt.Errorf("temporary_key_pair_bits: an ecdsa key of %d bits cannot be made; use 256, 384 or 521", bits)
}
