package main

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// piece is how much of the disk is written at once; three times as much is left out after it.
const piece = 8 << 20

// makeDisk writes the disk, always the same one, unless an earlier run left it.
func makeDisk(path string, size int64) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsx.Create(path, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	source, data := rand.NewChaCha8([32]byte{}), make([]byte, piece)
	for at := int64(0); at+piece <= size; at += 4 * piece {
		_, _ = source.Read(data) // never fails
		if _, err := f.WriteAt(data, at); err != nil {
			return err
		}
	}
	return f.Commit()
}
