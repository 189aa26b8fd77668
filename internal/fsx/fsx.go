// Package fsx makes files appear whole or not at all.
//
// A file is created under a temporary name in the directory where it will live, written, synced, renamed and then
// the directory itself is synced. A crash at any point leaves either the old file or the new one, plus at most a
// temporary file whose name starts with TempPrefix, which [Sweep] removes. A large file is on its way to the disk while it is
// still being written, so that the sync has little left to wait for.
package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TempPrefix starts the name of every unfinished file, so that a sweep can tell it from finished ones.
const TempPrefix = ".part-"

// File is a file that does not exist under its own name until Commit.
type File struct {
	*Eager
	path      string
	committed bool
}

// Create opens an unfinished file that will be called path with permission perm. The directory must exist.
func Create(path string, perm fs.FileMode) (*File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), TempPrefix+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(perm); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return &File{Eager: newEager(f), path: path}, nil
}

// Commit syncs the content, gives the file its name and syncs the directory. It replaces a file of the same name.
func (f *File) Commit() error {
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", f.path, err)
	}
	if err := f.Place(); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(f.path))
}

// Place gives the file its name without a sync: for what nobody misses after a crash of the host. Sync makes up for it.
func (f *File) Place() error {
	if err := f.File.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	f.committed = true
	return nil
}

// Close throws the unfinished file away. After Commit or Place it does nothing, so it can be deferred.
func (f *File) Close() error {
	if f.committed {
		return nil
	}
	f.committed = true
	err := f.File.Close()
	if errors.Is(err, fs.ErrClosed) { // Place closed it and failed to rename
		err = nil
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// WriteFile makes path hold data, atomically and durably.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// Sync makes a file and its name durable.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sweep removes the unfinished files that a crash left directly in dir. Call it before anybody writes there.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), TempPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
