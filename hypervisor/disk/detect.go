package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// DetectFormat tells the format of an image from its first bytes, in qemu-img's words; what has no known mark is raw.
// The answer is a stranger's claim: use it for images that a person chose, never for a disk that a guest wrote raw.
func DetectFormat(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("read the start of %q: %w", path, err)
	}
	if format := FormatOf(head[:n]); format != Raw {
		return format, nil
	}
	return vhdOrRaw(f)
}

// vhdOrRaw looks for the footer of a fixed VHD, which has no mark at its start.
func vhdOrRaw(f *os.File) (string, error) {
	const footer = 512
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() < footer {
		return Raw, err
	}
	mark := make([]byte, len(vhdMark))
	if _, err := f.ReadAt(mark, st.Size()-footer); err != nil {
		return "", err
	}
	if string(mark) == vhdMark {
		return VPC, nil
	}
	return Raw, nil
}

const (
	qcowMark   = "QFI\xfb"
	sparseMark = "KDMV" // of a VMDK with data
	vhdMark    = "conectix"
)

// FormatOf is DetectFormat for the first 512 bytes of an image, without the look at its end.
func FormatOf(head []byte) string {
	has := func(offset int, mark string) bool {
		return len(head) >= offset && bytes.HasPrefix(head[offset:], []byte(mark))
	}
	switch {
	case has(0, qcowMark+"\x00\x00\x00\x01"):
		return "qcow"
	case has(0, qcowMark):
		return QCOW2
	case has(0, sparseMark), has(0, "COWD"), has(0, "# Disk DescriptorFile"):
		return VMDK
	case has(64, "\x7f\x10\xda\xbe"): // VirtualBox VDI.h, little-endian 0xbeda107f
		return VDI
	case has(0, "vhdxfile"):
		return VHDX
	case has(0, vhdMark):
		return VPC
	case has(0, "QED\x00"):
		return "qed"
	case has(0, "LUKS\xba\xbe"):
		return "luks"
	}
	return Raw
}

// SparseVMDKSize is the virtual size in bytes of a VMDK whose data follow its header (monolithicSparse, streamOptimized), told
// by its first 20 bytes: VMware's Virtual Disk Format 1.1, SparseExtentHeader.capacity, in sectors. It is 0 for any other file.
func SparseVMDKSize(head []byte) int64 {
	const capacity, sector = 12, 512
	if len(head) < capacity+8 || !bytes.HasPrefix(head, []byte(sparseMark)) {
		return 0
	}
	sectors := binary.LittleEndian.Uint64(head[capacity:])
	if sectors > math.MaxInt64/sector {
		return 0
	}
	return int64(sectors) * sector
}

// QCOW2Header is what matters of the header of a qcow2 image from a stranger. Format: QEMU docs/interop/qcow2.txt.
type QCOW2Header struct {
	Version     int
	VirtualSize int64 // bytes
	ClusterSize int64 // bytes
	HasBacking  bool  // it reads from another file of the host
	HasDataFile bool  // its data are in another file of the host
	Encrypted   bool
}

// QCOW2HeaderSize is how many bytes ParseQCOW2 wants to see; a version 2 image may be shorter.
const QCOW2HeaderSize = 104

// ParseQCOW2 reads the header at the start of an image.
func ParseQCOW2(head []byte) (QCOW2Header, error) {
	const v2Size, dataFileBit = 72, 1 << 2
	if len(head) < v2Size || string(head[:4]) != qcowMark {
		return QCOW2Header{}, errors.New("not a qcow2 image: it does not start with a qcow2 header")
	}
	be := binary.BigEndian
	h := QCOW2Header{
		Version:     int(be.Uint32(head[4:])),
		HasBacking:  be.Uint64(head[8:]) != 0,
		VirtualSize: int64(be.Uint64(head[24:])),
		Encrypted:   be.Uint32(head[32:]) != 0,
	}
	bits := be.Uint32(head[20:])
	switch {
	case h.Version != 2 && h.Version != 3:
		return QCOW2Header{}, fmt.Errorf("qcow2 version %d is not known", h.Version)
	case bits < 9 || bits > 21:
		return QCOW2Header{}, fmt.Errorf("qcow2 header has the impossible cluster size 2^%d", bits)
	case h.VirtualSize < 0:
		return QCOW2Header{}, errors.New("qcow2 header has an impossible virtual size")
	}
	h.ClusterSize = 1 << bits
	if h.Version == 3 {
		if len(head) < QCOW2HeaderSize {
			return QCOW2Header{}, errors.New("qcow2 header is cut off")
		}
		h.HasDataFile = be.Uint64(head[72:])&dataFileBit != 0
	}
	return h, nil
}
