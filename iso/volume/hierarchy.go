package volume

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/boxkiln/boxkiln/iso"
)

// hierarchy is one tree of directories over the volume's files: the primary one or Joliet's.
type hierarchy struct {
	naming naming
	rock   bool         // records carry Rock Ridge entries
	dirs   []*directory // parents first, as the path table wants them
	more   continuation // Rock Ridge entries that find no room in their record

	tables    [2]uint32 // first sectors of the two path tables
	tableSize uint32    // bytes of one
	moreFirst uint32
}

// directory is a directory of one hierarchy.
type directory struct {
	node    *iso.Node
	parent  *directory // the root is its own parent
	number  int        // in the path table, from 1
	id      []byte
	self    record
	up      record
	records []record
	first   uint32 // sector
	size    uint32 // bytes, whole sectors
}

// record is a directory record without the address of what it describes.
type record struct {
	id   []byte
	node *iso.Node
	dir  *directory // nil for a file
	susp suspension
}

func newHierarchy(root *iso.Node, n naming, rock bool) *hierarchy {
	h := &hierarchy{naming: n, rock: rock}
	top := &directory{node: root, number: 1, id: []byte{0}}
	top.parent = top
	h.dirs = []*directory{top}
	for i := 0; i < len(h.dirs); i++ { // grows while it runs: breadth first
		h.fill(h.dirs[i])
	}
	for _, d := range h.dirs {
		h.tableSize += uint32(8 + len(d.id) + len(d.id)%2)
	}
	return h
}

// fill names the children of a directory, sorts them, and queues those that are directories.
func (h *hierarchy) fill(d *directory) {
	d.self = record{id: []byte{0}, node: d.node, dir: d}
	d.up = record{id: []byte{1}, node: d.parent.node, dir: d.parent}
	if h.rock {
		d.self.susp = h.more.rockRidgeSelf(d.node)
		d.up.susp = h.more.rockRidge(d.parent.node, "", len(d.up.id))
	}
	for _, c := range h.sorted(d.node) {
		r := record{id: h.naming.encode(c.name, c.node.IsDir()), node: c.node}
		if c.node.IsDir() {
			r.dir = &directory{node: c.node, parent: d, number: len(h.dirs) + 1, id: r.id}
			h.dirs = append(h.dirs, r.dir)
		}
		if h.rock {
			r.susp = h.more.rockRidge(c.node, c.node.Name, len(r.id))
		}
		d.records = append(d.records, r)
	}
	d.size = uint32(len(h.extent(d, time.Time{}, nil))) // addresses have a fixed width, so they can be filled in later
}

// named is a node with the name that it has in one hierarchy.
type named struct {
	name string
	node *iso.Node
}

func (h *hierarchy) sorted(n *iso.Node) []named {
	taken := map[string]bool{}
	out := make([]named, 0, len(n.Children))
	for _, c := range n.Children {
		out = append(out, named{unique(h.naming, c.Name, c.IsDir(), taken), c})
	}
	slices.SortFunc(out, func(a, b named) int { return h.naming.compare(a.name, b.name) })
	return out
}

// place gives the hierarchy's parts their sectors, beginning at next, and returns the sector behind them.
func (h *hierarchy) place(next uint64) uint64 {
	for i := range h.tables {
		h.tables[i] = uint32(next)
		next += sectorsOf(uint64(h.tableSize))
	}
	for _, d := range h.dirs {
		d.first = uint32(next)
		next += uint64(d.size) / sectorSize
	}
	h.moreFirst = uint32(next)
	return next + sectorsOf(uint64(len(h.more.data)))
}

// pathTable lists all directories (ECMA-119 9.4).
func (h *hierarchy) pathTable(order binary.AppendByteOrder) []byte {
	var out []byte
	for _, d := range h.dirs {
		out = append(out, byte(len(d.id)), 0)
		out = order.AppendUint32(out, d.first)
		out = order.AppendUint16(out, uint16(d.parent.number))
		out = append(out, d.id...)
		out = append(out, make([]byte, len(d.id)%2)...)
	}
	return out
}

// extent is the content of a directory: its records, none of which crosses the end of a sector.
func (h *hierarchy) extent(d *directory, t time.Time, first map[*iso.Node]uint32) []byte {
	var out []byte
	for _, r := range append([]record{d.self, d.up}, d.records...) {
		for _, s := range r.sections(first) {
			b := r.encode(s, t, h.moreFirst)
			if free := sectorSize - len(out)%sectorSize; len(b) > free {
				out = append(out, make([]byte, free)...)
			}
			out = append(out, b...)
		}
	}
	return append(out, make([]byte, (sectorSize-len(out)%sectorSize)%sectorSize)...)
}

// section is a piece of a file, or a whole directory, on the volume.
type section struct {
	first uint32 // sector
	size  uint32 // bytes
	last  bool
}

// sections cuts a file of 4 GiB and more into pieces, each of which has a record of its own.
func (r record) sections(first map[*iso.Node]uint32) []section {
	if r.dir != nil {
		return []section{{r.dir.first, r.dir.size, true}}
	}
	at, left := first[r.node], uint64(r.node.Entry.Size)
	var out []section
	for left > maxExtent {
		out = append(out, section{at, maxExtent, false})
		at, left = at+maxExtent/sectorSize, left-maxExtent
	}
	return append(out, section{at, uint32(left), true})
}

// Flags of a directory record (ECMA-119 9.1.6).
const (
	flagDirectory = 0x02
	flagMore      = 0x80 // another section of the same file follows
)

// encode is the directory record of one section (ECMA-119 9.1).
func (r record) encode(s section, t time.Time, moreFirst uint32) []byte {
	var flags byte
	if r.dir != nil {
		flags |= flagDirectory
	}
	if !s.last {
		flags |= flagMore
	}
	out := make([]byte, 2, 256) // the length comes last; no extended attributes
	out = both32(out, s.first)
	out = both32(out, s.size)
	out = append(out, shortTime(t)...)
	out = append(out, flags, 0, 0) // not interleaved
	out = both16(out, 1)           // volume number
	out = append(out, byte(len(r.id)))
	out = append(out, r.id...)
	out = append(out, make([]byte, len(out)%2)...)
	out = append(out, r.susp.encode(t, moreFirst)...)
	out = append(out, make([]byte, len(out)%2)...)
	out[0] = byte(len(out))
	return out
}
