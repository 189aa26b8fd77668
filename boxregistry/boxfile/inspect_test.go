package boxfile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

type entry struct {
	h    tar.Header
	body string
}

func file(name, body string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}, body}
}

func special(typ byte, name, link string) entry {
	return entry{tar.Header{Typeflag: typ, Name: name, Linkname: link, Mode: 0o777}, ""}
}

// archive writes a tar archive as it comes, with no checks.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const other = `{"provider":"other","architecture":"amd64"}`

func inspect(box []byte) (Summary, error) {
	return Inspect(context.Background(), bytes.NewReader(box), Limits{})
}

// TestWriteKnowsWhatInspectFinds: what a box holds is known without reading it again, for every form of box.
func TestWriteKnowsWhatInspectFinds(t *testing.T) {
	t.Parallel()
	text := func(s string) string { return writeFile(t, []byte(s)) }
	image := writeFile(t, qcow2(2<<30+1, 5<<20+123))
	vmdk := writeFile(t, append([]byte("KDMV\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\xa0\x00"), make([]byte, 4096)...))
	for name, c := range map[string]Contents{
		"one disk":                          libvirtBox(t),
		"stranger's provider, nothing else": {Metadata: Metadata{Provider: "other"}},
		"larger than its disk":              {Metadata: Metadata{Provider: Libvirt, Format: "qcow2", VirtualSize: 20}, Files: []File{{"box.img", image}}},
		"several disks, variables, includes": {
			Metadata: Metadata{Provider: Libvirt, Architecture: "arm64", NVRAM: "efivars.fd",
				Disks: []MetadataDisk{{Path: "box_0.img", Format: "qcow2"}, {Path: "box_1.img", Name: "data"}}},
			Info: map[string]string{"author": "me", "home": "<here>"},
			Files: []File{{"box_0.img", image}, {"box_1.img", writeFile(t, qcow2(1<<30, 600))}, {"efivars.fd", text("vars")},
				{"README.md", text("")}, {strings.Repeat("long/", 40) + "name", text("x")}},
		},
		"VirtualBox": {Metadata: Metadata{Provider: VirtualBox}, Files: []File{{"box.ovf", text(ovfOf("disk.vmdk", 5<<30))}, {"disk.vmdk", vmdk}}},
		"VMware": {Metadata: Metadata{Provider: VMwareDesktop, Architecture: "amd64", VMXFile: "m.vmx"}, Vagrantfile: "# v\n",
			Files: []File{{"m.vmx", text("scsi0:0.fileName = \"disk.vmdk\"\n")}, {"disk.vmdk", vmdk}}},
	} {
		var b bytes.Buffer
		res, err := Write(t.Context(), &b, c, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sum, err := Inspect(t.Context(), iotest.HalfReader(&b), Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(sum, res); diff != "" {
			t.Errorf("%s: inspected and written: %s", name, diff)
		}
		if sum.Vagrantfile != c.Vagrantfile || cmp.Diff(c.Metadata, sum.Metadata) != "" || cmp.Diff(c.Info, sum.Info) != "" {
			t.Errorf("%s: %+v went in, %+v came out", name, c, sum)
		}
	}
}

func TestWriteRefusesWhatInspectRefuses(t *testing.T) {
	t.Parallel()
	raw := writeFile(t, make([]byte, 4096))
	for name, c := range map[string]Contents{
		"a disk that is not one": {Metadata: Metadata{Provider: Libvirt, Format: "qcow2", VirtualSize: 1}, Files: []File{{"box.img", raw}}},
		"no disk":                {Metadata: Metadata{Provider: Libvirt, Format: "qcow2", VirtualSize: 1}},
		"no box.ovf":             {Metadata: Metadata{Provider: VirtualBox}, Files: []File{{"other.ovf", raw}}},
		"a huge Vagrantfile":     {Metadata: Metadata{Provider: "other"}, Vagrantfile: strings.Repeat("#", int(defaultLimits.Metadata)+1)},
	} {
		var b bytes.Buffer
		if _, err := Write(t.Context(), &b, c, Options{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInspectCompressions(t *testing.T) {
	t.Parallel()
	plain := archive(t, file(MetadataName, other), file("data", string(noise(400<<10))))
	src := writeFile(t, plain)
	for _, c := range []struct{ want, command string }{
		{"none", "cat"}, {"gzip", "gzip -c"}, {"zstd", "zstd -qc"}, {"zstd", "zstd -qc --long=27"}, {"bzip2", "bzip2 -c"},
		{"xz", "xz -c"}, {"xz", "xz -9c"}, {"xz", "xz -0 -T2 --block-size=128KiB -c"}, {"xz", "xz -0 --check=none -c"},
		{"xz", "xz -0 --check=sha256 -c"}, {"xz", "xz -0 --check=crc32 -c"},
	} {
		if name, _, _ := strings.Cut(c.command, " "); !installed(name) {
			continue
		}
		box, err := exec.CommandContext(t.Context(), "sh", "-c", c.command+" < "+src).Output()
		if err != nil {
			t.Fatalf("%s: %v", c.command, err)
		}
		sum, err := inspect(box)
		if err != nil || sum.Compression != c.want || sum.Unpacked != 400<<10+int64(len(other)) {
			t.Errorf("%s: %+v, %v", c.command, sum, err)
		}
		if _, err := inspect(box[:len(box)-7]); !errors.Is(err, ErrInvalid) && c.want != "none" {
			t.Errorf("%s, cut off: %v", c.command, err)
		}
		box[len(box)/2] ^= 0x55
		if _, err := inspect(box); !errors.Is(err, ErrInvalid) && c.want != "none" && !strings.Contains(c.command, "none") {
			t.Errorf("%s, damaged: %v", c.command, err)
		}
	}
}

func installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

func TestInspectRealTar(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, body := range map[string]string{MetadataName: other, "sub/disk": "x", "sparse": ""} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(body), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "sparse"), 5<<30); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"gnu", "pax"} {
		box := filepath.Join(t.TempDir(), "x.box")
		run(t, "tar", "-C", dir, "--format="+format, "-S", "-czf", box, ".")
		f, err := os.Open(box)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := Inspect(t.Context(), f, Limits{})
		if err := errors.Join(err, f.Close()); err != nil || len(sum.Files) != 3 || sum.Unpacked < 5<<30 || len(sum.Warnings) == 0 {
			t.Errorf("%s: %+v, %v", format, sum, err)
		}
	}
}

// hostile are boxes that must be refused, with a word of the reason.
func hostile(t testing.TB) map[string]struct {
	box  []byte
	word string
} {
	meta := file(MetadataName, other)
	many := []entry{meta}
	for i := range 1001 {
		many = append(many, special(tar.TypeDir, strings.Repeat("d", i%200+1)+string(rune('a'+i/200)), ""))
	}
	lie := archive(t, meta)
	lie = append(lie[:len(lie)-1024], oversized()...)
	type c = struct {
		box  []byte
		word string
	}
	return map[string]c{
		"upwards":        {archive(t, meta, file("../x", "")), "leads out"},
		"upwards inside": {archive(t, meta, file("a/../../x", "")), "leads out"},
		"absolute":       {archive(t, meta, file("/etc/passwd", "")), "leads out"},
		"backslash":      {archive(t, meta, file(`..\x`, "")), "leads out"},
		"drive":          {archive(t, meta, file("c:x", "")), "leads out"},
		"newline":        {archive(t, meta, file("a\nb", "")), "control"},
		"long name":      {archive(t, meta, file(strings.Repeat("n", 256), "")), "256"},
		"symlink":        {archive(t, meta, special(tar.TypeSymlink, "a", "/etc")), "symbolic link"},
		"hard link":      {archive(t, meta, special(tar.TypeLink, "a", "/etc/passwd")), "hard link"},
		"device":         {archive(t, meta, special(tar.TypeChar, "a", "")), "device"},
		"pipe":           {archive(t, meta, special(tar.TypeFifo, "a", "")), "pipe"},
		"twice":          {archive(t, meta, file("a", ""), file("a", "")), "two entries"},
		"twice, dotted":  {archive(t, meta, file("./"+MetadataName, "{}")), "two entries"},
		"many":           {gz(t, archive(t, many...)), "1000 entries"},
		"size lie":       {lie, "bytes"},
		"empty":          {nil, "neither"},
		"zip":            {[]byte("PK\x03\x04" + strings.Repeat("x", 600)), "zip"},
		"text":           {[]byte(strings.Repeat("hello ", 200)), "neither"},
		"no metadata":    {archive(t, file("box.img", "")), "no metadata.json"},
		"not JSON":       {archive(t, file(MetadataName, "provider: libvirt")), "not a JSON object"},
		"no provider":    {archive(t, file(MetadataName, `{"Provider":"libvirt"}`)), "no provider"},
		"odd provider":   {archive(t, file(MetadataName, `{"provider":"../x"}`)), "provider"},
		"large metadata": {archive(t, file(MetadataName, other+strings.Repeat(" ", 1<<20))), "too large"},
		"cut off":        {gz(t, archive(t, meta, file("a", string(noise(5000)))))[:1000], "cannot be read"},
		"trailing":       {append(gz(t, archive(t, meta)), "garbage"...), "end of the archive"},
		"large xz dict":  {xzWithDict(t, 40), "dictionary"},
		"large zstd":     {[]byte("\x28\xb5\x2f\xfd\x00\xf8" + strings.Repeat("\x01", 600)), "window"},
	}
}

// oversized is the header of an entry that claims to be nearly as large as a number can be.
func oversized() []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "big", Size: math.MaxInt64, Format: tar.FormatGNU})
	return b.Bytes()
}

// xzWithDict is the start of an xz file whose first block asks for the dictionary of that code.
func xzWithDict(t testing.TB, code byte) []byte {
	t.Helper()
	head := []byte(xzMagic + "\x00\x00\xff\x12\xd9\x41")
	block := []byte{2, 0, 0x21, 1, code, 0, 0, 0}
	return append(append(head, block...), crcOf(block)...)
}

func TestInspectRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range hostile(t) {
		_, err := inspect(c.box)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v; want %q in it", name, err, c.word)
		}
	}
}

func TestInspectBomb(t *testing.T) {
	t.Parallel()
	box := archive(t, file(MetadataName, other))
	if _, err := Inspect(t.Context(), bytes.NewReader(box), Limits{Unpacked: 10}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a box over the limit: %v", err)
	}
	if testing.Short() {
		t.Skip("unpacks 1 GiB")
	}
	head := archive(t, file(MetadataName, other))
	var b bytes.Buffer
	b.Write(gz(t, head[:len(head)-1024]))
	b.Write(gz(t, oversizedTo(2<<30)))
	member := gz(t, make([]byte, 16<<20))
	for range 2 << 30 / (16 << 20) {
		b.Write(member)
	}
	_, err := Inspect(t.Context(), &b, Limits{})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "500 times") {
		t.Errorf("a bomb: %v", err)
	}
}

func oversizedTo(size int64) []byte {
	var b bytes.Buffer
	_ = tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "big", Size: size})
	return b.Bytes()
}

func TestInspectBrokenReader(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if _, err := Write(t.Context(), &b, libvirtBox(t), Options{}); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("connection lost")
	r := io.MultiReader(io.LimitReader(&b, 1<<20), iotest.ErrReader(lost))
	if _, err := Inspect(t.Context(), r, Limits{}); !errors.Is(err, lost) || errors.Is(err, ErrInvalid) {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(lost)
	if _, err := Inspect(ctx, &b, Limits{}); !errors.Is(err, lost) {
		t.Errorf("error is %v", err)
	}
}
