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
	"regexp"
	"strconv"
	"strings"
)

// vmdk is what the driver must know of a disk's file. Format: VMware's Virtual Disk Format 5.0.
type vmdk struct {
	size       int64  // that the guest sees, in bytes
	createType string // monolithicSparse, twoGbMaxExtentSparse ...
	parent     string // the disk under it, as its descriptor names it; empty for none
	extents    []string
}

const (
	sectorSize    = 512
	maxDescriptor = 1 << 20 // bytes
)

// inspect reads the descriptor of a disk: the file itself, or in the file of a growable disk.
func inspect(path string) (vmdk, error) {
	f, err := os.Open(path)
	if err != nil {
		return vmdk{}, err
	}
	defer f.Close()
	text, err := descriptor(f)
	if err != nil {
		return vmdk{}, fmt.Errorf("disk %s: %w", path, err)
	}
	d := parseDescriptor(text)
	if d.createType == "" || d.size <= 0 {
		return d, fmt.Errorf("disk %s: it is no VMDK whose descriptor can be read", path)
	}
	return d, nil
}

func descriptor(f *os.File) (string, error) {
	head := make([]byte, sectorSize)
	if _, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	offset, size := int64(0), int64(maxDescriptor)
	if string(head[:4]) == "KDMV" {
		offset = sectorSize * int64(binary.LittleEndian.Uint64(head[28:]))
		size = sectorSize * int64(binary.LittleEndian.Uint64(head[36:]))
		if offset <= 0 || size <= 0 || size > maxDescriptor {
			return "", errors.New("it has no descriptor of its own: name the file that describes it, not one of its parts")
		}
	}
	text, err := io.ReadAll(io.NewSectionReader(f, offset, size))
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	return string(text), err
}

var (
	descriptorLine = regexp.MustCompile(`(?mi)^\s*(createType|parentFileNameHint)\s*=\s*"?([^"\r\n]*)"?`)
	extentLine     = regexp.MustCompile(`(?m)^\s*(?:RW|RDONLY|NOACCESS)\s+(\d+)\s+\S+(?:\s+"([^"]*)")?`)
)

func parseDescriptor(text string) vmdk {
	var d vmdk
	for _, m := range descriptorLine.FindAllStringSubmatch(text, -1) {
		if strings.EqualFold(m[1], "createType") {
			d.createType = m[2]
		} else {
			d.parent = m[2]
		}
	}
	for _, m := range extentLine.FindAllStringSubmatch(text, -1) {
		sectors, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || sectors > math.MaxInt64/sectorSize-d.size/sectorSize {
			return vmdk{}
		}
		d.size += sectors * sectorSize
		if m[2] != "" {
			d.extents = append(d.extents, m[2])
		}
	}
	return d
}

// plain tells a disk whose file can be copied: all of it is in one growable file.
func (d vmdk) plain() bool { return d.createType == "monolithicSparse" && d.parent == "" }

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
