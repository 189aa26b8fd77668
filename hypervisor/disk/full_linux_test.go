package disk

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRealDiskFull fills a small file system with a real conversion.
func TestRealDiskFull(t *testing.T) {
	t.Parallel()
	tool, src, small := needTool(t), rawImage(t, 1<<20), t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system is needed: %v", err)
	}
	t.Cleanup(func() {
		// At once even while a process that another test starts holds a file of ours between fork and exec.
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dst := filepath.Join(small, "out.qcow2")
	err := tool.Convert(t.Context(), ConvertOptions{Src: src, SrcFormat: Raw, Dst: dst, DstFormat: QCOW2})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
	onlyFile(t, dst)
}
