package steps

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestCopyFileKeepsHoles: a raw image of a large disk takes no more room where it is kept than where it was made.
func TestCopyFileKeepsHoles(t *testing.T) {
	t.Parallel()
	src, dst := filepath.Join(t.TempDir(), "disk.raw"), filepath.Join(t.TempDir(), "copy")
	f, err := os.Create(src)
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	block := bytes.Repeat([]byte("data"), 1<<14)
	err = f.Truncate(size)
	for _, at := range []int64{0, 20 << 20, 40<<20 + 4096} {
		_, writeErr := f.WriteAt(block, at)
		err = errors.Join(err, writeErr)
	}
	if err := errors.Join(err, f.Close(), copyFile(t.Context(), dst, src, 0o600)); err != nil {
		t.Fatal(err)
	}
	want, wantErr := os.ReadFile(src)
	got, gotErr := os.ReadFile(dst)
	if err := errors.Join(wantErr, gotErr); err != nil || !bytes.Equal(want, got) {
		t.Errorf("the copy differs (%v)", err)
	}
	if blocks(t, dst) > blocks(t, src)+16 {
		t.Errorf("the copy takes %d blocks, the file %d", blocks(t, dst), blocks(t, src))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := copyFile(ctx, dst, src, 0o600); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks
}
