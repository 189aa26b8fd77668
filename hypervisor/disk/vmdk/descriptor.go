package vmdk

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Options are what a descriptor says of a disk beside its size.
type Options struct {
	// Adapter is what the disk was made for: "ide", "buslogic" or "lsilogic" (also for SAS, SATA, NVMe and PVSCSI, for which
	// descriptors have no word that all readers know). Default: "lsilogic".
	Adapter string
	// HWVersion is VMware's version of the virtual hardware. Default: 19.
	HWVersion int
	// UUID identifies the image; VirtualBox's descriptor of a machine names it again. Default: one that is derived from CID
	// and size, so that equal inputs make equal files.
	UUID uuid.UUID
	// CID changes when the content does: a snapshot names that of the image under it. 0 and the two values that mean "no
	// parent" and "all zeros" (0xffffffff, 0xfffffffe) are replaced.
	CID uint32
}

// noParent is the CID of no image.
const noParent = 0xffffffff

// WithDefaults fills in what was left open, for a disk of size bytes.
func (o Options) WithDefaults(size int64) Options {
	o.Adapter = cmp.Or(o.Adapter, "lsilogic")
	o.HWVersion = cmp.Or(o.HWVersion, 19)
	if o.CID == 0 || o.CID >= noParent-1 {
		o.CID = 0x626f786b // any other would do
	}
	if o.UUID == uuid.Nil {
		var seed [12]byte
		binary.BigEndian.PutUint64(seed[:], uint64(size))
		binary.BigEndian.PutUint32(seed[8:], o.CID)
		o.UUID = uuid.NewSHA1(uuid.NameSpaceOID, seed[:])
	}
	return o
}

// Descriptor is the text in an image, or beside its extents, that says what it is.
type Descriptor struct {
	CID, ParentCID uint32
	CreateType     string // streamOptimized, monolithicSparse ...
	Parent         string // the file of the disk under it, if ParentCID names one; relative to this one's or absolute
	Extents        []Extent
	DDB            map[string]string // the disk data base, without "ddb." before the keys
}

// Extent is a file with a part of the disk.
type Extent struct {
	Access  string // RW, RDONLY, NOACCESS
	Sectors int64  // of 512 bytes
	Kind    string // SPARSE, FLAT, ZERO, VMFS ...
	File    string // beside the descriptor; a stream is its own, whatever stands here
	Offset  int64  // in sectors, of a FLAT extent
}

// streamName is the name of the extent that VMware's tools give to every stream: nobody looks for it.
const streamName = "generated-stream.vmdk"

// descriptor is that of a stream.
func (o Options) descriptor(size int64) Descriptor {
	sectors := (size + sectorSize - 1) / sectorSize
	cylinders, heads, perTrack := geometry(o.Adapter, sectors)
	d := Descriptor{
		CID: o.CID, ParentCID: noParent, CreateType: "streamOptimized",
		Extents: []Extent{{Access: "RDONLY", Sectors: sectors, Kind: "SPARSE", File: streamName}},
		DDB: map[string]string{
			"adapterType":        o.Adapter,
			"virtualHWVersion":   strconv.Itoa(o.HWVersion),
			"geometry.cylinders": strconv.FormatInt(cylinders, 10),
			"geometry.heads":     strconv.Itoa(heads),
			"geometry.sectors":   strconv.Itoa(perTrack),
			"toolsVersion":       "2147483647", // unknown: looked for in the guest
		},
	}
	maps.Copy(d.DDB, o.identity())
	return d
}

// identity is what tells one image from another, in the words of VMware and, those with uuid and a dot, of VirtualBox.
func (o Options) identity() map[string]string {
	none := uuid.Nil.String()
	return map[string]string{
		"longContentID":           fmt.Sprintf("%x%08x", o.UUID[:12], o.CID),
		"uuid":                    vmwareUUID(o.UUID),
		"uuid.image":              o.UUID.String(),
		"uuid.parent":             none,
		"uuid.modification":       none,
		"uuid.parentmodification": none,
	}
}

// geometry is what VMware's tools write: for IDE as the ATA standard has it, for SCSI what a BIOS makes of the size.
func geometry(adapter string, sectors int64) (cylinders int64, heads, perTrack int) {
	const gib = 1 << 30 / sectorSize
	heads, perTrack = 255, 63
	most := int64(65535)
	switch {
	case adapter == "ide":
		heads, most = 16, 16383
	case sectors < gib:
		heads, perTrack = 64, 32
	case sectors < 2*gib:
		heads, perTrack = 128, 32
	}
	return min(max(sectors/int64(heads*perTrack), 1), most), heads, perTrack
}

// vmwareUUID is VMware's spelling; the first bytes are those of its vendor number, which mark a disk.
func vmwareUUID(u uuid.UUID) string {
	copy(u[:], []byte{0x60, 0x00, 0xc2, 0x90 | u[3]&0x0f})
	var b strings.Builder
	for i, v := range u {
		switch {
		case i == 8:
			b.WriteByte('-')
		case i > 0:
			b.WriteByte(' ')
		}
		b.WriteString(hex.EncodeToString([]byte{v}))
	}
	return b.String()
}

// Text is the descriptor as it stands in a file.
func (d Descriptor) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=%08x\nparentCID=%08x\ncreateType=%q\n\n# Extent description\n",
		d.CID, d.ParentCID, d.CreateType)
	for _, e := range d.Extents {
		fmt.Fprintf(&b, "%s %d %s \"%s\"", e.Access, e.Sectors, e.Kind, e.File)
		if e.Kind == "FLAT" {
			fmt.Fprintf(&b, " %d", e.Offset)
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n# The Disk Data Base\n#DDB\n\n")
	for _, key := range slices.Sorted(maps.Keys(d.DDB)) {
		fmt.Fprintf(&b, "ddb.%s = \"%s\"\n", key, d.DDB[key])
	}
	return b.Bytes()
}

// ParseDescriptor reads the text of a descriptor; zeros after it are left out. Keys that nobody knows are no matter.
func ParseDescriptor(text []byte) (Descriptor, error) {
	text, _, _ = bytes.Cut(text, []byte{0})
	d := Descriptor{ParentCID: noParent, DDB: map[string]string{}}
	if !bytes.HasPrefix(text, []byte("# Disk DescriptorFile")) {
		return d, invalid("its descriptor does not begin with %q", "# Disk DescriptorFile")
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := d.line(line); err != nil {
			return Descriptor{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return Descriptor{}, invalid("its descriptor: %v", err)
	}
	return d, nil
}

func (d *Descriptor) line(line string) error {
	if access, _, _ := strings.Cut(line, " "); slices.Contains([]string{"RW", "RDONLY", "NOACCESS"}, access) {
		e, err := parseExtent(line)
		d.Extents = append(d.Extents, e)
		return err
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return invalid("its descriptor has the line %.80q", line)
	}
	key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"`)
	var err error
	switch key {
	case "CID":
		d.CID, err = parseCID(value)
	case "parentCID":
		d.ParentCID, err = parseCID(value)
	case "createType":
		d.CreateType = value
	case "parentFileNameHint":
		d.Parent = value
	default:
		if name, ok := strings.CutPrefix(key, "ddb."); ok {
			d.DDB[name] = value
		}
	}
	return err
}

func parseCID(s string) (uint32, error) {
	v, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return 0, invalid("its descriptor has the CID %.20q", s)
	}
	return uint32(v), nil
}

// parseExtent reads a line such as `RW 8323072 FLAT "disk-f001.vmdk" 0`.
func parseExtent(line string) (Extent, error) {
	bad := invalid("its descriptor has the extent %.80q", line)
	front, rest, named := strings.Cut(line, `"`)
	words := strings.Fields(front)
	if len(words) != 3 {
		return Extent{}, bad
	}
	e := Extent{Access: words[0], Kind: words[2]}
	var err error
	if e.Sectors, err = strconv.ParseInt(words[1], 10, 64); err != nil || e.Sectors < 0 {
		return Extent{}, bad
	}
	if !named {
		return e, nil // ZERO
	}
	last := strings.LastIndexByte(rest, '"')
	if last < 0 {
		return Extent{}, bad
	}
	e.File = rest[:last]
	if after := strings.Fields(rest[last+1:]); len(after) > 0 {
		if e.Offset, err = strconv.ParseInt(after[0], 10, 64); err != nil || e.Offset < 0 {
			return Extent{}, bad
		}
	}
	return e, nil
}

// Identify writes CID and UUID into a VMDK that another tool has written: into a descriptor of its own, or that of a
// monolithicSparse image.
func Identify(path string, o Options) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(identify(f, o), f.Close())
}

func identify(f *os.File, o Options) error {
	at, room, err := find(f)
	if err != nil {
		return fmt.Errorf("%q: %w", f.Name(), err)
	}
	old, err := io.ReadAll(io.NewSectionReader(f, at, maxDescriptor*sectorSize))
	if err != nil {
		return err
	}
	d, err := ParseDescriptor(old)
	if err != nil {
		return fmt.Errorf("%q: %w", f.Name(), err)
	}
	d.CID = o.CID
	maps.Copy(d.DDB, o.identity())
	text := d.Text()
	if room == 0 {
		err = f.Truncate(0)
	} else if spare := room - int64(len(text)); spare < 0 {
		err = fmt.Errorf("%q: its descriptor has %d bytes, and room for %d", f.Name(), len(text), room)
	} else {
		text = append(text, make([]byte, spare)...)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, at)
	return err
}

// find tells where in a file its descriptor is and how many bytes are kept for it; 0 when the file is nothing else.
func find(f *os.File) (at, room int64, err error) {
	first := make([]byte, sectorSize)
	if _, err := f.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	if string(first[:len(magic)]) != magic {
		return 0, 0, nil
	}
	h, err := parseHeader(first)
	if err != nil {
		return 0, 0, err
	}
	if h.descriptorOffset == 0 || h.descriptorOffset > maxDescriptor || h.descriptorLength > maxDescriptor {
		return 0, 0, invalid("descriptor of %d sectors at %d", h.descriptorLength, h.descriptorOffset)
	}
	return int64(h.descriptorOffset) * sectorSize, int64(h.descriptorLength) * sectorSize, nil
}
