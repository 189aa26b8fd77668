package ovf_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor/ovf"
)

// TestOVARoundTrip packs and unpacks, in both orders.
func TestOVARoundTrip(t *testing.T) {
	t.Parallel()
	for _, manifest := range []bool{true, false} {
		path := appliance(t, rich(), ovf.VirtualBox, manifest)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		dir := t.TempDir()
		got, err := ovf.ExtractOVA(t.Context(), f, dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got.DescriptorFile != "box.ovf" || got.ManifestFile != "box.mf" || len(got.Files) != 5 || got.Descriptor.Machine.Name != rich().Name {
			t.Errorf("unpacked %+v", got)
		}
		for _, name := range got.Files {
			want, errWant := os.ReadFile(filepath.Join(filepath.Dir(path), name))
			have, errHave := os.ReadFile(filepath.Join(dir, name))
			if name == "box.mf" {
				want, errWant = have, nil
			}
			if errWant != nil || errHave != nil || !bytes.Equal(want, have) {
				t.Errorf("%s is another: %v %v", name, errWant, errHave)
			}
		}
		mf, err := os.ReadFile(filepath.Join(dir, "box.mf"))
		if err != nil {
			t.Fatal(err)
		}
		sums, err := ovf.ReadManifest(bytes.NewReader(mf))
		if err != nil || len(sums) != 4 {
			t.Errorf("the manifest has %d files (%v)", len(sums), err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if d, err := ovf.ReadOVA(f); err != nil || !cmp.Equal(d, got.Descriptor) {
			t.Errorf("the descriptor alone is another: %v", err)
		}
	}
}

// entry is a member of an archive that somebody made by hand.
type entry struct {
	name, text string
	typ        byte
	link       string
}

func archive(t testing.TB, entries ...entry) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.typ == 0 {
			e.typ = tar.TypeReg
		}
		if err := w.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.text)), Mode: 0o644, Typeflag: e.typ, Linkname: e.link}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestExtractOVARefuses(t *testing.T) {
	t.Parallel()
	box := entry{name: "box.ovf", text: string(write(t, golden(), ovf.VirtualBox))}
	disk := entry{name: "box-disk001.vmdk", text: "KDMV"}
	const digest = "SHA256(box-disk001.vmdk)= " + sha256Empty + "\n"
	for name, c := range map[string]struct {
		entries []entry
		want    string
	}{
		"parent":           {[]entry{box, disk, {name: "../evil", text: "x"}}, "not a plain file"},
		"absolute":         {[]entry{box, disk, {name: "/tmp/evil", text: "x"}}, "not a plain file"},
		"folder's":         {[]entry{box, disk, {name: "a/b", text: "x"}}, "not a plain file"},
		"backslash":        {[]entry{box, disk, {name: `..\evil`, text: "x"}}, "not a plain file"},
		"symlink":          {[]entry{box, {name: "box-disk001.vmdk", typ: tar.TypeSymlink, link: "/etc/passwd"}}, "a link"},
		"hard link":        {[]entry{box, disk, {name: "x", typ: tar.TypeLink, link: "box.ovf"}}, "a link"},
		"folder":           {[]entry{box, disk, {name: "d", typ: tar.TypeDir}}, "a folder"},
		"device":           {[]entry{box, disk, {name: "d", typ: tar.TypeBlock}}, "something else"},
		"two descriptors":  {[]entry{box, disk, {name: "b.ovf", text: box.text}}, "two descriptors"},
		"two manifests":    {[]entry{box, disk, {name: "a.mf"}, {name: "b.mf"}}, "two manifests"},
		"no descriptor":    {[]entry{disk}, "no descriptor"},
		"there twice":      {[]entry{box, disk, disk}, "exists"},
		"missing disk":     {[]entry{box}, `names the file "box-disk001.vmdk"`},
		"bad descriptor":   {[]entry{{name: "box.ovf", text: "<x/>"}, disk}, "not the Envelope"},
		"bad manifest":     {[]entry{box, {name: "box.mf", text: "x"}, disk}, "not of the form"},
		"digest after":     {[]entry{box, {name: "box.mf", text: digest}, disk}, "does not match"},
		"digest before":    {[]entry{box, disk, {name: "box.mf", text: digest}}, "does not match"},
		"SHA512 before":    {[]entry{box, disk, {name: "box.mf", text: "SHA512(box-disk001.vmdk)= " + sha512Empty + "\n"}}, "does not match"},
		"descriptor's sum": {[]entry{box, {name: "box.mf", text: "SHA1(box.ovf)= " + sha1Empty + "\n"}, disk}, "does not match"},
		"manifest's file":  {[]entry{box, disk, {name: "box.mf", text: "SHA1(gone)= " + sha1Empty + "\n"}}, `lists "gone"`},
		"certificate":      {[]entry{box, disk, {name: "box.cert"}}, "certificate"},
		"too large":        {[]entry{box, disk, {name: "zeros", text: strings.Repeat("0", 1<<17)}}, "are left"},
		"large descriptor": {[]entry{{name: "box.ovf", text: strings.Repeat(" ", 1<<10)}}, "well-formed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			dir := filepath.Join(parent, "out")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := ovf.ExtractOVA(t.Context(), archive(t, c.entries...), dir, 1<<16)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
			for _, d := range []string{dir, parent} {
				left, err := os.ReadDir(d)
				if err != nil || len(left) > 1 || d == dir && len(left) > 0 {
					t.Errorf("left in %s: %v %v", d, left, err)
				}
			}
		})
	}
}

// TestExtractOVAKeepsOthers: what is there already is neither written over nor removed.
func TestExtractOVAKeepsOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept := filepath.Join(dir, "box-disk001.vmdk")
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), kept); err != nil {
		t.Fatal(err)
	}
	box := entry{name: "box.ovf", text: string(write(t, golden(), ovf.VirtualBox))}
	if _, err := ovf.ExtractOVA(t.Context(), archive(t, box, entry{name: "box-disk001.vmdk", text: "x"}), dir, 0); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v, want that it exists", err)
	}
	if _, err := os.Lstat(kept); err != nil {
		t.Errorf("what was there is gone: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "box.ovf")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was unpacked is left: %v", err)
	}
}

func TestExtractOVAOfGarbage(t *testing.T) {
	t.Parallel()
	box := entry{name: "box.ovf", text: string(write(t, golden(), ovf.VirtualBox))}
	whole := archive(t, box, entry{name: "box-disk001.vmdk", text: strings.Repeat("x", 4096)}).Bytes()
	for name, text := range map[string][]byte{"nothing": {}, "text": []byte(strings.Repeat("no archive ", 100)), "cut off": whole[:len(whole)-4096]} {
		dir := t.TempDir()
		if _, err := ovf.ExtractOVA(t.Context(), bytes.NewReader(text), dir, 0); err == nil {
			t.Errorf("%s was taken", name)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s leaves %v", name, left)
		}
	}
	many := make([]entry, 0, ovf.MaxMembers+1)
	for i := range ovf.MaxMembers + 1 {
		many = append(many, entry{name: "f" + strings.Repeat("x", i%50) + string(rune('0'+i/50))})
	}
	if _, err := ovf.ExtractOVA(t.Context(), archive(t, many...), t.TempDir(), 0); err == nil || !strings.Contains(err.Error(), "more than 256") {
		t.Errorf("got %v for %d members", err, len(many))
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := ovf.ExtractOVA(stopped, bytes.NewReader(whole), t.TempDir(), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to stop", err)
	}
}

func TestWriteOVARefuses(t *testing.T) {
	t.Parallel()
	member := func(name string, size int64, text string) ovf.Member {
		return ovf.Member{Name: name, Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
	}
	box := member("box.ovf", 1, "x")
	for name, c := range map[string]struct {
		members []ovf.Member
		want    string
	}{
		"nothing":         {nil, "first member"},
		"disk first":      {[]ovf.Member{member("a.vmdk", 1, "x"), box}, "first member"},
		"two descriptors": {[]ovf.Member{box, member("b.ovf", 1, "x")}, "second descriptor"},
		"manifest":        {[]ovf.Member{box, member("box.mf", 1, "x")}, "which is made"},
		"twice":           {[]ovf.Member{box, member("a", 1, "x"), member("a", 1, "x")}, "there already"},
		"folder's":        {[]ovf.Member{box, member("a/b", 1, "x")}, "plain file name"},
		"long":            {[]ovf.Member{box, member(strings.Repeat("a", 101), 1, "x")}, "plain file name"},
		"not ASCII":       {[]ovf.Member{box, member("ä", 1, "x")}, "plain file name"},
		"too short":       {[]ovf.Member{box, member("a", 3, "xx")}, "somebody changes it"},
		"too long":        {[]ovf.Member{box, member("a", 1, "xx")}, "write too long"},
	} {
		if err := ovf.WriteOVA(t.Context(), io.Discard, c.members, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want something with %q", name, err, c.want)
		}
	}
}

// TestWriteOVAHuge: a member of 8 GiB has its size in GNU's way, as tar and VirtualBox read it. Its bytes are a hole of the file.
func TestWriteOVAHuge(t *testing.T) {
	t.Parallel()
	needTool(t, "tar", "bsdtar")
	const huge = 1 << 33
	path := filepath.Join(t.TempDir(), "huge.ova")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	later := errors.New("the bytes come later")
	members := []ovf.Member{
		{Name: "box.ovf", Size: 1, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }},
		{Name: "disk.vmdk", Size: huge, Open: func() (io.ReadCloser, error) { return nil, later }},
	}
	if err := ovf.WriteOVA(t.Context(), out, members, nil); !errors.Is(err, later) {
		t.Fatal(err)
	}
	at, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Truncate(at + huge + 1024); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"tar", "bsdtar"} {
		if list := run(t, ".", program, "tvf", path); !strings.Contains(list, " 8589934592 ") || !strings.Contains(list, "disk.vmdk") {
			t.Errorf("%s lists\n%s", program, list)
		}
	}
}

// zeros reads as n zero bytes without having them.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.n)
	clear(p[:n])
	z.n -= n
	return int(n), nil
}

// TestWriteOVAStreams: what goes through is not kept.
func TestWriteOVAStreams(t *testing.T) { // not parallel: it looks at the memory of the process
	const size = 64 << 20
	members := []ovf.Member{
		{Name: "box.ovf", Size: 1, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }},
		{Name: "disk.vmdk", Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(&zeros{size}), nil }},
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := ovf.WriteOVA(t.Context(), io.Discard, members, nil); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 4<<20 {
		t.Errorf("it took %d bytes for a member of %d", taken, size)
	}
}

func FuzzExtractOVA(f *testing.F) {
	box := entry{name: "box.ovf", text: string(write(f, golden(), ovf.VirtualBox))}
	disk := entry{name: "box-disk001.vmdk", text: "KDMV"}
	f.Add(archive(f, box, disk).Bytes())
	f.Add(archive(f, box, entry{name: "box.mf", text: "SHA256(box-disk001.vmdk)= " + sha256Empty}, disk).Bytes())
	f.Add(archive(f, box, entry{name: "../evil", text: "x"}).Bytes())
	f.Add(archive(f, box, entry{name: "box-disk001.vmdk", typ: tar.TypeSymlink, link: "/etc/passwd"}).Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "out")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		got, err := ovf.ExtractOVA(t.Context(), bytes.NewReader(text), dir, 1<<20)
		left, errDir := os.ReadDir(dir)
		if beside, _ := os.ReadDir(parent); errDir != nil || len(beside) != 1 {
			t.Fatalf("it wrote beside the folder: %v %v", beside, errDir)
		}
		if err != nil && len(left) > 0 {
			t.Errorf("it failed and left %v", left)
		}
		for _, e := range left {
			if !e.Type().IsRegular() || !slices.Contains(got.Files, e.Name()) {
				t.Errorf("it left %v", e)
			}
		}
	})
}
