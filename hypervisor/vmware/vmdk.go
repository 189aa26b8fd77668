package vmware

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor/disk/vmdk"
)

// diskImage is what the driver must know of a disk's file.
type diskImage struct {
	vmdk.Descriptor
	size int64 // that the guest sees, in bytes
	// whole says that the descriptor is in the file, which is all of the disk then, whatever it calls itself.
	whole bool
}

const (
	sectorSize    = 512
	maxDescriptor = 1 << 20 // bytes
)

// inspect reads the descriptor of a disk: the file itself, or in the file of a growable disk.
func inspect(path string) (diskImage, error) {
	f, err := os.Open(path)
	if err != nil {
		return diskImage{}, err
	}
	defer f.Close()
	d, err := readImage(f)
	if err != nil {
		return d, fmt.Errorf("disk %s: %w", path, err)
	}
	return d, nil
}

// readImage reads the descriptor of a disk from its beginning. Format: VMware's Virtual Disk Format 5.0.
func readImage(r io.Reader) (diskImage, error) {
	head := make([]byte, sectorSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return diskImage{}, err
	}
	text := io.MultiReader(bytes.NewReader(head[:n]), r)
	size := int64(maxDescriptor)
	whole := string(head[:4]) == "KDMV"
	if whole {
		offset := sectorSize * int64(binary.LittleEndian.Uint64(head[28:]))
		size = sectorSize * int64(binary.LittleEndian.Uint64(head[36:]))
		if offset < sectorSize || size <= 0 || size > maxDescriptor || offset > maxDescriptor {
			return diskImage{}, errors.New("it has no descriptor of its own: name the file that describes it, not one of its parts")
		}
		if _, err := io.CopyN(io.Discard, r, offset-sectorSize); err != nil {
			return diskImage{}, err
		}
		text = r
	}
	b, err := io.ReadAll(io.LimitReader(text, size))
	if err != nil {
		return diskImage{}, err
	}
	d, err := vmdk.ParseDescriptor(b)
	if err != nil {
		return diskImage{}, err
	}
	i := diskImage{Descriptor: d, whole: whole}
	for _, e := range d.Extents {
		if e.Sectors < 0 || e.Sectors > (math.MaxInt64-i.size)/sectorSize {
			return diskImage{}, errors.New("it has an impossible size")
		}
		i.size += e.Sectors * sectorSize
	}
	return i, nil
}

// noParent is the ParentCID of a disk that stands on no other.
const noParent = 0xffffffff

// linked tells a disk that stands on another one.
func (i diskImage) linked() bool { return i.ParentCID != noParent }

// plain tells a disk whose file can be copied: all of it is in one growable file.
func (i diskImage) plain() bool { return i.CreateType == "monolithicSparse" && !i.linked() }

// The kinds of disks, as vmware-vdiskmanager -t has them.
const typeSparse = 0

// copyDisk writes a disk, and all that it stands on, as another of the kind typ.
func (t tools) copyDisk(ctx context.Context, src, dst string, typ int, report func(done, total int64)) error {
	d, err := inspect(src)
	if err != nil {
		return err
	}
	if d.plain() && typ == typeSparse {
		return copyFile(ctx, dst, src, report)
	}
	_, err = t.run(ctx, diskManager, "-r", []string{"-r", src, "-t", strconv.Itoa(typ), dst}, percentOf(d.size, report))
	return err
}

// createDisk makes an empty working disk.
func (t tools) createDisk(ctx context.Context, path string, size int64, adapter string) error {
	const mib = 1 << 20
	if adapter != "ide" && adapter != "buslogic" {
		adapter = "lsilogic" // the tool has no word for the others, whose disks are no different
	}
	_, err := t.run(ctx, diskManager, "-c", []string{"-c", "-s", fmt.Sprintf("%dM", (size+mib-1)/mib), "-a", adapter, "-t", strconv.Itoa(typeSparse), path}, nil)
	return err
}

// compact drops from a growable disk what the guest does not use.
func (t tools) compact(ctx context.Context, path string) error {
	for _, verb := range []string{"-d", "-k"} {
		if _, err := t.run(ctx, diskManager, verb, []string{verb, path}, nil); err != nil {
			return err
		}
	}
	return nil
}

// copyStep is how much of a file is copied between two looks at the context, in bytes.
const copyStep = 64 << 20

// copyFile copies a file; on one file system that can, without moving its bytes. What it has written of a file is removed when it fails.
func copyFile(ctx context.Context, dst, src string, report func(done, total int64)) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(err, os.Remove(dst))
		}
	}()
	for done := int64(0); ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.CopyN(out, in, copyStep)
		done += n
		if report != nil {
			report(done, max(done, info.Size()))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
