package vmdk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zlib"
)

// Reader reads a streamOptimized image from front to back. It believes nothing that the image says of itself: sizes are
// checked before memory is taken for them, tables and directory must say what was found, and so must the footer.
type Reader struct {
	src        *bufio.Reader
	head       header
	descriptor Descriptor
	at         uint64 // sector of the file
	next       uint64 // first grain that may follow
	raw        []byte // of the marker, and of a compressed grain
	grain      []byte
	inflate    io.ReadCloser
	tables     []table         // of grains that were found, and not met themselves yet
	places     []place         // where tables were met, in their order
	empty      map[uint32]bool // where tables without grains were met
	directory  uint64          // where the directory was met
	footer     bool            // it was met
	err        error           // that of all further calls
}

type table struct {
	number  uint64
	entries []uint32
}

type place struct {
	table  uint64
	sector uint32
}

const (
	// maxDescriptor is what others leave for it at most (VirtualBox: 20 KiB).
	maxDescriptor = 128
	// maxCompressed is more than deflate makes of a grain that cannot be compressed.
	maxCompressed = grainSize + sectorSize
)

// NewReader reads the head of an image whose disk may have up to maxSize bytes. The errors about its content wrap ErrInvalid.
func NewReader(src io.Reader, maxSize int64) (*Reader, error) {
	r := &Reader{src: bufio.NewReaderSize(src, grainSize), raw: make([]byte, maxCompressed+2*sectorSize), grain: make([]byte, grainSize),
		empty: map[uint32]bool{}}
	first, err := r.sectors(1)
	if err != nil {
		return nil, err
	}
	if r.head, err = parseHeader(first); err != nil {
		return nil, err
	}
	if err := r.head.check(maxSize); err != nil {
		return nil, err
	}
	if err := r.skip(r.head.descriptorOffset - r.at); err != nil {
		return nil, err
	}
	text, err := r.sectors(r.head.descriptorLength)
	if err != nil {
		return nil, err
	}
	if r.descriptor, err = ParseDescriptor(text); err != nil {
		return nil, err
	}
	return r, r.skip(r.head.overhead - r.at)
}

// check refuses what other readers refuse, and what a reader could be made to waste memory or time with.
func (h header) check(maxSize int64) error {
	const needed = flagCompressed | flagMarkers
	most := uint64(min(maxSize, MaxSize)) / sectorSize
	front := 1 + 2*(h.directorySectors()+h.tables()*tableSectors) + 2*maxDescriptor // with both directories at the front
	switch {
	case h.version < 1 || h.version > version:
		return invalid("version %d is not known", h.version)
	case h.flags&needed != needed || h.algorithm != algorithmDeflate:
		return invalid("its grains are not compressed (flags %#x, algorithm %d): it has another form", h.flags, h.algorithm)
	case h.capacity > most:
		return invalid("it is for a disk of %d sectors; more than %d are not taken", h.capacity, most)
	case h.grain != grainSectors || h.entries != tableEntries:
		return invalid("grains of %d sectors in tables of %d entries are not known", h.grain, h.entries)
	case h.descriptorOffset == 0 || h.descriptorLength == 0:
		return invalid("it has no descriptor")
	case h.descriptorLength > maxDescriptor || h.descriptorOffset > h.overhead || h.descriptorOffset+h.descriptorLength > h.overhead || h.overhead > front:
		return invalid("descriptor of %d sectors at %d, data at %d: that cannot be", h.descriptorLength, h.descriptorOffset, h.overhead)
	}
	return nil
}

// Size of the disk in bytes.
func (r *Reader) Size() int64 { return int64(r.head.capacity) * sectorSize }

// Descriptor of the image.
func (r *Reader) Descriptor() Descriptor { return r.descriptor }

// Next returns the next part of the disk that is not zeros and where it belongs, both in bytes; what is not returned is zeros.
// The data are good until the next call. After the last part the error is io.EOF, and then the image was sound to its end.
func (r *Reader) Next() (offset int64, data []byte, err error) {
	for r.err == nil {
		var found bool
		if offset, data, found, r.err = r.step(); found {
			return offset, data, nil
		}
	}
	return 0, nil, r.err
}

// step reads a marker and what it stands for.
func (r *Reader) step() (offset int64, data []byte, found bool, err error) {
	if _, err := r.src.Peek(1); errors.Is(err, io.EOF) && r.head.directory != atEnd {
		return 0, nil, false, io.EOF // qemu-img writes no mark for the end
	}
	b, err := r.sectors(1)
	if err != nil {
		return 0, nil, false, err
	}
	value, size, kind := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	if size > 0 {
		offset, data, err = r.readGrain(value, size)
		return offset, data, err == nil, err
	}
	return 0, nil, false, r.meta(kind, value)
}

// meta reads what is no grain.
func (r *Reader) meta(kind uint32, sectors uint64) error {
	want := map[uint32]uint64{markerEnd: 0, markerTable: tableSectors, markerDirectory: r.head.directorySectors(), markerFooter: 1}
	if n, known := want[kind]; kind != markerProgress && (!known || n != sectors) {
		return r.bad("a marker of type %d for %d sectors", kind, sectors)
	}
	switch kind {
	case markerTable:
		return r.readTable()
	case markerDirectory:
		return r.readDirectory()
	case markerFooter:
		return r.readFooter()
	case markerEnd:
		if r.head.directory == atEnd && !r.footer {
			return r.bad("the end, and no footer before it")
		}
		return io.EOF
	}
	return nil
}

// readGrain reads the rest of a grain, of which r.raw holds the first sector.
func (r *Reader) readGrain(sector uint64, size uint32) (int64, []byte, error) {
	number := sector / grainSectors
	switch {
	case sector%grainSectors != 0 || sector >= r.head.capacity:
		return 0, nil, r.bad("a grain for sector %d of %d", sector, r.head.capacity)
	case number < r.next:
		return 0, nil, r.bad("a grain for sector %d after one for a later sector", sector)
	case size > maxCompressed:
		return 0, nil, r.bad("a grain of %d bytes", size)
	case r.directory != 0:
		return 0, nil, r.bad("a grain after the directory")
	}
	r.note(number, r.at-1)
	length := grainMarker + int(size)
	if length > sectorSize {
		rest := (length - 1) / sectorSize * sectorSize
		if err := r.read(r.raw[sectorSize:][:rest]); err != nil {
			return 0, nil, err
		}
	}
	offset := int64(sector) * sectorSize
	left := min(r.Size()-offset, grainSize)
	if err := r.unpack(r.raw[grainMarker:length], int(left)); err != nil {
		return 0, nil, r.bad("the grain for sector %d: %v", sector, err)
	}
	return offset, r.grain[:left], nil
}

// note remembers where a grain was found.
func (r *Reader) note(number, at uint64) {
	r.next = number + 1
	if r.head.directory != atEnd {
		return // its tables went by before the first grain
	}
	in := number / tableEntries
	if n := len(r.tables); n == 0 || r.tables[n-1].number != in {
		r.tables = append(r.tables, table{in, make([]uint32, tableEntries)})
	}
	r.tables[len(r.tables)-1].entries[number%tableEntries] = uint32(at)
}

// unpack decompresses a grain of which at least so many bytes must be there: that at the end of the disk may be shorter.
func (r *Reader) unpack(compressed []byte, least int) error {
	var err error
	src := bytes.NewReader(compressed)
	if r.inflate == nil {
		r.inflate, err = zlib.NewReader(src)
	} else {
		err = r.inflate.(zlib.Resetter).Reset(src, nil)
	}
	if err != nil {
		return err
	}
	n, err := io.ReadFull(r.inflate, r.grain)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && n >= least && n%sectorSize == 0:
		return nil
	case err != nil:
		return err
	}
	var more [1]byte
	if n, err := r.inflate.Read(more[:]); n > 0 {
		return errors.New("it is longer than a grain")
	} else if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// readTable compares a table with the grains that were found.
func (r *Reader) readTable() error {
	at := uint32(r.at)
	got := make([]uint32, tableEntries)
	if err := r.entries(got); err != nil {
		return err
	}
	if !slices.ContainsFunc(got, func(v uint32) bool { return v != 0 }) {
		r.empty[at] = true
		return nil
	}
	if len(r.tables) == 0 || !slices.Equal(got, r.tables[0].entries) {
		return r.bad("a table that does not fit the grains before it")
	}
	met := r.tables[0]
	r.tables = r.tables[1:]
	r.places = append(r.places, place{met.number, at})
	return nil
}

// readDirectory compares the directory with the tables that were met.
func (r *Reader) readDirectory() error {
	if len(r.tables) > 0 {
		return r.bad("a directory, and no table for the grains of table %d", r.tables[0].number)
	}
	r.directory = r.at
	part, places := make([]uint32, sectorSize/4), r.places
	for i := uint64(0); i < r.head.directorySectors()*uint64(len(part)); i++ {
		if i%uint64(len(part)) == 0 {
			if err := r.entries(part); err != nil {
				return err
			}
		}
		got, want := part[i%uint64(len(part))], uint32(0)
		if len(places) > 0 && places[0].table == i {
			want, places = places[0].sector, places[1:]
		}
		if got != want && (want != 0 || !r.empty[got]) {
			return r.bad("the directory has table %d at sector %d; it is at %d", i, got, want)
		}
	}
	return nil
}

// readFooter compares the footer with the header and the place of the directory.
func (r *Reader) readFooter() error {
	b, err := r.sectors(1)
	if err != nil {
		return err
	}
	got, err := parseHeader(b)
	if err != nil {
		return err
	}
	want := r.head
	want.directory, want.redundant = r.directory, got.redundant
	if r.directory == 0 || got != want {
		return r.bad("a footer that does not fit the header and the directory")
	}
	r.footer = true
	return nil
}

// entries reads numbers of sectors.
func (r *Reader) entries(into []uint32) error {
	b, err := r.sectors(uint64(len(into)) * 4 / sectorSize)
	if err != nil {
		return err
	}
	for i := range into {
		into[i] = binary.LittleEndian.Uint32(b[i*4:])
	}
	return nil
}

// sectors reads a few sectors, which are good until the next call.
func (r *Reader) sectors(n uint64) ([]byte, error) {
	b := r.raw[:n*sectorSize]
	return b, r.read(b)
}

// read reads whole sectors.
func (r *Reader) read(b []byte) error {
	if _, err := io.ReadFull(r.src, b); err != nil {
		return r.cut(err)
	}
	r.at += uint64(len(b) / sectorSize)
	return nil
}

func (r *Reader) skip(sectors uint64) error {
	if _, err := io.CopyN(io.Discard, r.src, int64(sectors)*sectorSize); err != nil {
		return r.cut(err)
	}
	r.at += sectors
	return nil
}

// cut tells an image that is cut off from one that cannot be read.
func (r *Reader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.bad("it is cut off there")
	}
	return err
}

func (r *Reader) bad(format string, args ...any) error {
	return invalid("near byte %d: %s", r.at*sectorSize, fmt.Sprintf(format, args...))
}
