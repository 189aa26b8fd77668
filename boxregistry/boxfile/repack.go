package boxfile

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

// homeFiles are what Vagrant itself puts into the folder of a box that it has unpacked: when it last looked for updates, and
// the machine that linked clones come from.
var homeFiles = map[string]bool{"box_update_check": true, "master_id": true, "master_id.lock": true}

// Repack writes a box from a folder that holds the contents of one, as Vagrant keeps it after it was added. metadata.json
// and all other files go in as they are, whatever they say; the bytes depend on nothing but them and the level, so that the
// same folder is the same box each time. It is not the file that was once unpacked: that had another compressor. Errors
// wrap ErrInvalid when the folder is no box.
func Repack(ctx context.Context, w io.Writer, dir string, o Options) (Result, error) {
	files, err := contents(dir)
	if err != nil {
		return Result{}, err
	}
	sum := &digest{w: w, hash: sha256.New()}
	z, err := newCompressor(sum, o)
	if err != nil {
		return Result{}, err
	}
	b := boxWriter{ctx: ctx, tar: tar.NewWriter(z), buf: make([]byte, blockSize), progress: o.Progress}
	err = b.measure(files)
	for _, f := range files {
		if err == nil {
			err = b.file(f)
		}
	}
	if err == nil {
		err = b.tar.Close()
	}
	err = errors.Join(err, z.Close()) // always, because it ends goroutines
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	if err = errors.Join(sum.err, err); err != nil {
		return Result{}, fmt.Errorf("pack %q: %w", dir, err)
	}
	return Result{SHA256: hex.EncodeToString(sum.hash.Sum(nil)), Size: sum.size, Unpacked: b.unpacked}, nil
}

// contents lists the files of an unpacked box, metadata.json and the other small ones first.
func contents(dir string) ([]File, error) {
	first := []string{MetadataName, VagrantfileName, InfoName}
	rank := func(f File) int {
		if i := slices.Index(first, f.Name); i >= 0 {
			return i
		}
		return len(first)
	}
	var files []File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || homeFiles[d.Name()] {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err == nil {
			err = checkName(filepath.ToSlash(rel), defaultLimits.Name)
		}
		if err == nil && !d.Type().IsRegular() {
			err = fmt.Errorf("%q is neither a file nor a folder", path)
		}
		files = append(files, File{Name: filepath.ToSlash(rel), Path: path})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	slices.SortStableFunc(files, func(a, b File) int { return rank(a) - rank(b) }) // WalkDir goes in the order of names
	if len(files) == 0 || files[0].Name != MetadataName {
		return nil, fmt.Errorf("%w: %q has no %s", ErrInvalid, dir, MetadataName)
	}
	return files, nil
}
