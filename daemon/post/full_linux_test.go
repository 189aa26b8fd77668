package post

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestDiskFull(t *testing.T) {
	t.Parallel()
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system is needed: %v", err)
	}
	t.Cleanup(func() {
		// At once even while a process that another test starts holds a file of ours between fork and exec.
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	env, _ := testEnv(t)
	env.Outputs = outputs(small)
	_, err := tryProcess(t.Context(), NewCompress, `{"output":"x.tar"}`, env, artifact(t))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
	if left, _ := os.ReadDir(small); len(left) > 0 {
		t.Errorf("%v was left", left)
	}
}
