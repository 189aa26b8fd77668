package floppy

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/iso"
)

// directory is a directory with the names that its children have on the floppy.
type directory struct {
	children []*child
	root     bool
	cluster  int // 0 for the root, by which ".." names it
}

// child is a file or directory with its two names.
type child struct {
	node  *iso.Node
	short [11]byte
	long  []uint16   // nil if the short name says it all
	dir   *directory // nil for a file
}

func newDirectory(n, parent *iso.Node) (*directory, error) {
	d := &directory{root: parent == nil}
	seen := map[string]string{}
	taken := map[[11]byte]bool{}
	for _, c := range n.Children {
		if err := checkLongName(c.Name); err != nil {
			return nil, err
		}
		if other, ok := seen[upper(c.Name)]; ok {
			return nil, fmt.Errorf("%q and %q differ only in case, which FAT does not tell apart: rename one", other, c.Name)
		}
		seen[upper(c.Name)] = c.Name
		k := &child{node: c}
		k.short, k.long = names(c.Name, taken)
		if c.IsDir() {
			var err error
			if k.dir, err = newDirectory(c, n); err != nil {
				return nil, err
			}
		}
		d.children = append(d.children, k)
	}
	return d, nil
}

// slots is the number of 32-byte entries that the children take.
func (d *directory) slots() int {
	n := 0
	for _, c := range d.children {
		n += 1 + (len(c.long)+unitsPerEntry-1)/unitsPerEntry
	}
	return n
}

// size is the directory's own length in bytes, with "." and "..".
func (d *directory) size() int64 { return int64(2+d.slots()) * entrySize }

// need is the space that the tree takes, in bytes of whole clusters; the root directory has its own place.
func (d *directory) need() int64 {
	var n int64
	if !d.root {
		n = clustersOf(d.size()) * sectorSize
	}
	for _, c := range d.children {
		if c.dir != nil {
			n += c.dir.need()
		} else {
			n += clustersOf(c.node.Entry.Size) * sectorSize
		}
	}
	return n
}

// Attributes of a directory entry.
const (
	attrLabel     = 0x08
	attrDirectory = 0x10
	attrArchive   = 0x20
	attrLongName  = 0x0f
)

// dirEntry is a 32-byte entry with a short name.
type dirEntry struct {
	name    [11]byte
	attr    byte
	cluster int
	size    uint32 // bytes, 0 for a directory
}

func (e dirEntry) encode(t time.Time) []byte {
	clock, date := dosTime(t)
	out := make([]byte, 0, entrySize)
	out = append(out, e.name[:]...)
	out = append(out, e.attr, 0, 0)
	for _, v := range []uint16{clock, date, date, 0, clock, date, uint16(e.cluster)} {
		out = binary.LittleEndian.AppendUint16(out, v)
	}
	return binary.LittleEndian.AppendUint32(out, e.size)
}

// dosTime packs a time into FAT's two words, in steps of two seconds.
func dosTime(t time.Time) (clock, date uint16) {
	t = t.UTC()
	clock = uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	date = uint16(min(t.Year()-1980, 127)<<9 | int(t.Month())<<5 | t.Day())
	return clock, date
}

// unitsPerEntry is how much of a long name one entry holds.
const unitsPerEntry = 13

// longEntries are the entries that hold the long name: its last part first, as the format wants it.
func (c *child) longEntries() []byte {
	sum := shortSum(c.short)
	count := (len(c.long) + unitsPerEntry - 1) / unitsPerEntry
	var out []byte
	for i := count; i > 0; i-- {
		order := byte(i)
		if i == count {
			order |= 0x40
		}
		out = append(out, longEntry(order, sum, c.long[(i-1)*unitsPerEntry:])...)
	}
	return out
}

// longEntry holds up to 13 units: closed by a zero and filled up with 0xffff.
func longEntry(order, sum byte, units []uint16) []byte {
	var text []byte
	for i := range unitsPerEntry {
		unit := uint16(0xffff)
		if i < len(units) {
			unit = units[i]
		} else if i == len(units) {
			unit = 0
		}
		text = binary.LittleEndian.AppendUint16(text, unit)
	}
	out := append([]byte{order}, text[:10]...)
	out = append(out, attrLongName, 0, sum)
	out = append(out, text[10:22]...)
	out = append(out, 0, 0)
	return append(out, text[22:]...)
}

// shortSum ties the long entries to their short one.
func shortSum(name [11]byte) byte {
	var sum byte
	for _, c := range name {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}
