package disk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDetectFormat(t *testing.T) {
	t.Parallel()
	tool := needTool(t)
	for _, c := range []struct {
		format, want string
		extra        []string
	}{
		{QCOW2, QCOW2, nil}, {"qcow", "qcow", nil}, {Raw, Raw, nil}, {VMDK, VMDK, nil}, {VDI, VDI, nil}, {VHDX, VHDX, nil},
		{VPC, VPC, nil}, {VPC, VPC, []string{"-o", "subformat=fixed"}}, {"qed", "qed", nil},
		{VMDK, VMDK, []string{"-o", "subformat=streamOptimized"}}, {VMDK, VMDK, []string{"-o", "subformat=monolithicFlat"}},
	} {
		path := filepath.Join(t.TempDir(), "x.img")
		if err := tool.Create(t.Context(), path, c.format, 1<<20, CreateOptions{Extra: c.extra}); err != nil {
			t.Fatal(err)
		}
		if got, err := DetectFormat(path); err != nil || got != c.want {
			t.Errorf("%s %v: detected %q, %v", c.format, c.extra, got, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := DetectFormat(empty); err != nil || got != Raw {
		t.Errorf("empty file: %q, %v", got, err)
	}
	if _, err := DetectFormat(empty + "x"); err == nil {
		t.Error("a missing file has a format")
	}
}

func TestSparseVMDKSize(t *testing.T) {
	t.Parallel()
	tool := needTool(t)
	for subformat, want := range map[string]int64{"monolithicSparse": 3 << 30, "streamOptimized": 3 << 30, "monolithicFlat": 0} {
		path := filepath.Join(t.TempDir(), "x.vmdk")
		if err := tool.Create(t.Context(), path, VMDK, 3<<30, CreateOptions{Extra: []string{"-o", "subformat=" + subformat}}); err != nil {
			t.Fatal(err)
		}
		head, err := os.ReadFile(path)
		if got := SparseVMDKSize(head); err != nil || got != want {
			t.Errorf("%s: %d, want %d; %v", subformat, got, want, err)
		}
	}
	for _, head := range []string{"", sparseMark, sparseMark + strings.Repeat("\xff", 16)} {
		if got := SparseVMDKSize([]byte(head)); got != 0 {
			t.Errorf("%q: %d", head, got)
		}
	}
}

func TestParseQCOW2(t *testing.T) {
	t.Parallel()
	tool, dir := needTool(t), t.TempDir()
	head := func(name string, size int64, o CreateOptions) QCOW2Header {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := tool.Create(t.Context(), path, QCOW2, size, o); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseQCOW2(b[:QCOW2HeaderSize])
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if got, want := head("plain", 3<<30, CreateOptions{}), (QCOW2Header{Version: 3, VirtualSize: 3 << 30, ClusterSize: 65536}); got != want {
		t.Errorf("plain: %+v", got)
	}
	if got := head("over", 0, CreateOptions{Backing: filepath.Join(dir, "plain"), BackingFormat: QCOW2}); !got.HasBacking {
		t.Errorf("overlay: %+v", got)
	}
	if got := head("data", 1<<20, CreateOptions{Extra: []string{"-o", "data_file=" + filepath.Join(dir, "raw")}}); !got.HasDataFile {
		t.Errorf("external data: %+v", got)
	}
	if got := head("old", 1<<20, CreateOptions{Extra: []string{"-o", "compat=0.10,cluster_size=4096"}}); got.Version != 2 || got.ClusterSize != 4096 {
		t.Errorf("old: %+v", got)
	}
}

func FuzzParseQCOW2(f *testing.F) {
	f.Add([]byte("QFI\xfb\x00\x00\x00\x03"))
	f.Add(append([]byte("QFI\xfb\x00\x00\x00\x02"), make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseQCOW2(b)
		if err == nil && (h.VirtualSize < 0 || h.ClusterSize < 512) {
			t.Errorf("nonsense was accepted: %+v", h)
		}
	})
}
