package daemon

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// vault seals the secrets of builds with a key that lies in the data directory, readable by its owner only: a copy of a
// build's folder alone reveals nothing.
type vault struct {
	aead cipher.AEAD
	// fingerprints is the key under which secrets enter fingerprints.
	fingerprints []byte
	// links is the key under which URLs of private boxes are signed.
	links []byte
}

const keySize = 32

// openVault reads the key at path, or makes one.
func openVault(path string) (*vault, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, keySize)
		rand.Read(key) // never fails: crypto/rand
		err = fsx.WriteFile(path, key, 0o600)
	}
	if err != nil {
		return nil, err
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("%s holds %d bytes instead of %d: restore it from a backup, or remove it and lose what it sealed", path, len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	fingerprints, err := hkdf.Key(sha256.New, key, nil, "boxkiln fingerprints", keySize)
	if err != nil {
		return nil, err
	}
	links, err := hkdf.Key(sha256.New, key, nil, "boxkiln download links", keySize)
	return &vault{aead, fingerprints, links}, err
}

// seal makes bytes unreadable without the key.
func (v *vault) seal(plain []byte) ([]byte, error) { return v.aead.Seal(nil, nil, plain, nil), nil }

// open reverses seal.
func (v *vault) open(sealed []byte) ([]byte, error) {
	plain, err := v.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("it was sealed with another key: %w", err)
	}
	return plain, nil
}

// write seals values into the file at path.
func (v *vault) write(path string, values []string) error {
	data, err := json.Marshal(values)
	if err != nil {
		return err
	}
	sealed, err := v.seal(data)
	if err != nil {
		return err
	}
	return fsx.WriteFile(path, sealed, 0o600)
}

// read opens what write sealed.
func (v *vault) read(path string) ([]string, error) {
	sealed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	data, err := v.open(sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var values []string
	err = json.Unmarshal(data, &values)
	return values, err
}
