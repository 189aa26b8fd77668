package ovf

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Member is a file to put into an OVA.
type Member struct {
	Name    string
	Size    int64     // bytes, exactly
	ModTime time.Time // zero: 1970, so that equal packages have equal bytes
	Open    func() (io.ReadCloser, error)
}

// FileMember is the file at path under its own name.
func FileMember(path string) (Member, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Member{}, err
	}
	return Member{
		Name: filepath.Base(path), Size: st.Size(), ModTime: st.ModTime(),
		Open: func() (io.ReadCloser, error) { return os.Open(path) },
	}, nil
}

// WriteOVA writes an archive as it goes, holding nothing back: the descriptor, which must be the first member, then the manifest if
// there is one (ovftool's order), then the others. Without a manifest one is made of what is written, in SHA256, and put at the end
// (VirtualBox's order). It is called as the descriptor, with .mf.
//
// Readers insist on plain ustar: no directories, no extended headers. Only a member of 8 GiB or more has GNU's base-256 size.
func WriteOVA(ctx context.Context, w io.Writer, members []Member, m Manifest) error {
	if err := checkMembers(members); err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	manifest := manifestName(members[0].Name)
	var made Manifest
	for i, member := range members {
		h := SHA256.New()
		if err := writeMember(ctx, archive, member, h); err != nil {
			return fmt.Errorf("put %q into the OVA: %w", member.Name, err)
		}
		made = append(made, Sum{File: member.Name, Algorithm: SHA256, Hex: sumOf(h)})
		if i == 0 && m != nil {
			if err := writeManifest(archive, manifest, m); err != nil {
				return err
			}
		}
	}
	if m == nil {
		if err := writeManifest(archive, manifest, made); err != nil {
			return err
		}
	}
	return archive.Close()
}

func checkMembers(members []Member) error {
	if len(members) == 0 || strings.ToLower(path.Ext(members[0].Name)) != ".ovf" {
		return errors.New("the first member of an OVA is its descriptor (.ovf)")
	}
	seen := map[string]bool{manifestName(members[0].Name): true}
	for i, m := range members {
		const ustar = 100 // bytes of a name
		if err := plainName(m.Name); err != nil || len(m.Name) > ustar || !isASCII(m.Name) {
			return fmt.Errorf("%q cannot be in an OVA: use a plain file name of at most %d ASCII characters", m.Name, ustar)
		}
		if seen[m.Name] || i > 0 && strings.EqualFold(path.Ext(m.Name), ".ovf") {
			return fmt.Errorf("%q cannot be in the OVA: it is there already, or a second descriptor, or the manifest, which is made", m.Name)
		}
		seen[m.Name] = true
	}
	return nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 126 || r < ' ' }) < 0
}

// plainName refuses everything but a file at the root of an archive.
func plainName(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "/\\:\x00") {
		return fmt.Errorf("the member %q is not a plain file at the root", name)
	}
	return nil
}

func header(name string, size int64, modified time.Time) *tar.Header {
	const ustarLimit = 1 << 33 // eleven octal digits
	if modified.IsZero() {
		modified = time.Unix(0, 0)
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: modified.Truncate(time.Second), Format: tar.FormatUSTAR}
	if size >= ustarLimit {
		h.Format = tar.FormatGNU
	}
	return h
}

func writeMember(ctx context.Context, archive *tar.Writer, m Member, h hash.Hash) error {
	if err := archive.WriteHeader(header(m.Name, m.Size, m.ModTime)); err != nil {
		return err
	}
	f, err := m.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(io.MultiWriter(archive, h), reading{ctx, f})
	if err != nil {
		return err
	}
	if n != m.Size {
		return fmt.Errorf("it has %d bytes and was to have %d: somebody changes it", n, m.Size)
	}
	return nil
}

func writeManifest(archive *tar.Writer, name string, m Manifest) error {
	var text bytes.Buffer
	if err := m.Write(&text); err != nil {
		return err
	}
	if err := archive.WriteHeader(header(name, int64(text.Len()), time.Time{})); err != nil {
		return err
	}
	_, err := archive.Write(text.Bytes())
	return err
}

// OVA is what ExtractOVA found.
type OVA struct {
	Descriptor     Descriptor
	DescriptorFile string
	ManifestFile   string   // "" if there is none
	Files          []string // all that were unpacked, in their order
}

// MaxMembers is how many members an OVA may have.
const MaxMembers = 256

// ExtractOVA unpacks an archive into dir, an existing folder, checking the manifest while it reads. It takes plain files at the root
// only, one descriptor among them, and nothing that is there already; the files that the descriptor names must be among them.
// maxBytes limits what is written; 0 is no limit. On an error what it wrote is removed.
func ExtractOVA(ctx context.Context, r io.Reader, dir string, maxBytes int64) (OVA, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return OVA{}, err
	}
	defer root.Close()
	x := extraction{ctx: ctx, root: root, left: maxBytes, limited: maxBytes > 0, sums: map[string]map[Algorithm]string{}}
	if err := x.run(tar.NewReader(r)); err != nil {
		for _, name := range x.ova.Files {
			err = errors.Join(err, root.Remove(name))
		}
		return OVA{}, fmt.Errorf("the OVA cannot be unpacked: %w", err)
	}
	return x.ova, nil
}

// extraction is an ExtractOVA at work.
type extraction struct {
	ctx      context.Context
	root     *os.Root
	left     int64
	limited  bool
	ova      OVA
	manifest Manifest
	signed   bool
	// sums are the digests of what was unpacked. While no manifest was seen it is not known which will be wanted.
	sums map[string]map[Algorithm]string
}

func (x *extraction) run(archive *tar.Reader) error {
	for n := 1; ; n++ {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("it is no tar archive, or a damaged one: %w", err)
		}
		if n > MaxMembers {
			return fmt.Errorf("it has more than %d members", MaxMembers)
		}
		if err := x.member(h, archive); err != nil {
			return err
		}
	}
	return x.finish()
}

func (x *extraction) member(h *tar.Header, content io.Reader) error {
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("the member %q is a link, a folder or something else: only plain files belong in an OVA", h.Name)
	}
	if err := plainName(h.Name); err != nil {
		return err
	}
	if x.limited && h.Size > x.left {
		return fmt.Errorf("%q has %d bytes, and %d are left of what it may have", h.Name, h.Size, x.left)
	}
	x.left -= h.Size
	switch strings.ToLower(path.Ext(h.Name)) {
	case ".ovf":
		if x.ova.DescriptorFile != "" {
			return fmt.Errorf("it has two descriptors, %q and %q: one machine at a time", x.ova.DescriptorFile, h.Name)
		}
		x.ova.DescriptorFile = h.Name
		return x.small(h, content, MaxDescriptor, func(text []byte) (err error) {
			x.ova.Descriptor, err = Read(bytes.NewReader(text))
			return err
		})
	case ".mf":
		if x.ova.ManifestFile != "" {
			return fmt.Errorf("it has two manifests, %q and %q", x.ova.ManifestFile, h.Name)
		}
		x.ova.ManifestFile = h.Name
		return x.small(h, content, maxManifest, func(text []byte) (err error) {
			x.manifest, err = ReadManifest(bytes.NewReader(text))
			return err
		})
	case ".cert":
		x.signed = true
	}
	return x.unpack(h.Name, content)
}

// small unpacks a file that is also read.
func (x *extraction) small(h *tar.Header, content io.Reader, limit int64, use func([]byte) error) error {
	if h.Size > limit {
		return fmt.Errorf("%q has %d bytes, more than any such file", h.Name, h.Size)
	}
	text, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	if err := use(text); err != nil {
		return fmt.Errorf("%q: %w", h.Name, err)
	}
	return x.unpack(h.Name, bytes.NewReader(text))
}

func (x *extraction) unpack(name string, content io.Reader) error {
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	x.ova.Files = append(x.ova.Files, name)
	hashes := x.hashes(name)
	writers := []io.Writer{f}
	for _, h := range hashes {
		writers = append(writers, h)
	}
	_, err = io.Copy(io.MultiWriter(writers...), reading{x.ctx, content})
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("unpack %q: %w", name, err)
	}
	x.sums[name] = map[Algorithm]string{}
	for algorithm, h := range hashes {
		x.sums[name][algorithm] = sumOf(h)
	}
	if sum, ok := x.manifest.Sum(name); ok {
		return x.check(sum)
	}
	return nil
}

// hashes are those to compute of a file: the one that the manifest has or, before it was seen, the two that VirtualBox may have, which puts
// it at the end.
func (x *extraction) hashes(name string) map[Algorithm]hash.Hash {
	if x.manifest == nil {
		return map[Algorithm]hash.Hash{SHA1: SHA1.New(), SHA256: SHA256.New()}
	}
	hashes := map[Algorithm]hash.Hash{}
	if sum, ok := x.manifest.Sum(name); ok {
		hashes[sum.Algorithm] = sum.Algorithm.New()
	}
	return hashes
}

func (x *extraction) check(sum Sum) error {
	got, ok := x.sums[sum.File][sum.Algorithm]
	if !ok { // a SHA512 manifest after its files
		var err error
		if got, err = sumFile(x.ctx, filepath.Join(x.root.Name(), sum.File), sum.Algorithm); err != nil {
			return err
		}
	}
	if got != sum.Hex {
		return sum.mismatch(got)
	}
	return nil
}

// finish looks at what is only known at the end.
func (x *extraction) finish() error {
	if x.ova.DescriptorFile == "" {
		return errors.New("there is no descriptor (.ovf) in it: is it an OVA?")
	}
	if x.signed && x.manifest == nil {
		return errors.New("it has a certificate (.cert) and no manifest that it could be about: remove the certificate")
	}
	for _, sum := range x.manifest {
		if !slices.Contains(x.ova.Files, sum.File) {
			return fmt.Errorf("its manifest lists %q, which is missing", sum.File)
		}
		if err := x.check(sum); err != nil {
			return err
		}
	}
	for _, f := range x.ova.Descriptor.Files {
		if !slices.Contains(x.ova.Files, f.Name) && !slices.Contains(x.ova.Files, f.Href) {
			return fmt.Errorf("its descriptor names the file %q, which is missing", f.Href)
		}
	}
	return nil
}

// ReadOVA reads the descriptor of an archive and nothing after it.
func ReadOVA(r io.Reader) (Descriptor, error) {
	archive := tar.NewReader(r)
	for range MaxMembers {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Descriptor{}, fmt.Errorf("it is no OVA: %w", err)
		}
		if h.Typeflag == tar.TypeReg && strings.EqualFold(path.Ext(h.Name), ".ovf") {
			return Read(archive)
		}
	}
	return Descriptor{}, errors.New("there is no descriptor (.ovf) in it: is it an OVA?")
}
