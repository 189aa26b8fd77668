// Package floppy writes the 1.44 MB floppy that carries files to an installer, for systems that look for their
// answers there and nowhere else, such as old Windows with its Autounattend.xml.
//
// The image is FAT12 with long file names (Microsoft's FAT specification, 2000). It is small, so it is made in memory:
// [Write] arranges the tree, gives every file and directory its clusters, and fails with the number of bytes if
// they do not fit. The same entries, label and time always give the same bytes.
package floppy

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/iso"
)

// The geometry of a 3.5 inch high density floppy, as every FAT12 reader expects it.
const (
	sectorSize   = 512 // also the cluster size
	sectors      = 2880
	fatSectors   = 9
	fatCopies    = 2
	rootEntries  = 224
	entrySize    = 32
	rootSector   = 1 + fatCopies*fatSectors
	dataSector   = rootSector + rootEntries*entrySize/sectorSize
	clusters     = sectors - dataSector
	firstCluster = 2
)

// Capacity is the number of bytes that files and directories share, in whole clusters of 512 bytes.
const Capacity = clusters * sectorSize

// epoch stands in every time field when no other time is given; FAT knows no earlier one.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Options are the volume's own data.
type Options struct {
	Label string    // at most 11 characters, written in capitals as FAT wants it; iso.DefaultLabel if empty
	Time  time.Time // of all files; a fixed one if zero
}

// OverflowError reports files that do not fit on a floppy.
type OverflowError struct {
	Need int64 // bytes, in whole clusters
}

// Error names the sizes and the remedy.
func (e *OverflowError) Error() string {
	return fmt.Sprintf("floppy: the files need %d bytes, a 1.44 MB floppy has %d: leave some out, or use cd_files or http_directory", e.Need, Capacity)
}

// Create writes the image to a file that appears under its name only when it is complete.
func Create(ctx context.Context, path string, entries []iso.Entry, opts Options) error {
	f, err := fsx.Create(path, 0o644)
	if err != nil {
		return fmt.Errorf("write floppy image: %w", err)
	}
	defer f.Close()
	if err := Write(ctx, f, entries, opts); err != nil {
		return err
	}
	return f.Commit()
}

// Write writes the image. It fails with *OverflowError if the entries do not fit, and if a name cannot stand on a
// floppy or an entry does not hold the bytes that it announces.
func Write(ctx context.Context, w io.Writer, entries []iso.Entry, opts Options) error {
	opts.Label = cmp.Or(opts.Label, iso.DefaultLabel)
	if opts.Time.Before(epoch) {
		opts.Time = epoch
	}
	if errs := (iso.FloppyArgs{Label: opts.Label}).Validate(); len(errs) > 0 {
		return errs[0]
	}
	root, err := iso.Tree(entries)
	if err != nil {
		return fmt.Errorf("floppy: %w", err)
	}
	top, err := newDirectory(root, nil)
	if err != nil {
		return fmt.Errorf("floppy: %w", err)
	}
	if need := top.need(); need > Capacity {
		return &OverflowError{Need: need}
	}
	if n := 1 + top.slots(); n > rootEntries {
		return fmt.Errorf("floppy: the root directory needs %d entries and has %d (long names take several): put files into directories with floppy_dirs", n, rootEntries)
	}
	disk := newDisk(opts)
	if err := disk.writeRoot(ctx, top); err != nil {
		return err
	}
	_, err = w.Write(disk.image)
	return err
}

// disk is the image while it is being filled.
type disk struct {
	image []byte
	opts  Options
	next  int // first free cluster
}

func newDisk(opts Options) *disk {
	d := &disk{image: make([]byte, sectors*sectorSize), opts: opts, next: firstCluster}
	copy(d.image, bootSector(opts.Label))
	d.setFAT(0, 0xff0) // the media byte again
	d.setFAT(1, endOfChain)
	return d
}

// endOfChain marks a file's last cluster.
const endOfChain = 0xfff

// setFAT sets a 12-bit entry in all copies of the table.
func (d *disk) setFAT(cluster, value int) {
	for i := range fatCopies {
		fat := d.image[(1+i*fatSectors)*sectorSize:]
		at := cluster + cluster/2
		if cluster%2 == 0 {
			fat[at] = byte(value)
			fat[at+1] = fat[at+1]&0xf0 | byte(value>>8)
		} else {
			fat[at] = fat[at]&0x0f | byte(value<<4)
			fat[at+1] = byte(value >> 4)
		}
	}
}

// allocate gives size bytes a chain of neighbouring clusters; nothing has no clusters.
func (d *disk) allocate(size int64) (cluster int, space []byte) {
	n := int(clustersOf(size))
	if n == 0 {
		return 0, nil
	}
	cluster = d.next
	d.next += n
	for c := cluster; c < d.next-1; c++ {
		d.setFAT(c, c+1)
	}
	d.setFAT(d.next-1, endOfChain)
	at := (dataSector + cluster - firstCluster) * sectorSize
	return cluster, d.image[at : at+n*sectorSize]
}

func clustersOf(size int64) int64 { return (size + sectorSize - 1) / sectorSize }

func (d *disk) writeRoot(ctx context.Context, top *directory) error {
	space := d.image[rootSector*sectorSize : dataSector*sectorSize]
	label := dirEntry{attr: attrLabel}
	copy(label.name[:], fmt.Sprintf("%-11s", upper(d.opts.Label)))
	space = space[copy(space, label.encode(d.opts.Time)):]
	return d.writeChildren(ctx, top, space)
}

// writeChildren writes the files and directories of dir, and their entries into space.
func (d *disk) writeChildren(ctx context.Context, dir *directory, space []byte) error {
	for _, c := range dir.children {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e := dirEntry{name: c.short, attr: attrArchive}
		var err error
		if c.dir != nil {
			e.attr = attrDirectory
			e.cluster, err = d.writeDir(ctx, c.dir, dir)
		} else {
			e.size = uint32(c.node.Entry.Size)
			e.cluster, err = d.writeFile(c.node.Entry)
		}
		if err != nil {
			return err
		}
		space = space[copy(space, c.longEntries()):]
		space = space[copy(space, e.encode(d.opts.Time)):]
	}
	return nil
}

func (d *disk) writeDir(ctx context.Context, dir, parent *directory) (int, error) {
	cluster, space := d.allocate(dir.size())
	dir.cluster = cluster
	for _, e := range []dirEntry{{name: dotName("."), cluster: cluster}, {name: dotName(".."), cluster: parent.cluster}} {
		e.attr = attrDirectory
		space = space[copy(space, e.encode(d.opts.Time)):]
	}
	return cluster, d.writeChildren(ctx, dir, space)
}

func (d *disk) writeFile(e iso.Entry) (int, error) {
	cluster, space := d.allocate(e.Size)
	content := bytes.NewBuffer(space[:0])
	if err := e.CopyTo(&bounded{content, e.Size}); err != nil {
		return 0, fmt.Errorf("floppy: %w", err)
	}
	return cluster, nil
}

// bounded passes only the first left bytes on: an entry that has more must not run into the next cluster.
type bounded struct {
	buf  *bytes.Buffer
	left int64
}

// Write never fails; CopyTo notices what is too much.
func (b *bounded) Write(p []byte) (int, error) {
	keep := p[:min(int64(len(p)), b.left)]
	b.left -= int64(len(keep))
	b.buf.Write(keep)
	return len(p), nil
}
