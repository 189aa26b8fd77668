package disk

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk is a folder with room for a quarter of a megabyte.
func smallDisk(t *testing.T) string {
	t.Helper()
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system is needed: %v", err)
	}
	t.Cleanup(func() {
		// At once even while a process that another test starts holds a file of ours between fork and exec.
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return small
}

// TestRealDiskFull fills a small file system with a real conversion.
func TestRealDiskFull(t *testing.T) {
	t.Parallel()
	tool, src, small := needTool(t), rawImage(t, 1<<20), smallDisk(t)
	dst := filepath.Join(small, "out.qcow2")
	err := tool.Convert(t.Context(), ConvertOptions{Src: src, SrcFormat: Raw, Dst: dst, DstFormat: QCOW2})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
	onlyFile(t, dst)
}

// TestFanDiskFull: whichever writer meets the end of the disk, the error says so, and nothing is left.
func TestFanDiskFull(t *testing.T) {
	t.Parallel()
	tool, src := needTool(t), rawImage(t, 6<<20)
	for _, form := range []Form{FormQCOW2, FormRaw, FormVMDK, FormVMDKStream} {
		small := smallDisk(t)
		_, err := tool.Fan(t.Context(), FanOptions{Src: src, SrcFormat: Raw, Targets: []Target{{Path: filepath.Join(small, "x"), Form: form}}})
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: error is %v", form, err)
		}
		if left := names(t, small); len(left) > 0 {
			t.Errorf("%s: %q were left behind", form, left)
		}
	}
}
