// Package volume writes the CD that carries files to an installer.
//
// The image is an ISO 9660 volume (ECMA-119) that holds every name three times: as the standard allows (30 capital
// letters), in Rock Ridge records (IEEE P1282) as POSIX systems read them, and in a Joliet tree as Windows reads
// them. The last two keep names such as "user-data" as they are, and trees of any depth; directories are not
// relocated, because every reader of today ignores the standard's limit of eight levels.
//
// [Write] first arranges the tree and all addresses in memory, then streams the image: the same entries, label and
// time always give the same bytes.
package volume

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/iso"
)

// sectorSize is the logical block of a CD, in bytes.
const sectorSize = 2048

// maxExtent is the longest piece of a file that one directory record describes: whole sectors below 4 GiB.
const maxExtent = math.MaxUint32 / sectorSize * sectorSize

// epoch stands in every time field when no other time is given.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Options are the volume's own data.
type Options struct {
	Label string    // at most 32 printable ASCII characters; iso.DefaultLabel if empty
	Time  time.Time // of the volume and of all files; a fixed one if zero
}

// Create writes the image to a file that appears under its name only when it is complete.
func Create(ctx context.Context, path string, entries []iso.Entry, opts Options) error {
	f, err := fsx.Create(path, 0o644)
	if err != nil {
		return fmt.Errorf("write CD image: %w", err)
	}
	defer f.Close()
	if err := Write(ctx, f, entries, opts); err != nil {
		return err
	}
	return f.Commit()
}

// Write writes the image. It fails if a name cannot stand in an image, if an entry does not hold the bytes that it
// announces, or if ctx ends.
func Write(ctx context.Context, w io.Writer, entries []iso.Entry, opts Options) error {
	opts.Label = cmp.Or(opts.Label, iso.DefaultLabel)
	if opts.Time.IsZero() {
		opts.Time = epoch
	}
	if errs := (iso.CDArgs{Label: opts.Label}).Validate(); len(errs) > 0 {
		return errs[0]
	}
	root, err := iso.Tree(entries)
	if err != nil {
		return fmt.Errorf("CD: %w", err)
	}
	img := newImage(root, opts)
	if err := img.place(); err != nil {
		return err
	}
	return img.write(&sectorWriter{ctx: ctx, w: w})
}

// image is the whole volume before it is written.
type image struct {
	opts    Options
	primary *hierarchy
	joliet  *hierarchy
	files   []*iso.Node
	first   map[*iso.Node]uint32 // first sector of each file
	sectors uint32
}

func newImage(root *iso.Node, opts Options) *image {
	img := &image{opts: opts, first: map[*iso.Node]uint32{}}
	img.primary = newHierarchy(root, primaryNames{}, true)
	img.joliet = newHierarchy(root, jolietNames{}, false)
	img.addFiles(root)
	return img
}

func (img *image) addFiles(n *iso.Node) {
	for _, c := range n.Children {
		if c.IsDir() {
			img.addFiles(c)
		} else {
			img.files = append(img.files, c)
		}
	}
}

// Where the fixed parts are: ECMA-119 6.2.1 leaves the first 16 sectors to the system.
const (
	systemArea      = 16
	descriptorCount = 3 // primary, Joliet, terminator
)

// place gives every part its sectors, in the order in which write sends them.
func (img *image) place() error {
	next := uint64(systemArea + descriptorCount)
	for _, h := range []*hierarchy{img.primary, img.joliet} {
		if len(h.dirs) > math.MaxUint16 {
			return fmt.Errorf("CD: %d directories, a volume holds at most %d", len(h.dirs), math.MaxUint16)
		}
		next = h.place(next)
	}
	for _, f := range img.files {
		img.first[f] = uint32(next)
		next += sectorsOf(uint64(f.Entry.Size))
		if next > math.MaxUint32 {
			return fmt.Errorf("CD: the files do not fit into a volume of 8 TiB")
		}
	}
	img.sectors = uint32(next)
	return nil
}

func (img *image) write(w *sectorWriter) error {
	w.put(make([]byte, systemArea*sectorSize))
	w.put(img.descriptor(img.primary, false))
	w.put(img.descriptor(img.joliet, true))
	w.put(terminator())
	for _, h := range []*hierarchy{img.primary, img.joliet} {
		w.put(h.pathTable(littleEndian))
		w.put(h.pathTable(bigEndian))
		for _, d := range h.dirs {
			w.put(h.extent(d, img.opts.Time, img.first))
		}
		w.put(h.more.data)
	}
	for _, f := range img.files {
		if w.err == nil {
			w.err = f.Entry.CopyTo(w)
		}
		w.pad()
	}
	return w.err
}

// sectorWriter pads what it writes to whole sectors and remembers the first error.
type sectorWriter struct {
	ctx context.Context
	w   io.Writer
	n   uint64
	err error
}

// Write passes bytes on as long as the context lives.
func (s *sectorWriter) Write(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	n, err := s.w.Write(p)
	s.n += uint64(n)
	return n, err
}

// put writes one part of the image.
func (s *sectorWriter) put(p []byte) {
	if s.err == nil {
		_, s.err = s.Write(p)
	}
	s.pad()
}

func (s *sectorWriter) pad() {
	if rest := s.n % sectorSize; rest > 0 && s.err == nil {
		_, s.err = s.Write(bytes.Repeat([]byte{0}, int(sectorSize-rest)))
	}
}

func sectorsOf(size uint64) uint64 { return (size + sectorSize - 1) / sectorSize }
