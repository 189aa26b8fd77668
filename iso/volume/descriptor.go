package volume

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// Byte orders of the two path tables.
var (
	littleEndian = binary.LittleEndian
	bigEndian    = binary.BigEndian
)

// both32 appends a number in both byte orders (ECMA-119 7.3.3).
func both32(b []byte, v uint32) []byte {
	return bigEndian.AppendUint32(littleEndian.AppendUint32(b, v), v)
}

// both16 appends a number in both byte orders (ECMA-119 7.2.3).
func both16(b []byte, v uint16) []byte {
	return bigEndian.AppendUint16(littleEndian.AppendUint16(b, v), v)
}

// shortTime is the time of a directory record (ECMA-119 9.1.5).
func shortTime(t time.Time) []byte {
	t = t.UTC()
	return []byte{byte(t.Year() - 1900), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0}
}

// longTime is the time of a volume descriptor (ECMA-119 8.4.26.1), in UTC.
func longTime(t time.Time) []byte {
	t = t.UTC()
	return append([]byte(t.Format("20060102150405")+fmt.Sprintf("%02d", t.Nanosecond()/1e7)), 0)
}

// descriptor is the primary volume descriptor (ECMA-119 8.4), or Joliet's supplementary one (8.5), which only
// differs in its type, its escape sequence and the encoding of its texts.
func (img *image) descriptor(h *hierarchy, joliet bool) []byte {
	kind, escape, text := byte(1), "", asciiText
	if joliet {
		kind, escape, text = 2, "%/E", ucs2Text // UCS-2 level 3
	}
	out := append(make([]byte, 0, sectorSize), kind)
	out = append(out, "CD001\x01\x00"...)
	out = append(out, text("", 32)...) // system
	out = append(out, text(img.opts.Label, 32)...)
	out = append(out, make([]byte, 8)...)
	out = both32(out, img.sectors)
	out = append(out, asciiZero(escape, 32)...)
	out = both16(out, 1) // volumes in the set
	out = both16(out, 1) // number of this volume
	out = both16(out, sectorSize)
	out = both32(out, h.tableSize)
	out = littleEndian.AppendUint32(out, h.tables[0])
	out = littleEndian.AppendUint32(out, 0) // no second copy
	out = bigEndian.AppendUint32(out, h.tables[1])
	out = bigEndian.AppendUint32(out, 0)
	top := record{id: []byte{0}, dir: h.dirs[0]}
	out = append(out, top.encode(section{h.dirs[0].first, h.dirs[0].size, true}, img.opts.Time, 0)...)
	out = append(out, text("", 128)...)        // volume set
	out = append(out, text("", 128)...)        // publisher
	out = append(out, text("", 128)...)        // preparer
	out = append(out, text("BOXKILN", 128)...) // application
	for range 3 {
		out = append(out, text("", 37)...) // copyright, abstract and bibliographic files
	}
	out = append(out, longTime(img.opts.Time)...) // created
	out = append(out, longTime(img.opts.Time)...) // modified
	out = append(out, noTime()...)                // expires
	out = append(out, noTime()...)                // effective
	out = append(out, 1)                          // version of the file structure
	return append(out, make([]byte, sectorSize-len(out))...)
}

// noTime says that a time is not given.
func noTime() []byte { return append([]byte(strings.Repeat("0", 16)), 0) }

// terminator ends the set of descriptors (ECMA-119 8.3).
func terminator() []byte { return append([]byte("\xffCD001\x01"), make([]byte, sectorSize-7)...) }

// asciiText fills a field of n bytes up with spaces.
func asciiText(s string, n int) []byte { return []byte(s + strings.Repeat(" ", n-len(s))) }

// ucs2Text is asciiText for Joliet: as much of the text as n bytes hold.
func ucs2Text(s string, n int) []byte {
	out := ucs2(s)
	out = out[:min(len(out), n/2*2)]
	for len(out)+1 < n {
		out = append(out, 0, ' ')
	}
	return append(out, make([]byte, n-len(out))...)
}

// asciiZero fills a field of n bytes up with zeros.
func asciiZero(s string, n int) []byte { return append([]byte(s), make([]byte, n-len(s))...) }
