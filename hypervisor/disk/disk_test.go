package disk

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func needTool(t *testing.T) Tool {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed")
	}
	return Tool{}
}

// rawImage writes a raw image of size bytes with data at both ends.
func rawImage(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk: a,b.raw") // a colon and a comma mean something to careless callers
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 256<<10)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(data); i++ {
		data[i] = byte(r.Uint32())
	}
	_, err1 := f.WriteAt(data, 0)
	_, err2 := f.WriteAt(data, size-int64(len(data)))
	if err := errors.Join(err1, err2, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConvertAndBack(t *testing.T) {
	t.Parallel()
	tool, ctx := needTool(t), t.Context()
	src := rawImage(t, 8<<20)
	dst := filepath.Join(t.TempDir(), "json:out.qcow2")
	var last, total int64
	err := tool.Convert(ctx, ConvertOptions{Src: src, SrcFormat: Raw, Dst: dst, DstFormat: QCOW2, Compress: true, Parallel: 2,
		Progress: func(d, n int64) { last, total = d, n }})
	if err != nil {
		t.Fatal(err)
	}
	if last != 8<<20 || total != 8<<20 {
		t.Errorf("last progress was %d of %d", last, total)
	}
	info, err := tool.Info(ctx, dst, "")
	if err != nil {
		t.Fatal(err)
	}
	if info.Format != QCOW2 || info.VirtualSize != 8<<20 || info.ActualSize > 2<<20 || info.Backing != "" {
		t.Errorf("converted image is %+v", info)
	}
	same, err := tool.Compare(ctx, Image{src, Raw}, Image{dst, QCOW2})
	if err != nil || !same {
		t.Errorf("compare: same=%v err=%v", same, err)
	}
	if r, err := tool.Check(ctx, dst, QCOW2); err != nil || !r.OK() || r.Allocated == 0 {
		t.Errorf("check: %+v, %v", r, err)
	}
	onlyFile(t, dst)
}

func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Errorf("%q was left behind", e.Name())
		}
	}
}

func TestConvertIsReproducible(t *testing.T) {
	t.Parallel()
	tool, src := needTool(t), rawImage(t, 4<<20)
	var images [2][]byte
	for i := range images {
		dst := filepath.Join(t.TempDir(), "out")
		if err := tool.Convert(t.Context(), ConvertOptions{Src: src, SrcFormat: Raw, Dst: dst, DstFormat: QCOW2}); err != nil {
			t.Fatal(err)
		}
		images[i], _ = os.ReadFile(dst)
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two conversions of one image differ")
	}
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	tool, ctx, base := needTool(t), t.Context(), rawImage(t, 1<<20)
	over := filepath.Join(t.TempDir(), "over.qcow2")
	if err := tool.Create(ctx, over, QCOW2, 0, CreateOptions{Backing: base, BackingFormat: Raw}); err != nil {
		t.Fatal(err)
	}
	info, err := tool.Info(ctx, over, QCOW2)
	if err != nil || info.FullBacking != base || info.BackingFormat != Raw || info.VirtualSize != 1<<20 {
		t.Errorf("overlay is %+v, %v", info, err)
	}
	if err := tool.Resize(ctx, over, QCOW2, 2<<20); err != nil {
		t.Fatal(err)
	}
	if same, err := tool.Compare(ctx, Image{base, Raw}, Image{over, QCOW2}); err != nil || !same {
		t.Errorf("a grown overlay reads zeros at its end: same=%v err=%v", same, err)
	}
	if err := tool.Resize(ctx, over, QCOW2, 1<<20); err == nil {
		t.Error("an image was shrunk")
	}
	if err := tool.Create(ctx, over+"2", QCOW2, 0, CreateOptions{Backing: base}); err == nil {
		t.Error("a backing image without a format was taken")
	}
}

func TestCompareTellsDifference(t *testing.T) {
	t.Parallel()
	tool, a := needTool(t), rawImage(t, 1<<20)
	b := filepath.Join(t.TempDir(), "empty.qcow2")
	if err := tool.Create(t.Context(), b, QCOW2, 1<<20, CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if same, err := tool.Compare(t.Context(), Image{a, Raw}, Image{b, QCOW2}); err != nil || same {
		t.Errorf("same=%v err=%v", same, err)
	}
	if _, err := tool.Compare(t.Context(), Image{a, Raw}, Image{b + "x", QCOW2}); err == nil {
		t.Error("a missing image was compared")
	}
}

func TestCheckFindsCorruption(t *testing.T) {
	t.Parallel()
	tool, src := needTool(t), rawImage(t, 4<<20)
	dst := filepath.Join(t.TempDir(), "out.qcow2")
	if err := tool.Convert(t.Context(), ConvertOptions{Src: src, SrcFormat: Raw, Dst: dst, DstFormat: QCOW2}); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(dst)
	copy(data[2*65536+1:], "\xff\xff") // the refcount block, behind header and refcount table
	if err := os.WriteFile(dst, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := tool.Check(t.Context(), dst, QCOW2); err == nil && r.OK() && r.Leaks == 0 {
		t.Errorf("nothing was found in a damaged image: %+v", r)
	}
}

func TestFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	tool, src := needTool(t), rawImage(t, 1<<20)
	dst := filepath.Join(t.TempDir(), "out.qcow2")
	err := tool.Convert(t.Context(), ConvertOptions{Src: src, SrcFormat: QCOW2, Dst: dst, DstFormat: QCOW2})
	if err == nil || !strings.Contains(err.Error(), "not in qcow2 format") {
		t.Errorf("a raw image taken for qcow2: %v", err)
	}
	if exitStatus(err) != 1 {
		t.Errorf("exit status %d", exitStatus(err))
	}
	onlyFile(t, dst)
}

// script writes a stand-in for qemu-img.
func script(t *testing.T, body string) Tool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qemu-img")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return Tool{Path: path}
}

func TestDiskFull(t *testing.T) {
	tool := script(t, "echo 'qemu-img: error while writing at byte 0: No space left on device' >&2; exit 1\n")
	err := tool.Create(t.Context(), filepath.Join(t.TempDir(), "x"), QCOW2, 1, CreateOptions{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v does not say that the disk is full", err)
	}
}

func TestMissingProgramNamesPackage(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/nowhere/qemu-img", "no-such-qemu-img"} {
		_, err := Tool{Path: path}.Info(t.Context(), "/etc/hostname", Raw)
		if !errors.Is(err, ErrNoQemuImg) || !strings.Contains(err.Error(), "qemu-utils") {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestCancelKillsAndRemoves(t *testing.T) {
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	if err := syscall.Mkfifo(started, 0o600); err != nil {
		t.Fatal(err)
	}
	tool := script(t, "eval dst=\\${$#}; echo half > \"$dst\"; echo $$ > '"+started+"'; exec sleep 600\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the user had enough")
	pid := make(chan string, 1)
	go func() {
		b, _ := os.ReadFile(started) // blocks until the script runs
		cancel(stop)
		pid <- strings.TrimSpace(string(b))
	}()
	dst := filepath.Join(t.TempDir(), "out.qcow2")
	err := tool.Convert(ctx, ConvertOptions{Src: "/dev/null", SrcFormat: Raw, Dst: dst, DstFormat: QCOW2})
	if !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
	if p := <-pid; runtime.GOOS == "linux" {
		if _, err := os.Stat("/proc/" + p); err == nil {
			t.Errorf("process %s still runs", p)
		}
	}
	if _, err := os.Stat(dst); err == nil {
		t.Error("a part of the image has the name of the whole")
	}
	onlyFile(t, dst)
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var got []float64
	p := &progress{report: func(f float64) { got = append(got, f) }}
	for _, chunk := range []string{"    (0.", "00/100%)\r", "    (12.34/100%)\r(", "x/100%)(-1/100%)(99999999999999999999/100%)(100.00/1", "00%)\n"} {
		if _, err := p.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]float64{0, 12.34, 100}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	good := map[string]int64{"40960": 40960 << 20, "40960M": 40960 << 20, "10G": 10 << 30, "10g": 10 << 30, "512b": 512, "1k": 1024, "2T": 2 << 40}
	for s, want := range good {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "G", "1.5G", "10GB", "-1", "+1", "0", "10 G", "99999999T", "9223372036854775807", "99999999999999999999"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", s, got)
		}
	}
}
