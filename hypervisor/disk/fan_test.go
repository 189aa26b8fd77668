package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor/disk/vmdk"
)

// allForms are targets of every form in one folder.
func allForms(dir string) []Target {
	var targets []Target
	for _, form := range []Form{FormQCOW2, FormQCOW2Compressed, FormRaw, FormVMDK, FormVMDKSplit, FormVMDKStream, FormVHD, FormVHDX, FormVDI} {
		targets = append(targets, Target{Path: filepath.Join(dir, "json:"+string(form)+".img"), Form: form})
	}
	return targets
}

// sparseImage is a raw image of size bytes with data in some places.
func sparseImage(t *testing.T, size int64, data map[int64][]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "src.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Truncate(size)
	for at, b := range data {
		_, wrong := f.WriteAt(b, at)
		err = errors.Join(err, wrong)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// asQCOW2 is the same image in another format, compressed.
func asQCOW2(t *testing.T, tool Tool, raw string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "src.qcow2")
	err := tool.Convert(t.Context(), ConvertOptions{Src: raw, SrcFormat: Raw, Dst: path, DstFormat: QCOW2, Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// checkTargets has qemu-img look at what was written, and our own reader at the streams.
func checkTargets(t *testing.T, tool Tool, want Image, size int64, written []Written) {
	t.Helper()
	for _, w := range written {
		image := Image{w.Path, w.Form.Format()}
		info, err := tool.Info(t.Context(), w.Path, image.Format)
		if err != nil || info.VirtualSize != size || info.Backing != "" || w.VirtualSize != size {
			t.Errorf("%s: %+v, %+v, %v", w.Form, info, w, err)
		}
		if same, err := tool.Compare(t.Context(), want, image); err != nil || !same {
			t.Errorf("%s: same=%v err=%v", w.Form, same, err)
		}
		if st, err := os.Stat(w.Path); err != nil || st.Size() != w.Size {
			t.Errorf("%s: size %d: %v, %v", w.Form, w.Size, st, err)
		}
		if w.Form != FormVHD { // qemu-img cannot check it
			if r, err := tool.Check(t.Context(), w.Path, image.Format); err != nil || !r.OK() || r.Leaks != 0 {
				t.Errorf("%s: check says %+v, %v", w.Form, r, err)
			}
		}
		if w.Form == FormVMDKStream {
			checkStream(t, want, w)
		}
	}
}

// checkStream reads a stream to its end and compares it, zeros between the grains too, and its digest.
func checkStream(t *testing.T, want Image, w Written) {
	t.Helper()
	f, err := os.Open(w.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	r, err := vmdk.NewReader(io.TeeReader(f, sum), w.VirtualSize)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.raw")
	raw, err := os.Create(copied)
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Truncate(w.VirtualSize)
	for err == nil {
		var at int64
		var data []byte
		if at, data, err = r.Next(); err == nil {
			_, err = raw.WriteAt(data, at)
		}
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("our reader says: %v", err)
	}
	if same, err := (Tool{}).Compare(t.Context(), want, Image{copied, Raw}); err != nil || !same {
		t.Errorf("read by our reader: same=%v err=%v", same, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); w.SHA256 != got {
		t.Errorf("SHA256 is %s, not %s", got, w.SHA256)
	}
}

func TestFanWritesEveryForm(t *testing.T) {
	t.Parallel()
	tool := needTool(t)
	noise := func(n int) []byte { return bytes.Repeat([]byte("0123456789abcdefghijk"), n/21+1)[:n] }
	const mib = 1 << 20
	for name, c := range map[string]struct {
		size int64
		data map[int64][]byte
	}{
		"empty":    {8 * mib, nil},
		"all data": {4 * mib, map[int64][]byte{0: noise(4 * mib)}},
		"odd end":  {40*mib + 3*512, map[int64][]byte{7 * mib: noise(mib), 40 * mib: noise(3 * 512)}},
		"sparse":   {300 * mib, map[int64][]byte{0: noise(512), 100*mib - 4096: noise(3 * mib), 299 * mib: noise(10)}},
	} {
		for _, compressed := range []bool{false, true} { // a raw source and one that must be unpacked
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				raw := Image{sparseImage(t, c.size, c.data), Raw}
				src := raw
				if compressed {
					src = Image{asQCOW2(t, tool, raw.Path), QCOW2}
				}
				dir := t.TempDir()
				written, err := tool.Fan(t.Context(), FanOptions{Src: src.Path, SrcFormat: src.Format, Targets: allForms(dir)})
				if err != nil {
					t.Fatal(err)
				}
				checkTargets(t, tool, raw, c.size, written)
				for _, name := range names(t, dir) {
					if strings.HasPrefix(name, ".") {
						t.Errorf("%q was left behind", name)
					}
				}
			})
		}
	}
}

// TestFanHugeDisk: more than 2 TiB, nearly all of it holes.
func TestFanHugeDisk(t *testing.T) {
	t.Parallel()
	tool := needTool(t)
	const size = 3 << 40
	raw := sparseImage(t, size, map[int64][]byte{0: []byte("front"), size - 5: []byte("back.")})
	dir := t.TempDir()
	written, err := tool.Fan(t.Context(), FanOptions{Src: asQCOW2(t, tool, raw), SrcFormat: QCOW2, Targets: []Target{
		{Path: filepath.Join(dir, "a"), Form: FormQCOW2}, {Path: filepath.Join(dir, "b"), Form: FormVMDKStream}, {Path: filepath.Join(dir, "c"), Form: FormVMDK},
	}})
	if err != nil {
		t.Fatal(err)
	}
	// qemu-img compares VMDKs grain by grain, holes too, which takes minutes here.
	checkTargets(t, tool, Image{raw, Raw}, size, written[:1])
	checkStream(t, Image{raw, Raw}, written[1])
	if info, err := tool.Info(t.Context(), written[2].Path, VMDK); err != nil || info.VirtualSize != size {
		t.Errorf("%+v, %v", info, err)
	}
	_, err = tool.Fan(t.Context(), FanOptions{Src: raw, SrcFormat: Raw, Targets: []Target{{Path: filepath.Join(t.TempDir(), "x"), Form: FormVHD}}})
	if err == nil || !strings.Contains(err.Error(), "vhdx") {
		t.Errorf("a VHD of 3 TiB: %v", err)
	}
}

// TestFanReadsChains: what is in the images under the source is in the targets.
func TestFanReadsChains(t *testing.T) {
	t.Parallel()
	tool, base := needTool(t), rawImage(t, 2<<20)
	over := filepath.Join(t.TempDir(), "over.qcow2")
	if err := tool.Create(t.Context(), over, QCOW2, 3<<20, CreateOptions{Backing: base, BackingFormat: Raw}); err != nil {
		t.Fatal(err)
	}
	targets := []Target{{Path: filepath.Join(t.TempDir(), "a.vmdk"), Form: FormVMDKStream}, {Path: filepath.Join(t.TempDir(), "b.qcow2"), Form: FormQCOW2}}
	written, err := tool.Fan(t.Context(), FanOptions{Src: over, SrcFormat: QCOW2, Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	checkTargets(t, tool, Image{over, QCOW2}, 3<<20, written)
}

// TestFanIsReproducible: equal inputs make equal files, where the format allows it.
func TestFanIsReproducible(t *testing.T) {
	t.Parallel()
	tool, src := needTool(t), rawImage(t, 8<<20)
	var sums [2]map[string][32]byte
	for i := range sums {
		dir := t.TempDir()
		targets := slices.DeleteFunc(allForms(dir), func(t Target) bool {
			return slices.Contains([]Form{FormVHD, FormVHDX, FormVDI}, t.Form) // qemu-img puts random UUIDs and the time into them
		})
		if _, err := tool.Fan(t.Context(), FanOptions{Src: src, SrcFormat: Raw, Targets: targets}); err != nil {
			t.Fatal(err)
		}
		sums[i] = map[string][32]byte{}
		for _, name := range names(t, dir) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			sums[i][name] = sha256.Sum256(b)
		}
	}
	for name, sum := range sums[0] {
		if sums[1][name] != sum {
			t.Errorf("%s differs", name)
		}
	}
	if len(sums[0]) != 7 || len(sums[1]) != 7 {
		t.Errorf("%d and %d files", len(sums[0]), len(sums[1]))
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestFanIdentifiesVMDKs: what was asked for is in the descriptors, and the names are those under which the files are found.
func TestFanIdentifiesVMDKs(t *testing.T) {
	t.Parallel()
	tool, dir := needTool(t), t.TempDir()
	var targets []Target
	for _, form := range []Form{FormVMDK, FormVMDKSplit, FormVMDKStream} {
		targets = append(targets, Target{Path: filepath.Join(dir, string(form)+" é.vmdk"), Form: form, VMDK: VMDKOptions{CID: 0xabcdef, Adapter: "ide", HWVersion: 13}})
	}
	written, err := tool.Fan(t.Context(), FanOptions{Src: rawImage(t, 3<<20), SrcFormat: Raw, Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range written {
		b, err := os.ReadFile(w.Path)
		if err != nil {
			t.Fatal(err)
		}
		d, err := vmdk.ParseDescriptor(b[max(bytes.Index(b, []byte("# Disk DescriptorFile")), 0):])
		if err != nil || d.CID != 0xabcdef || d.ParentCID != 0xffffffff || d.DDB["adapterType"] != "ide" || d.DDB["virtualHWVersion"] != "13" ||
			d.DDB["uuid.image"] == "" || d.DDB["uuid.image"] == "00000000-0000-0000-0000-000000000000" || len(d.Extents) != 1 {
			t.Errorf("%s: %+v, %v", w.Form, d, err)
		}
		file := map[Form]string{FormVMDK: "vmdk é.vmdk", FormVMDKSplit: "vmdk-split é-s001.vmdk", FormVMDKStream: "generated-stream.vmdk"}[w.Form]
		if d.Extents[0].File != file {
			t.Errorf("%s: the extent is %q, not %q", w.Form, d.Extents[0].File, file)
		}
	}
	if want := []string{filepath.Join(dir, "vmdk-split é-s001.vmdk")}; !slices.Equal(written[1].Extents, want) {
		t.Errorf("extents are %q", written[1].Extents)
	}
}

// TestReaderReadsQemuImg: the form of a stream that has its directory at the front.
func TestReaderReadsQemuImg(t *testing.T) {
	t.Parallel()
	tool, src := needTool(t), rawImage(t, 80<<20)
	dst := filepath.Join(t.TempDir(), "x.vmdk")
	err := tool.Convert(t.Context(), ConvertOptions{Src: src, SrcFormat: Raw, Dst: dst, DstFormat: VMDK, Extra: []string{"-o", "subformat=streamOptimized"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(dst)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	checkStream(t, Image{src, Raw}, Written{Path: dst, VirtualSize: 80 << 20, SHA256: hex.EncodeToString(sum[:])})
}

func TestFanReports(t *testing.T) {
	t.Parallel()
	tool, raw := needTool(t), rawImage(t, 6<<20)
	src, dir := asQCOW2(t, tool, raw), t.TempDir()
	targets := allForms(dir)
	done, ready := make([]int64, len(targets)), make([]Written, len(targets))
	for i := range targets {
		targets[i].Progress = func(d, _ int64) { done[i] = d }
		targets[i].Ready = func(_ context.Context, w Written) error {
			_, err := os.Stat(w.Path)
			ready[i] = w
			return err
		}
	}
	written, err := tool.Fan(t.Context(), FanOptions{Src: src, SrcFormat: QCOW2, Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range written {
		if done[i] != 6<<20 {
			t.Errorf("%s: last progress was %d", w.Form, done[i])
		}
		if w.Path != targets[i].Path || ready[i].Path != w.Path || ready[i].Size != w.Size || w.Form != targets[i].Form {
			t.Errorf("%s: ready with %+v, written %+v", w.Form, ready[i], w)
		}
	}
}

// TestFanFailureLeavesNothing: whatever goes wrong, no target and no flat copy is left.
func TestFanFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	tool, raw := needTool(t), rawImage(t, 6<<20)
	src := asQCOW2(t, tool, raw)
	mine := errors.New("packing failed")
	for name, spoil := range map[string]func(o *FanOptions) error{
		"a folder that is not there": func(o *FanOptions) error {
			o.Targets[4].Path = filepath.Join(filepath.Dir(o.Targets[4].Path), "no", "x.vmdk")
			return os.ErrNotExist
		},
		"what is done when a target is ready": func(o *FanOptions) error {
			o.Targets[0].Ready = func(context.Context, Written) error { return mine }
			return mine
		},
		"a source that is not what it is said to be": func(o *FanOptions) error { o.Src, o.SrcFormat = raw, QCOW2; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := FanOptions{Src: src, SrcFormat: QCOW2, Targets: allForms(dir)}
			want := spoil(&o)
			written, err := tool.Fan(t.Context(), o)
			if err == nil || written != nil || want != nil && !errors.Is(err, want) {
				t.Errorf("%+v, %v", written, err)
			}
			if left := names(t, dir); len(left) > 0 {
				t.Errorf("%q were left behind", left)
			}
		})
	}
}

func TestFanCancel(t *testing.T) {
	t.Parallel()
	tool, src := needTool(t), rawImage(t, 64<<20)
	stop := errors.New("the user had enough")
	for i, form := range []Form{FormVMDKStream, FormQCOW2, FormRaw} {
		ctx, cancel := context.WithCancelCause(t.Context())
		dir := t.TempDir()
		targets := allForms(dir)
		at := slices.IndexFunc(targets, func(t Target) bool { return t.Form == form })
		targets[at].Progress = func(int64, int64) { cancel(stop) }
		_, err := tool.Fan(ctx, FanOptions{Src: src, SrcFormat: Raw, Targets: targets})
		if !errors.Is(err, stop) {
			t.Errorf("%d: error is %v", i, err)
		}
		if left := names(t, dir); len(left) > 0 {
			t.Errorf("%s: %q were left behind", form, left)
		}
	}
}

func TestFanRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, o := range map[string]FanOptions{
		"no target":          {Src: "x", SrcFormat: Raw},
		"no format":          {Src: "x", Targets: []Target{{Path: "y", Form: FormRaw}}},
		"a form":             {Src: "x", SrcFormat: Raw, Targets: []Target{{Path: filepath.Join(dir, "y"), Form: "floppy"}}},
		"a name twice":       {Src: "x", SrcFormat: Raw, Targets: []Target{{Path: dir + "/y", Form: FormRaw}, {Path: dir + "/./y", Form: FormVDI}}},
		"a name with quotes": {Src: "x", SrcFormat: Raw, Targets: []Target{{Path: dir + `/a"b.vmdk`, Form: FormVMDK}}},
	} {
		if _, err := (Tool{Path: "/nowhere"}).Fan(t.Context(), o); err == nil || errors.Is(err, ErrNoQemuImg) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
