package boxfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// noise returns bytes that compress badly, the same in every run.
func noise(n int) []byte {
	b, r := make([]byte, n), rand.New(rand.NewPCG(7, 7))
	for i := range b {
		b[i] = byte(r.Uint32()) & 0x3f
	}
	return b
}

// qcow2 returns the smallest image that passes for one, padded with data to n bytes.
func qcow2(virtual int64, n int) []byte {
	b := noise(n)
	clear(b[:104])
	copy(b, "QFI\xfb\x00\x00\x00\x03")
	b[23] = 16 // cluster bits
	for i := range 8 {
		b[24+i] = byte(virtual >> (56 - 8*i))
	}
	return b
}

func writeFile(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func libvirtBox(t *testing.T) Contents {
	return Contents{
		Metadata:    Metadata{Provider: Libvirt, Architecture: "amd64", Format: "qcow2", VirtualSize: 3},
		Vagrantfile: "Vagrant.configure(\"2\") {}\n",
		Info:        map[string]string{"author": "me"},
		Files:       []File{{"box.img", writeFile(t, qcow2(2<<30+1, 5<<20+123))}, {"notes.txt", writeFile(t, []byte("hello"))}},
	}
}

func TestWriteMakesWhatTarReads(t *testing.T) {
	t.Parallel()
	c, path := libvirtBox(t), filepath.Join(t.TempDir(), "x.box")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var done, total int64
	res, err := Write(t.Context(), f, c, Options{Progress: func(d, n int64) { done, total = d, n }})
	if err != nil {
		t.Fatal(err)
	}
	box, _ := os.ReadFile(path)
	if sum := sha256.Sum256(box); res.SHA256 != hex.EncodeToString(sum[:]) || res.Size != int64(len(box)) {
		t.Errorf("result %+v does not fit the file", res)
	}
	if want := int64(5<<20 + 123 + 5); done != want || total != want {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	run(t, "gzip", "-t", path)
	names := strings.Fields(run(t, "tar", "-tzf", path))
	if diff := cmp.Diff([]string{"metadata.json", "Vagrantfile", "info.json", "box.img", "notes.txt"}, names); diff != "" {
		t.Error(diff)
	}
	dir := t.TempDir()
	if warnings := run(t, "tar", "-xzf", path, "-C", dir); warnings != "" {
		t.Errorf("tar warns: %s", warnings)
	}
	got, _ := os.ReadFile(filepath.Join(dir, "box.img"))
	if want, _ := os.ReadFile(c.Files[0].Path); !bytes.Equal(got, want) {
		t.Error("box.img changed on the way")
	}
	meta, _ := os.ReadFile(filepath.Join(dir, MetadataName))
	if want := "{\n  \"provider\": \"libvirt\",\n  \"architecture\": \"amd64\",\n  \"format\": \"qcow2\",\n  \"virtual_size\": 3\n}\n"; string(meta) != want {
		t.Errorf("metadata.json is %s", meta)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestWriteIsReproducible(t *testing.T) {
	t.Parallel()
	c := libvirtBox(t)
	var first Summary
	for i, parallel := range []int{1, 2, 7} {
		var b bytes.Buffer
		res, err := Write(t.Context(), &b, c, Options{Parallel: parallel})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = res
		}
		if diff := cmp.Diff(first, res); diff != "" {
			t.Errorf("with %d workers: %s", parallel, diff)
		}
	}
}

func TestHolesReadAsZeros(t *testing.T) {
	t.Parallel()
	const size = 9<<20 + 77
	data := make([]byte, size)
	copy(data[1<<20:], noise(100<<10))
	copy(data[6<<20:], noise(1<<10))
	sparse := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(sparse)
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := f.WriteAt(data[1<<20:1<<20+100<<10], 1<<20)
	_, err2 := f.WriteAt(data[6<<20:6<<20+1<<10], 6<<20)
	if err := errors.Join(err1, err2, f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	dense := writeFile(t, data)
	if diff := cmp.Diff(boxOf(t, dense), boxOf(t, sparse)); diff != "" {
		t.Errorf("dense and sparse: %s", diff)
	}
}

func boxOf(t *testing.T, path string) Summary {
	t.Helper()
	var b bytes.Buffer
	res, err := Write(t.Context(), &b, Contents{Metadata: Metadata{Provider: "other"}, Files: []File{{"disk", path}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestLevels(t *testing.T) {
	t.Parallel()
	c := libvirtBox(t)
	size := map[int]int64{}
	for _, level := range []int{Stored, 1, 0, 9} {
		var b bytes.Buffer
		res, err := Write(t.Context(), &b, c, Options{Level: level})
		if err != nil {
			t.Fatal(err)
		}
		size[level] = res.Size
		if _, err := Inspect(t.Context(), &b, Limits{}); err != nil {
			t.Errorf("level %d: %v", level, err)
		}
	}
	if size[Stored] < 5<<20 || size[1] >= size[Stored] || size[9] > size[0] {
		t.Errorf("sizes %v", size)
	}
	for _, level := range []int{-2, 10} {
		if _, err := Write(t.Context(), &bytes.Buffer{}, c, Options{Level: level}); err == nil {
			t.Errorf("level %d was taken", level)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	ok := writeFile(t, []byte("x"))
	for name, files := range map[string][]File{
		"two named the same":  {{"a", ok}, {"a", ok}},
		"a second metadata":   {{MetadataName, ok}},
		"a name upwards":      {{"../a", ok}},
		"an absolute name":    {{"/a", ok}},
		"a backslash":         {{`..\a`, ok}},
		"a missing file":      {{"a", ok + "x"}},
		"a directory":         {{"a", filepath.Dir(ok)}},
		"a device":            {{"a", "/dev/zero"}},
		"a name that is long": {{strings.Repeat("a", 256), ok}},
	} {
		var b bytes.Buffer
		if _, err := Write(t.Context(), &b, Contents{Metadata: Metadata{Provider: "other"}, Files: files}, Options{}); err == nil {
			t.Errorf("%s was packed", name)
		}
	}
	if _, err := Write(t.Context(), &bytes.Buffer{}, Contents{}, Options{}); err == nil {
		t.Error("a box without a provider was written")
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if _, err := Write(t.Context(), full, libvirtBox(t), Options{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the user had enough")
	w := writerFunc(func(p []byte) (int, error) { cancel(stop); return len(p), nil })
	if _, err := Write(ctx, w, libvirtBox(t), Options{}); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
}

func TestFileThatGrows(t *testing.T) {
	t.Parallel()
	c := libvirtBox(t)
	grow := func(int64, int64) {
		f, err := os.OpenFile(c.Files[0].Path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("more")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	_, err := Write(t.Context(), &bytes.Buffer{}, c, Options{Progress: grow})
	if err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("error is %v", err)
	}
}

func TestMetadataForms(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]Metadata{
		`{"provider":"virtualbox","architecture":"amd64"}`: {Provider: VirtualBox, Architecture: "amd64"},
		`{"provider":"libvirt","disks":[{"path":"box_0.img"},{"path":"box_1.img","name":"data"}]}`: {Provider: Libvirt,
			Disks: []MetadataDisk{{Path: "box_0.img"}, {Path: "box_1.img", Name: "data"}}},
		`{"provider":"vmware_desktop","vmx_file":"a.vmx"}`: {Provider: VMwareDesktop, VMXFile: "a.vmx"},
	} {
		got, err := json.Marshal(m)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
	for bytes, want := range map[int64]Gibibytes{0: 0, 1: 1, gib: 1, gib + 1: 2, 40 * gib: 40} {
		if got := CeilGibibytes(bytes); got != want {
			t.Errorf("%d bytes: %d", bytes, got)
		}
	}
}
