package boxfile

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// ExtractDisks writes the disks of a libvirt box into dir, which must exist, and returns their paths in the order of
// the box's metadata. Files get names of ours, never one from the archive. The box should have passed Inspect; what
// only Inspect checks is not checked again. On an error nothing is left in dir.
func ExtractDisks(ctx context.Context, r io.Reader, dir string) (disks []string, err error) {
	x := extractor{dir: dir, paths: map[string]string{}}
	defer func() {
		if err != nil {
			for _, path := range x.paths {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	src := &source{ctx: ctx, r: r, hash: sha256.New()}
	plain, _, err := decompress(src, defaultLimits.Window)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	if err := x.read(tar.NewReader(plain)); err != nil {
		if src.err != nil {
			err = src.err
		}
		return nil, fmt.Errorf("unpack the box: %w", err)
	}
	return x.ordered()
}

type extractor struct {
	dir      string
	metadata Metadata
	paths    map[string]string // by name in the box
}

func (x *extractor) read(archive *tar.Reader) error {
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := x.entry(filepath.ToSlash(filepath.Clean(h.Name)), archive); err != nil {
			return err
		}
	}
}

func (x *extractor) entry(name string, body io.Reader) error {
	if name == MetadataName {
		data, err := io.ReadAll(io.LimitReader(body, defaultLimits.Metadata))
		if err != nil {
			return err
		}
		x.metadata, err = parseMetadata(data)
		return err
	}
	buffered := bufio.NewReader(body)
	head, err := buffered.Peek(disk.QCOW2HeaderSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if disk.FormatOf(head) != disk.QCOW2 {
		return nil // not a disk; Next skips the rest
	}
	path := filepath.Join(x.dir, "disk-"+strconv.Itoa(len(x.paths))+".qcow2")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	x.paths[name] = path
	_, err = io.Copy(f, buffered)
	return errors.Join(err, f.Close())
}

// ordered lists the disks as metadata.json does.
func (x *extractor) ordered() ([]string, error) {
	names := []string{"box.img"}
	if len(x.metadata.Disks) > 0 {
		names = nil
		for _, d := range x.metadata.Disks {
			names = append(names, d.Path)
		}
	}
	var disks []string
	for _, name := range names {
		path, ok := x.paths[name]
		if !ok {
			return nil, fmt.Errorf("%w: the box has no disk %q", ErrInvalid, name)
		}
		disks = append(disks, path)
	}
	return disks, nil
}
