package fs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

var _ blob.Adopter = (*Store)(nil)

// Adopt implements blob.Adopter by a rename.
func (s *Store) Adopt(ctx context.Context, path string, d blob.Digest) (blob.Info, error) {
	if err := context.Cause(ctx); err != nil {
		return blob.Info{}, err
	}
	name, err := s.path(d)
	if err != nil {
		return blob.Info{}, err
	}
	if err := settle(path); err != nil {
		return blob.Info{}, fmt.Errorf("adopt blob %s: %w", d, spaceError(err))
	}
	unlock, err := s.locks.Lock(ctx, d)
	if err != nil {
		return blob.Info{}, err
	}
	defer unlock()
	if err := s.place(path, name); errors.Is(err, syscall.EXDEV) {
		return blob.Info{}, fmt.Errorf("adopt blob %s: %w: %q is on another file system", d, errors.ErrUnsupported, path)
	} else if err != nil {
		return blob.Info{}, fmt.Errorf("adopt blob %s: %w", d, spaceError(err))
	}
	if err := fsx.SyncDir(filepath.Dir(name)); err != nil {
		return blob.Info{}, err
	}
	return s.Stat(context.WithoutCancel(ctx), d)
}

// settle makes a file what a blob is: read-only and on the disk.
func settle(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o444), f.Sync(), f.Close())
}
