package virtualbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
)

// The places in the header of a VDI, version 1.1. Integers are little-endian. Source: VirtualBox 6.1 Storage/VDICore.h, and
// QEMU's block/vdi.c.
const (
	vdiSignatureAt = 0x40
	vdiVersionAt   = 0x44
	vdiTypeAt      = 0x4c
	vdiSizeAt      = 0x170
	vdiUUIDAt      = 0x188
	vdiHeaderSize  = 0x1c8

	vdiSignature = 0xbeda107f
	vdiVersion   = 0x00010001
	vdiDiff      = 4 // type of a differencing image
)

// vdiHeader reads the header of a disk that stands for itself.
func vdiHeader(f io.ReaderAt) ([]byte, error) {
	h := make([]byte, vdiHeaderSize)
	if _, err := f.ReadAt(h, 0); err != nil {
		return nil, fmt.Errorf("the header of the VDI: %w", err)
	}
	switch le := binary.LittleEndian; {
	case le.Uint32(h[vdiSignatureAt:]) != vdiSignature:
		return nil, errors.New("it is no VDI")
	case le.Uint32(h[vdiVersionAt:]) != vdiVersion:
		return nil, fmt.Errorf("it is a VDI of version %#x, and 1.1 is known", le.Uint32(h[vdiVersionAt:]))
	case le.Uint32(h[vdiTypeAt:]) == vdiDiff:
		return nil, errors.New("it is a differencing VDI, which needs its parent")
	}
	return h, nil
}

// vdiSize is the size in bytes of the disk in a VDI.
func vdiSize(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h, err := vdiHeader(f)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return int64(binary.LittleEndian.Uint64(h[vdiSizeAt:])), nil
}

// copyVDI copies a disk as another one: VirtualBox tells disks apart by the UUID in their headers. On a file system that can,
// no bytes are moved.
func copyVDI(ctx context.Context, dst, src string) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := vdiHeader(in); err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	out, err := os.OpenFile(dst, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { in.Close() }) // ends the copy
	_, err = io.Copy(out, in)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err == nil {
		_, err = out.WriteAt(vdiUUID(), vdiUUIDAt)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(dst))
	}
	return nil
}

// vdiUUID is a new UUID as VirtualBox writes them: the first three fields are little-endian.
func vdiUUID() []byte {
	u := uuid.New()
	b := make([]byte, 0, len(u))
	b = append(b, u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6])
	return append(b, u[8:]...)
}
