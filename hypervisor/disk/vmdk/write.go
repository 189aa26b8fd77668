package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"

	"github.com/klauspost/compress/zlib"
	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// DefaultLevel of compression: see docs/benchmarks.md.
const DefaultLevel = 6

// StreamOptions say what to write. Only Size is needed.
type StreamOptions struct {
	Options
	Size int64 // of the disk in bytes; it is rounded up to a sector
	// Level is 1 (fast) to 9 (small), 0 for DefaultLevel.
	Level int
	// Parallel is how many grains are compressed at once; 0 means one for each processor, up to 16: each takes 5 MB. It does
	// not change the bytes.
	Parallel int
	// Progress is called with bytes of the disk; it may be nil.
	Progress func(done, total int64)
}

// batchGrains is how many grains travel together. It divides the grains of a table, so that no table ends inside.
const batchGrains = 16

// batch is a piece of the disk on its way, in buffers that are used again.
type batch struct {
	first   uint64 // its first grain
	in      []byte
	out     []byte
	sectors [batchGrains]uint64 // of each grain in out; 0 for zeros
	done    chan struct{}
}

// WriteStream writes a raw image as a streamOptimized one. Grains of zeros are left out, and holes of the file are not even
// read. It stops soon after ctx ends, and then returns its cause; what is in w
// after an error is no image.
func WriteStream(ctx context.Context, w io.Writer, src *os.File, o StreamOptions) error {
	if o.Size < 0 || o.Size > MaxSize {
		return fmt.Errorf("write a VMDK for a disk of %d bytes: VMware knows disks of up to %d", o.Size, int64(MaxSize))
	}
	if o.Level == 0 {
		o.Level = DefaultLevel
	}
	if o.Parallel <= 0 {
		o.Parallel = min(runtime.GOMAXPROCS(0), 16)
	}
	o.Options = o.WithDefaults(o.Size)
	s := newStream(w, o)
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.grains(ctx, src); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return s.end()
}

// stream is an image that is being written.
type stream struct {
	StreamOptions
	w         io.Writer
	head      header
	at        uint64 // sector of the file
	directory []uint32
	table     []uint32
	current   uint64 // number of the table
	filled    bool   // it has an entry
}

func newStream(w io.Writer, o StreamOptions) *stream {
	h := header{
		version: version, flags: flagNewlines | flagCompressed | flagMarkers,
		capacity: uint64(o.Size+sectorSize-1) / sectorSize, grain: grainSectors,
		descriptorOffset: 1, descriptorLength: descriptorSectors,
		entries: tableEntries, directory: atEnd, overhead: overhead, algorithm: algorithmDeflate,
	}
	return &stream{StreamOptions: o, w: w, head: h, directory: make([]uint32, h.tables()), table: make([]uint32, tableEntries)}
}

// begin writes what comes before the first grain.
func (s *stream) begin() error {
	front := make([]byte, overhead*sectorSize)
	copy(front, s.head.sector())
	text := s.descriptor(s.Size).Text()
	if len(text) > descriptorSectors*sectorSize {
		return fmt.Errorf("the VMDK's descriptor has %d bytes, more than %d", len(text), descriptorSectors*sectorSize)
	}
	copy(front[sectorSize:], text)
	return s.write(front)
}

func (s *stream) write(b []byte) error {
	_, err := s.w.Write(b)
	s.at += uint64(len(b) / sectorSize)
	return err
}

// grains reads, compresses and writes at the same time.
func (s *stream) grains(ctx context.Context, src *os.File) error {
	free := make(chan *batch, 2*s.Parallel)
	for range cap(free) {
		free <- &batch{done: make(chan struct{}, 1)}
	}
	work, order := make(chan *batch, cap(free)), make(chan *batch, cap(free)) // never full
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(work)
		defer close(order)
		return s.cut(ctx, src, free, work, order)
	})
	for range s.Parallel {
		g.Go(func() error { return compress(work, s.Level) })
	}
	g.Go(func() error { return s.join(ctx, free, order) })
	return g.Wait()
}

// cut reads what is not a hole.
func (s *stream) cut(ctx context.Context, src *os.File, free <-chan *batch, work, order chan<- *batch) error {
	const span = batchGrains * grainSize
	next := int64(0) // what was not read yet
	return fsx.EachExtent(src, s.Size, func(e fsx.Extent) error {
		if e.Hole {
			return nil
		}
		for next = max(next, e.Start/grainSize*grainSize); next < e.End; {
			end := min((next/span+1)*span, (e.End+grainSize-1)/grainSize*grainSize)
			var b *batch
			select {
			case b = <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := b.read(src, next, end, s.Size); err != nil {
				return err
			}
			work <- b
			order <- b
			next = end
		}
		return nil
	})
}

// read fills the batch; beyond the end of the file are zeros.
func (b *batch) read(src *os.File, start, end, size int64) error {
	if b.in == nil {
		b.in = make([]byte, batchGrains*grainSize)
	}
	b.first, b.in = uint64(start/grainSize), b.in[:end-start]
	n, err := src.ReadAt(b.in[:min(end, size)-start], start)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %q at %d: %w", src.Name(), start, err)
	}
	clear(b.in[n:])
	return nil
}

// compress makes grains of batches.
func compress(work <-chan *batch, level int) error {
	z, err := zlib.NewWriterLevel(nil, level)
	if err != nil {
		return fmt.Errorf("compression level %d: use 1 (fast) to 9 (small)", level)
	}
	for b := range work {
		err = errors.Join(err, b.compress(z))
		b.done <- struct{}{}
	}
	return err
}

var zeros [grainSize]byte

func (b *batch) compress(z *zlib.Writer) error {
	b.out, b.sectors = b.out[:0], [batchGrains]uint64{}
	for i := 0; i*grainSize < len(b.in); i++ {
		data := b.in[i*grainSize:][:grainSize]
		if bytes.Equal(data, zeros[:]) {
			continue
		}
		start := len(b.out)
		b.out = binary.LittleEndian.AppendUint64(b.out, (b.first+uint64(i))*grainSectors)
		b.out = append(b.out, 0, 0, 0, 0)
		z.Reset((*appender)(&b.out))
		_, err := z.Write(data)
		if err := errors.Join(err, z.Close()); err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(b.out[start+grainMarker-4:], uint32(len(b.out)-start-grainMarker))
		if odd := (len(b.out) - start) % sectorSize; odd > 0 {
			b.out = append(b.out, zeros[:sectorSize-odd]...)
		}
		b.sectors[i] = uint64(len(b.out)-start) / sectorSize
	}
	return nil
}

// appender is a slice as a writer.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// join writes the batches in their order.
func (s *stream) join(ctx context.Context, free chan<- *batch, order <-chan *batch) error {
	for b := range order {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.put(b); err != nil {
			return err
		}
		if s.Progress != nil {
			s.Progress(min(int64(b.first)*grainSize+int64(len(b.in)), s.Size), s.Size)
		}
		free <- b
	}
	return nil
}

func (s *stream) put(b *batch) error {
	if len(b.out) == 0 {
		return nil
	}
	if number := b.first / tableEntries; number != s.current {
		if err := s.flush(); err != nil {
			return err
		}
		s.current = number
	}
	at := s.at
	for i, n := range b.sectors {
		if n == 0 {
			continue
		}
		if at > math.MaxUint32 {
			return errTooLarge
		}
		s.table[b.first%tableEntries+uint64(i)] = uint32(at)
		s.filled = true
		at += n
	}
	return s.write(b.out)
}

var errTooLarge = errors.New("the disk holds more data than a VMDK can: its file would be larger than 2 TiB")

// flush writes the table of the grains before it; one without grains is left out.
func (s *stream) flush() error {
	if !s.filled {
		return nil
	}
	if err := s.write(marker(markerTable, tableSectors)); err != nil {
		return err
	}
	if s.at > math.MaxUint32 {
		return errTooLarge
	}
	s.directory[s.current] = uint32(s.at)
	if err := s.write(entries(s.table)); err != nil {
		return err
	}
	clear(s.table)
	s.filled = false
	return nil
}

// entries are numbers of sectors, padded to a whole sector.
func entries(table []uint32) []byte {
	b := make([]byte, 0, (len(table)*4+sectorSize-1)/sectorSize*sectorSize)
	for _, v := range table {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b[:cap(b)]
}

// end writes what comes after the last grain.
func (s *stream) end() error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.write(marker(markerDirectory, s.head.directorySectors())); err != nil {
		return err
	}
	footer := s.head
	footer.directory = s.at
	if err := s.write(entries(s.directory)); err != nil {
		return err
	}
	last := append(append(marker(markerFooter, 1), footer.sector()...), marker(markerEnd, 0)...)
	if err := s.write(last); err != nil {
		return err
	}
	if s.Progress != nil {
		s.Progress(s.Size, s.Size)
	}
	return nil
}
