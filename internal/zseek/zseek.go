// Package zseek compresses large files on several cores, so that they are unpacked on several cores too.
//
// A file is cut into frames of [FrameSize] bytes, each compressed on its own; a table of their sizes ends the file. That is
// the "Zstandard Seekable Format" of facebook/zstd (contrib/seekable_format), so `zstd -d` unpacks the file as well. Blocks
// of zeros are not written when a file is unpacked: they become holes.
package zseek

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// FrameSize is how much of the original each frame holds, the last one excepted; in bytes.
const FrameSize = 4 << 20

// Numbers of the format.
const (
	skippableMagic = 0x184D2A5E // of the frame that holds the table: decoders that do not know it skip it
	seekableMagic  = 0x8F92EAB1 // ends the file
	headerSize     = 8          // skippableMagic, size of the rest
	entrySize      = 8          // compressed size, original size
	footerSize     = 9          // number of frames, descriptor, seekableMagic
)

// maxPacked bounds a compressed frame: what does not shrink grows by a few bytes for every block of 128 KiB (RFC 8878).
const maxPacked = FrameSize + FrameSize/64 + 1024

// ErrCorrupt says that the bytes are no file of this format, or not the ones that were written.
var ErrCorrupt = errors.New("not a whole compressed file")

// frame is an entry of the table.
type frame struct{ packed, size uint32 }

// appendTable appends the frame that holds the table.
func appendTable(b []byte, table []frame) []byte {
	b = binary.LittleEndian.AppendUint32(b, skippableMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(table)*entrySize+footerSize))
	for _, f := range table {
		b = binary.LittleEndian.AppendUint32(b, f.packed)
		b = binary.LittleEndian.AppendUint32(b, f.size)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(table)))
	b = append(b, 0) // descriptor: the entries have no checksums, because the frames have
	return binary.LittleEndian.AppendUint32(b, seekableMagic)
}

// readTable reads the table at the end of a file of the given size and returns it with its raw bytes. It has checked that
// the frames and the table make up the file exactly.
func readTable(src io.ReaderAt, size int64) ([]frame, []byte, error) {
	var footer [footerSize]byte
	if size < headerSize+footerSize {
		return nil, nil, fmt.Errorf("%w: it has %d bytes", ErrCorrupt, size)
	}
	if _, err := src.ReadAt(footer[:], size-footerSize); err != nil {
		return nil, nil, err
	}
	n := int64(binary.LittleEndian.Uint32(footer[:]))
	length := headerSize + n*entrySize + footerSize
	if binary.LittleEndian.Uint32(footer[5:]) != seekableMagic || footer[4] != 0 || length > size {
		return nil, nil, fmt.Errorf("%w: it has no table at its end", ErrCorrupt)
	}
	raw := make([]byte, length)
	if _, err := src.ReadAt(raw, size-length); err != nil {
		return nil, nil, err
	}
	if binary.LittleEndian.Uint32(raw) != skippableMagic || int64(binary.LittleEndian.Uint32(raw[4:])) != length-headerSize {
		return nil, nil, fmt.Errorf("%w: the table at its end has no head", ErrCorrupt)
	}
	table, err := parseEntries(raw[headerSize:length-footerSize], size-length)
	return table, raw, err
}

// parseEntries reads the entries of a table whose frames take so many bytes.
func parseEntries(raw []byte, packed int64) ([]frame, error) {
	table := make([]frame, 0, len(raw)/entrySize)
	for ; len(raw) > 0; raw = raw[entrySize:] {
		f := frame{binary.LittleEndian.Uint32(raw), binary.LittleEndian.Uint32(raw[4:])}
		last := len(raw) == entrySize
		if f.packed == 0 || f.packed > maxPacked || f.size == 0 || f.size > FrameSize || (!last && f.size != FrameSize) {
			return nil, fmt.Errorf("%w: frame %d cannot be %d bytes for %d", ErrCorrupt, len(table), f.packed, f.size)
		}
		packed -= int64(f.packed)
		table = append(table, f)
	}
	if packed != 0 {
		return nil, fmt.Errorf("%w: its frames and its table differ by %d bytes", ErrCorrupt, packed)
	}
	return table, nil
}
