package ovf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// Read reads a descriptor of exactly one virtual machine. It opens none of the files that it names. Errors name the element and what
// to do. What vbox:Machine says counts more than the Items, as it does for VirtualBox.
func Read(r io.Reader) (Descriptor, error) {
	root, err := parse(r)
	if err != nil {
		return Descriptor{}, fmt.Errorf("the OVF descriptor cannot be read: %w", err)
	}
	rd := reader{files: map[string]File{}, disks: map[string]diskEntry{}, images: map[string]diskEntry{}}
	if err := rd.envelope(root); err != nil {
		return Descriptor{}, fmt.Errorf("the OVF descriptor cannot be used: %w", err)
	}
	return rd.d, nil
}

// reader collects what a descriptor says.
type reader struct {
	d             Descriptor
	files         map[string]File      // by id
	disks         map[string]diskEntry // by id
	images        map[string]diskEntry // by VirtualBox's UUID
	configuration string               // which Items of several deployment options count
}

// diskEntry is a Disk of DiskSection.
type diskEntry struct {
	file     File
	capacity int64
	format   hardware.DiskFormat // empty for an ISO
	uuid     string
}

// remark notes what a caller may want to show.
func (rd *reader) remark(n *node, format string, args ...any) {
	rd.d.Remarks = append(rd.d.Remarks, n.errorf(format, args...).Error())
}

func (rd *reader) envelope(root *node) error {
	if root.name != "Envelope" || !isEnvelope(root.space) {
		return root.errorf("the root is not the Envelope of an OVF in namespace %q, but in %q", nsEnvelope1, root.space)
	}
	rd.d.Version = map[string]string{nsEnvelope09: "0.9", nsEnvelope1: root.attrOr("version", "1.0"), nsEnvelope2: "2.0"}[root.space]
	if err := rd.references(root.child("References")); err != nil {
		return err
	}
	var systems []*node
	for _, n := range root.children {
		var err error
		switch {
		case n.name == "References" || n.name == "Strings":
		case n.name == "DiskSection":
			err = rd.diskSection(n)
		case n.name == "DeploymentOptionSection":
			rd.deployment(n)
		case n.name == "VirtualSystem":
			systems = append(systems, n)
		case n.name == "VirtualSystemCollection":
			systems = append(systems, n.systems()...)
		default:
			err = rd.section(n)
		}
		if err != nil {
			return err
		}
	}
	if len(systems) != 1 {
		return fmt.Errorf("it describes %d virtual machines: export the one that is wanted alone", len(systems))
	}
	return rd.system(systems[0])
}

// systems are the virtual machines of a collection and of those in it.
func (n *node) systems() []*node {
	list := n.all("VirtualSystem")
	for _, c := range n.all("VirtualSystemCollection") {
		list = append(list, c.systems()...)
	}
	return list
}

// sections are those that OVF 1.x and 2.0 define and that a machine can be imported without.
var sections = []string{
	"NetworkSection", "ResourceAllocationSection", "StartupSection", "InstallSection", "AnnotationSection", "ProductSection", "EulaSection",
	"OperatingSystemSection", "EnvironmentFilesSection", "BootDeviceSection", "SharedDiskSection", "ScaleOutSection", "PlacementGroupSection",
	"PlacementSection", "EncryptionSection",
}

// section looks at a section that is about nothing of the machine. One that is required and that nobody here knows is refused, as the
// standard says.
func (rd *reader) section(n *node) error {
	if n.name == "EncryptionSection" {
		return n.errorf("the package is encrypted: decrypt it first")
	}
	if slices.Contains(sections, n.name) {
		if n.child("Info") == nil {
			rd.remark(n, "it has no Info, which the schema wants")
		}
		if n.name == "EulaSection" {
			rd.d.Licence = strings.TrimSpace(rd.d.Licence + "\n" + n.content("License"))
		}
		return nil
	}
	if n.required() && n.space != nsVMW && n.space != nsVBox {
		return n.errorf(`it is required and not understood: set ovf:required="false" if the machine can do without`)
	}
	return nil
}

func (rd *reader) deployment(n *node) {
	for _, c := range n.all("Configuration") {
		if id, _ := c.attr("id"); rd.configuration == "" || c.attrOr("default", "false") == "true" {
			rd.configuration = id
		}
	}
}

func (rd *reader) references(n *node) error {
	if n == nil {
		return nil
	}
	for _, f := range n.all("File") {
		id, _ := f.attr("id")
		href, ok := f.attr("href")
		switch {
		case id == "" || !ok:
			return f.errorf("it needs ovf:id and ovf:href")
		case rd.files[id].ID != "":
			return f.errorf("ovf:id %q is there twice: give every file its own", id)
		}
		if _, chunked := f.attr("chunkSize"); chunked {
			return f.errorf("%q is split into chunks (ovf:chunkSize): join them, cat %s.0* > %s, and remove ovf:chunkSize", href, href, href)
		}
		name, err := fileName(href)
		if err != nil {
			return f.errorf("%w", err)
		}
		size, err := strconv.ParseInt(f.attrOr("size", "0"), 10, 64)
		if err != nil || size < 0 {
			return f.errorf("ovf:size of %q is not a length in bytes", href)
		}
		file := File{ID: id, Name: name, Href: href, Size: size, Gzipped: f.attrOr("compression", "identity") == "gzip"}
		rd.files[id] = file
		rd.d.Files = append(rd.d.Files, file)
	}
	return nil
}

// fileName takes a reference to a file of the package. It must stay inside.
func fileName(href string) (string, error) {
	u, err := url.Parse(strings.ReplaceAll(href, " ", "%20"))
	if err == nil && (u.Scheme != "" || u.Host != "") {
		return "", fmt.Errorf("ovf:href %q is elsewhere: download it and name the file", href)
	}
	name, err := url.PathUnescape(href)
	if err != nil {
		name = href // VirtualBox does not escape
	}
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") {
		return "", fmt.Errorf("ovf:href %q leads out of the package: name a file beside the descriptor", href)
	}
	return name, nil
}

func (rd *reader) diskSection(n *node) error {
	if n.child("Info") == nil {
		rd.remark(n, "it has no Info, which the schema wants")
	}
	for _, d := range n.all("Disk") {
		if err := rd.disk(d); err != nil {
			return err
		}
	}
	return nil
}

func (rd *reader) disk(n *node) error {
	id, _ := n.attr("diskId")
	if _, twice := rd.disks[id]; twice || id == "" {
		return n.errorf("ovf:diskId %q is missing, or there twice", id)
	}
	if parent, ok := n.attr("parentRef"); ok {
		return n.errorf("disk %q is only the difference to %q: export the machine without snapshots", id, parent)
	}
	ref, _ := n.attr("fileRef")
	file, ok := rd.files[ref]
	if !ok {
		return n.errorf("disk %q has ovf:fileRef %q, and References names no such file", id, ref)
	}
	capacity, err := bytesOf(n.attrOr("capacity", ""), n.attrOr("capacityAllocationUnits", "byte"))
	if err != nil {
		return n.errorf("capacity of disk %q: %w", id, err)
	}
	uri, _ := n.attr("format")
	format, err := diskFormat(uri)
	if err != nil {
		return n.errorf("disk %q: %w", id, err)
	}
	uuid, marked := n.attrIn(nsVBox, "uuid")
	entry := diskEntry{file: file, capacity: capacity, format: format, uuid: plainUUID(uuid)}
	if _, twice := rd.images[entry.uuid]; twice {
		return n.errorf("disk %q has the uuid of an earlier one: give it its own", id)
	}
	if marked {
		rd.images[entry.uuid] = entry
	}
	rd.disks[id] = entry
	return nil
}

// plainUUID takes off the braces that VirtualBox has.
func plainUUID(s string) string { return strings.ToLower(strings.Trim(s, "{}")) }

var vmdkURI = regexp.MustCompile(`^https?://www\.vmware\.com/(?:interfaces/)?specifications/vmdk\.html#(\w+)$`)

// diskFormat reads a format by its URI; empty is an ISO image.
func diskFormat(uri string) (hardware.DiskFormat, error) {
	if vmdk := vmdkURI.FindStringSubmatch(uri); vmdk != nil {
		switch strings.ToLower(vmdk[1]) {
		case "streamoptimized", "compressed":
			return hardware.StreamVMDK, nil
		case "sparse":
			return hardware.SparseVMDK, nil
		}
	}
	switch uri {
	case uriVHD:
		return hardware.VHD, nil
	case uriISO:
		return "", nil
	}
	return "", fmt.Errorf("ovf:format %q is not known: export it as %s", uri, uriStream)
}

var unitPattern = regexp.MustCompile(`^byte(?:\s*\*\s*(2|10)\^(\d{1,2}))?$`)

// bytesOf multiplies a quantity with a unit: "byte * 2^20" (DSP0004 annex C), or one of the older words.
func bytesOf(quantity, units string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(quantity), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no number", quantity)
	}
	factor := 1.0
	if words := map[string]float64{"kilobytes": 1 << 10, "megabytes": 1 << 20, "gigabytes": 1 << 30, "bytes": 1, "mb": 1 << 20, "gb": 1 << 30}; words[strings.ToLower(units)] > 0 {
		factor = words[strings.ToLower(units)]
	} else if m := unitPattern.FindStringSubmatch(units); m == nil {
		return 0, fmt.Errorf("units %q are not known: use byte * 2^20", units)
	} else if m[1] != "" {
		base, _ := strconv.ParseFloat(m[1], 64)
		exponent, _ := strconv.ParseFloat(m[2], 64)
		factor = math.Pow(base, exponent)
	}
	const limit = 1 << 60
	if float64(n)*factor > limit {
		return 0, fmt.Errorf("%s times %s is more than anybody has", quantity, units)
	}
	return n * int64(factor), nil
}

func (rd *reader) system(n *node) error {
	m := &rd.d.Machine
	id, _ := n.attr("id")
	if id == "" {
		return n.errorf("it has no ovf:id")
	}
	if m.Name = n.content("Name"); m.Name == "" {
		m.Name = id
	}
	if n.child("Info") == nil {
		rd.remark(n, "it has no Info, which the schema wants")
	}
	settings, err := rd.systemSections(n)
	if err != nil {
		return err
	}
	hw := n.child("VirtualHardwareSection")
	if hw == nil {
		return n.errorf("it has no VirtualHardwareSection: nothing is known of the machine")
	}
	rd.guest(n.child("OperatingSystemSection"))
	if err := rd.hardware(hw); err != nil {
		return err
	}
	if settings != nil {
		rd.d.Flavour = VirtualBox
		return rd.vboxMachine(settings)
	}
	return nil
}

// systemSections looks at the sections of a machine that are not about its hardware, and returns VirtualBox's settings if they are there.
func (rd *reader) systemSections(n *node) (settings *node, err error) {
	for _, c := range n.children {
		switch {
		case slices.Contains([]string{"Info", "Name", "OperatingSystemSection", "VirtualHardwareSection"}, c.name):
		case c.name == "AnnotationSection":
			rd.d.Machine.Description = c.content("Annotation")
		case c.name == "Machine" && c.space == nsVBox:
			settings = c
		default:
			if err := rd.section(c); err != nil {
				return nil, err
			}
		}
	}
	return settings, nil
}

// guest prefers what a product says in its own words to OVF's numbers.
func (rd *reader) guest(os *node) {
	guest := hardware.Other
	if os == nil {
		rd.d.Machine.Guest = guest
		return
	}
	number, _ := os.attr("id")
	if cim, err := strconv.Atoi(number); err == nil {
		guest = hardware.GuestOfCIM(cim)
	}
	if id := strings.TrimSpace(os.content("OSType")); id != "" {
		rd.d.Flavour = VirtualBox
		guest = better(hardware.GuestOfVirtualBox(id), guest)
	}
	if id, ok := os.attrIn(nsVMW, "osType"); ok {
		rd.d.Flavour = VMware
		guest = better(hardware.GuestOfVIM(id), guest)
	}
	rd.d.Machine.Guest = guest
}

// better takes the first that is more than "other".
func better(first, second hardware.Guest) hardware.Guest {
	if first == hardware.Other || first == hardware.Other64 && second != hardware.Other {
		return second
	}
	return first
}

var errNoNumber = errors.New("it is no number")

// number reads a text that must be a number of at most limit.
func number(text string, limit int) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 0 || n > limit {
		return 0, fmt.Errorf("%q: %w up to %d", text, errNoNumber, limit)
	}
	return n, nil
}
