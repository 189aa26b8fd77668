package volume

import (
	"time"

	"github.com/boxkiln/boxkiln/iso"
)

// suspension is what the System Use Sharing Protocol (IEEE P1281) adds to a directory record.
type suspension struct {
	node  *iso.Node // nil for a record without additions
	begin bool      // the root's own record, which announces the protocol
	name  []byte    // NM entries that fit into the record
	more  *elsewhere
}

// elsewhere points into the continuation area, relative to its first sector.
type elsewhere struct {
	sector, offset, size uint32
}

// continuation is the area for entries that a record of 255 bytes has no room for.
type continuation struct {
	data []byte
}

// add keeps entries in the area; they must not cross the end of a sector.
func (c *continuation) add(b []byte) *elsewhere {
	if free := sectorSize - len(c.data)%sectorSize; len(b) > free {
		c.data = append(c.data, make([]byte, free)...)
	}
	at := &elsewhere{uint32(len(c.data) / sectorSize), uint32(len(c.data) % sectorSize), uint32(len(b))}
	c.data = append(c.data, b...)
	return at
}

// Sizes of the entries that every record has, in bytes.
const (
	sizeSP = 7
	sizePX = 36
	sizeTF = 26
	sizeCE = 28
)

// maxRecord is the longest directory record: its length is one byte, and even.
const maxRecord = 254

// rockRidge describes a node. A name that finds no room in the record goes to the continuation area.
func (c *continuation) rockRidge(n *iso.Node, name string, idLen int) suspension {
	s := suspension{node: n}
	entries := nameEntries(name)
	used := 33 + idLen + (33+idLen)%2 + sizePX + sizeTF
	if used+len(entries) <= maxRecord {
		s.name = entries
	} else {
		s.more = c.add(entries)
	}
	return s
}

// rockRidgeSelf describes a directory in its own first record; the root's begins the protocol and names Rock Ridge.
func (c *continuation) rockRidgeSelf(n *iso.Node) suspension {
	s := suspension{node: n}
	if n.Parent == nil {
		s.begin = true
		s.more = c.add(extensionReference())
	}
	return s
}

func (s suspension) encode(t time.Time, moreFirst uint32) []byte {
	if s.node == nil {
		return nil
	}
	var out []byte
	if s.begin {
		out = append(out, 'S', 'P', sizeSP, 1, 0xbe, 0xef, 0)
	}
	out = append(out, posixAttributes(s.node)...)
	out = append(out, 'T', 'F', sizeTF, 1, 0x0e) // modified, accessed, attributes changed
	for range 3 {
		out = append(out, shortTime(t)...)
	}
	out = append(out, s.name...)
	if s.more != nil {
		out = append(out, 'C', 'E', sizeCE, 1)
		out = both32(out, moreFirst+s.more.sector)
		out = both32(out, s.more.offset)
		out = both32(out, s.more.size)
	}
	return out
}

// Modes of stat(2), as Rock Ridge keeps them.
const (
	modeDirectory = 0o040555
	modeFile      = 0o100444
	modeExecute   = 0o000111
)

// posixAttributes is the PX entry: mode, links and owner. Everything belongs to root and everybody may read it.
func posixAttributes(n *iso.Node) []byte {
	mode, links := uint32(modeFile), uint32(1)
	switch {
	case n.IsDir():
		mode, links = modeDirectory, 2
		for _, c := range n.Children {
			if c.IsDir() {
				links++
			}
		}
	case n.Entry.Mode.Perm()&modeExecute != 0:
		mode |= modeExecute
	}
	out := []byte{'P', 'X', sizePX, 1}
	for _, v := range []uint32{mode, links, 0, 0} {
		out = both32(out, v)
	}
	return out
}

// nameEntries are the NM entries of a name, several if it is longer than 250 bytes.
func nameEntries(name string) []byte {
	const most = 255 - 5
	var out []byte
	for len(name) > most {
		out = append(append(out, 'N', 'M', 255, 1, 1), name[:most]...) // flag 1: continued in the next entry
		name = name[most:]
	}
	if name == "" {
		return out
	}
	return append(append(out, 'N', 'M', byte(5+len(name)), 1, 0), name...)
}

// extensionReference is the ER entry of Rock Ridge 1.09, the text that every reader knows.
func extensionReference() []byte {
	const (
		id     = "RRIP_1991A"
		about  = "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
		source = "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION."
	)
	out := []byte{'E', 'R', byte(8 + len(id) + len(about) + len(source)), 1, byte(len(id)), byte(len(about)), byte(len(source)), 1}
	return append(out, id+about+source...)
}
