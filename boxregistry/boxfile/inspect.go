package boxfile

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// ErrInvalid is wrapped by every error that says something against the box itself, rather than against reading it.
var ErrInvalid = errors.New("not a good box")

// Limits bound what Inspect accepts and how much work and memory a box can cause. A zero field takes its default.
type Limits struct {
	Entries  int   // files and directories; default 1000
	Name     int   // bytes of an entry's name; default 255
	Metadata int64 // bytes of metadata.json, info.json and Vagrantfile each; default 1 MiB
	Machine  int64 // bytes of an OVF or VMX file; default 4 MiB
	Unpacked int64 // bytes of all entries; default 1 TiB
	// Ratio is how many times its own size a box may unpack to, once that is above 1 GiB; default 500. A sparse raw disk
	// reaches 200.
	Ratio int64
	// Window is how many bytes of history a decompressor may keep in memory; default 128 MiB, which is that of
	// zstd --long and twice that of xz -9.
	Window int64
}

var defaultLimits = Limits{Entries: 1000, Name: 255, Metadata: 1 << 20, Machine: 4 << 20, Unpacked: 1 << 40, Ratio: 500, Window: 128 << 20}

func orDefault[T int | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Entries, defaultLimits.Entries)
	orDefault(&l.Name, defaultLimits.Name)
	orDefault(&l.Metadata, defaultLimits.Metadata)
	orDefault(&l.Machine, defaultLimits.Machine)
	orDefault(&l.Unpacked, defaultLimits.Unpacked)
	orDefault(&l.Ratio, defaultLimits.Ratio)
	orDefault(&l.Window, defaultLimits.Window)
	return l
}

// Entry is one file of a box.
type Entry struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes when unpacked
}

// Summary is what is known of a box: Inspect learned it of its bytes, or Write made them so. Both say the same of the same bytes.
type Summary struct {
	Metadata    Metadata          `json:"metadata"`
	Compression string            `json:"compression"` // gzip, zstd, xz, bzip2 or none
	Vagrantfile string            `json:"vagrantfile,omitempty"`
	Info        map[string]string `json:"info,omitempty"`
	Files       []Entry           `json:"files"` // in the order of the archive, without directories
	Unpacked    int64             `json:"unpacked"`
	VirtualSize int64             `json:"virtual_size,omitempty"` // of all disks whose size is known, bytes
	Images      []Image           `json:"images,omitempty"`       // of an aws box, in the order of their regions
	SHA256      string            `json:"sha256"`                 // hex, of the box file
	Size        int64             `json:"size"`                   // of the box file
	// Warnings name what Vagrant puts up with but other readers may not.
	Warnings []string `json:"warnings,omitempty"`
}

// Inspect reads a box to its end and judges it. Nothing is written anywhere. An error wraps ErrInvalid when the box is to
// blame, and otherwise is the reader's or ctx's; all that is wrong with the files is said at once. On ErrInvalid the
// summary holds what was learned before.
func Inspect(ctx context.Context, r io.Reader, l Limits) (Summary, error) {
	h := sha256.New()
	return inspectSource(&source{ctx: ctx, r: r, hash: h}, l, func() string { return hex.EncodeToString(h.Sum(nil)) })
}

func inspectSource(src *source, l Limits, sum func() string) (Summary, error) {
	return newInspector(l).inspect(src, sum)
}

func (in *inspector) inspect(src *source, sum func() string) (Summary, error) {
	err := in.read(src)
	if src.err != nil { // a broken connection looks like a broken archive from above
		return in.sum, src.err
	}
	var ours fault
	if errors.As(err, &ours) {
		return in.sum, ours.error
	}
	in.sum.Size, in.sum.SHA256 = src.size, sum()
	if err == nil {
		err = in.judge()
	}
	if err != nil {
		return in.sum, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return in.sum, nil
}

// InspectHashed is Inspect for a caller who hashes the file himself: the summary names his sha256.
func InspectHashed(ctx context.Context, r io.Reader, l Limits, sha256 string) (Summary, error) {
	return inspectSource(&source{ctx: ctx, r: r}, l, func() string { return sha256 })
}

// textBudget bounds what all text entries together may take in memory.
const textBudget = 16 << 20

// inspector learns of a box entry by entry, whether they are read or written, and judges the whole.
type inspector struct {
	limits  Limits
	sum     Summary
	budget  int64
	entries int
	seen    map[string]bool
	texts   map[string][]byte // whole small files
	heads   map[string][]byte // first bytes of the others
	// unpack returns where the content of a file goes as well; nil for nowhere.
	unpack func(name string) (io.WriteCloser, error)
}

func newInspector(l Limits) *inspector {
	return &inspector{limits: l.withDefaults(), budget: textBudget, seen: map[string]bool{}, texts: map[string][]byte{}, heads: map[string][]byte{}}
}

func (in *inspector) read(src *source) error {
	plain, compression, err := decompress(src, in.limits.Window)
	if err != nil {
		return err
	}
	defer plain.Close()
	in.sum.Compression = compression
	m := &meter{r: plain, src: src, limits: in.limits}
	archive := tar.NewReader(m)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return m.blame(fmt.Errorf("the archive cannot be read: %w", err))
		}
		if err := in.entry(h, archive); err != nil {
			return m.blame(err)
		}
	}
	if _, err := io.Copy(io.Discard, m); err != nil { // the compressor's check sum is at the end
		return m.blame(fmt.Errorf("the end of the archive cannot be read: %w", err))
	}
	_, err = io.Copy(io.Discard, src)
	return err
}

func (in *inspector) entry(h *tar.Header, body io.Reader) error {
	if in.entries++; in.entries > in.limits.Entries {
		return fmt.Errorf("it holds more than %d entries", in.limits.Entries)
	}
	name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
	if h.Typeflag == tar.TypeDir && (name == "" || name == ".") {
		return nil
	}
	if err := checkName(name, in.limits.Name); err != nil {
		return err
	}
	if in.seen[name] {
		return fmt.Errorf("two entries are named %q", name)
	}
	in.seen[name] = true
	switch h.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg, tar.TypeGNUSparse:
	default:
		return fmt.Errorf("entry %q is a %s; only files and directories are allowed", name, typeName(h.Typeflag))
	}
	// Every file adds to the sum, so an entry cannot pass by claiming a size near the largest number.
	if h.Size < 0 || h.Size > in.limits.Unpacked-in.sum.Unpacked {
		return fmt.Errorf("it unpacks to more than %d bytes", in.limits.Unpacked)
	}
	in.sum.Unpacked += h.Size
	in.sum.Files = append(in.sum.Files, Entry{Name: name, Size: h.Size})
	in.notice(h.Name, name)
	if in.unpack != nil {
		return in.write(name, h.Size, body)
	}
	return in.keep(name, h.Size, body)
}

func typeName(flag byte) string {
	switch flag {
	case tar.TypeSymlink:
		return "symbolic link"
	case tar.TypeLink:
		return "hard link"
	case tar.TypeChar, tar.TypeBlock:
		return "device"
	case tar.TypeFifo:
		return "pipe"
	}
	return fmt.Sprintf("entry of type %q", flag)
}

// notice warns of what Packer and others trip over.
func (in *inspector) notice(written, name string) {
	if written != name && len(in.sum.Files) == 1 {
		in.warn(`the names of the entries start with "./": Packer does not find metadata.json in such a box`)
	}
	if name == MetadataName && len(in.sum.Files) > 1 {
		in.warn("metadata.json is not the first entry: readers must unpack what comes before it")
	}
}

func (in *inspector) warn(text string) { in.sum.Warnings = append(in.sum.Warnings, text) }

// keep remembers an entry as far as judge will want it: small texts whole, of the rest the first bytes.
func (in *inspector) keep(name string, size int64, body io.Reader) error {
	limit := in.textLimit(name)
	if limit == 0 {
		head, err := io.ReadAll(io.LimitReader(body, disk.QCOW2HeaderSize))
		in.heads[name] = head
		return err
	}
	if in.budget -= size; size > limit || in.budget < 0 {
		return fmt.Errorf("entry %q is too large: %d bytes, %d are allowed", name, size, limit)
	}
	text, err := io.ReadAll(body)
	in.texts[name] = text
	return err
}

func (in *inspector) textLimit(name string) int64 {
	switch {
	case name == MetadataName, name == InfoName, name == VagrantfileName:
		return in.limits.Metadata
	case path.Ext(name) == ".ovf", path.Ext(name) == ".vmx":
		return in.limits.Machine
	}
	return 0
}

// judge looks at the whole once everything was read.
func (in *inspector) judge() error {
	text, ok := in.texts[MetadataName]
	if !ok {
		return errNoMetadata
	}
	m, err := parseMetadata(text)
	in.sum.Metadata = m
	if err != nil {
		return err
	}
	in.sum.Vagrantfile = string(in.texts[VagrantfileName])
	if m.Architecture == "" {
		in.warn("metadata.json names no architecture")
	}
	if info, ok := in.texts[InfoName]; ok {
		if err := json.Unmarshal(bytes.TrimSpace(info), &in.sum.Info); err != nil {
			in.warn("info.json is not an object whose values are all texts")
		}
	}
	return in.checkFiles(m)
}
