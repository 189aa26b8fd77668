package boxfile

import (
	"context"
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
// and all other files go in as they are; the bytes depend on nothing but them and the level, so that the same folder is the
// same box each time. It is not the file that was once unpacked: that had another compressor. Errors wrap ErrInvalid when
// the folder is no box, or not a good one.
func Repack(ctx context.Context, w io.Writer, dir string, o Options) (Summary, error) {
	files, err := contents(dir)
	if err != nil {
		return Summary{}, err
	}
	out, err := writeBox(ctx, w, o, func(b *boxWriter) error {
		if err := b.measure(files); err != nil {
			return err
		}
		return b.files(files)
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%q: %w", dir, err)
	}
	return out, err
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
