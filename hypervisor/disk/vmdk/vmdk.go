// Package vmdk writes and reads VMware's virtual disks in the form that is made to be sent: streamOptimized, a sparse image
// whose grains of 64 KiB are compressed and follow each other in the order of the disk.
//
// [WriteStream] writes one from front to back, as VMware's tools do: a header that says that the directory is at the end, the
// descriptor, grains with a table after every 512 of them, the directory, a footer that says where it is, and a mark for the
// end. Everything that is not a grain has a marker of one sector before it. [NewReader] reads such a stream, and the one that
// qemu-img writes with its directory at the front, without seeking and without trust: images come from strangers.
//
// Sources: VMware, "Virtual Disk Format 5.0" (2011); VirtualBox src/VBox/Storage/VMDK.cpp and VMware's open-vmdk
// vmdk/sparse.c for what the paper leaves out.
package vmdk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

const (
	sectorSize   = 512
	grainSectors = 128
	grainSize    = grainSectors * sectorSize
	tableEntries = 512 // grains of one table; other readers know no other number
	tableSectors = tableEntries * 4 / sectorSize
	tableSpan    = tableEntries * grainSectors // sectors of the disk that a table covers
	// descriptorSectors is what VMware's tools leave for the descriptor, overhead where their first grain is.
	descriptorSectors = 20
	overhead          = 128
	atEnd             = math.MaxUint64 // a directory offset that says: see the footer
	// MaxSize is the largest disk that VMware runs (vSphere configuration maximums), in bytes.
	MaxSize = 62 << 40
)

// The versions and flags of a header.
const (
	version          = 3 // ESXi takes no stream with a smaller one
	flagNewlines     = 1 << 0
	flagCompressed   = 1 << 16
	flagMarkers      = 1 << 17
	algorithmDeflate = 1
)

// The types of markers.
const (
	markerEnd       = 0
	markerTable     = 1
	markerDirectory = 2
	markerFooter    = 3
	markerProgress  = 4 // some versions of vSphere write it; nothing follows
)

// ErrInvalid is wrapped by every error about the content of an image.
var ErrInvalid = errors.New("not a sound streamOptimized VMDK")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// header is the first sector of an image, and the footer. Offsets and sizes are in sectors.
type header struct {
	version, flags                     uint32
	capacity, grain                    uint64
	descriptorOffset, descriptorLength uint64
	entries                            uint32 // of a table
	redundant, directory               uint64 // offsets of directories
	overhead                           uint64
	algorithm                          uint16
}

const (
	magic    = "KDMV"
	newlines = "\n \r\n" // shows a transfer that changed line ends
)

func (h header) sector() []byte {
	b := make([]byte, 0, sectorSize)
	le := binary.LittleEndian
	b = append(b, magic...)
	b = le.AppendUint32(b, h.version)
	b = le.AppendUint32(b, h.flags)
	for _, v := range []uint64{h.capacity, h.grain, h.descriptorOffset, h.descriptorLength} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, h.entries)
	for _, v := range []uint64{h.redundant, h.directory, h.overhead} {
		b = le.AppendUint64(b, v)
	}
	b = append(b, 0) // closed cleanly
	b = append(b, newlines...)
	b = le.AppendUint16(b, h.algorithm)
	return b[:sectorSize]
}

func parseHeader(b []byte) (header, error) {
	le := binary.LittleEndian
	if string(b[:4]) != magic {
		return header{}, invalid("it does not begin with %q", magic)
	}
	h := header{
		version: le.Uint32(b[4:]), flags: le.Uint32(b[8:]),
		capacity: le.Uint64(b[12:]), grain: le.Uint64(b[20:]),
		descriptorOffset: le.Uint64(b[28:]), descriptorLength: le.Uint64(b[36:]),
		entries:   le.Uint32(b[44:]),
		redundant: le.Uint64(b[48:]), directory: le.Uint64(b[56:]), overhead: le.Uint64(b[64:]),
		algorithm: le.Uint16(b[77:]),
	}
	if h.flags&flagNewlines != 0 && string(b[73:77]) != newlines {
		return header{}, invalid("its line ends were changed on the way: it was copied as text")
	}
	return h, nil
}

// tables is how many tables, present or not, the directory of a disk has.
func (h header) tables() uint64 { return (h.capacity + tableSpan - 1) / tableSpan }

func (h header) directorySectors() uint64 { return (h.tables()*4 + sectorSize - 1) / sectorSize }

// marker is the sector before what is no grain: what it is, and how many sectors it has.
func marker(kind uint32, sectors uint64) []byte {
	b := make([]byte, sectorSize)
	binary.LittleEndian.PutUint64(b, sectors)
	binary.LittleEndian.PutUint32(b[12:], kind) // the size in between is 0: no grain
	return b
}

// grainMarker is how long the marker of a grain is: sector of the disk and compressed size. The data follow at once.
const grainMarker = 12
