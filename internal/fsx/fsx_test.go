package fsx

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestFile: nothing has the name before Commit or Place, and nothing but the file is left after either, or after Close.
func TestFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(*File) error
		want string
	}{
		"commit": {(*File).Commit, "new"},
		"place":  {(*File).Place, "new"},
		"close":  {(*File).Close, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f")
			if err := WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := Create(path, 0o640)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("new")); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
				t.Errorf("while it is written: %q, %v", got, err)
			}
			if err := errors.Join(c.end(f), f.Close()); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
				t.Errorf("at the end: %q, %v; want %q", got, err, c.want)
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
}

// TestEager: the system is told once for every few megabytes, and of every byte once.
func TestEager(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var told []int64
	begin := f.begin
	f.begin = func(file *os.File, offset, length int64) {
		told = append(told, offset, length)
		begin(file, offset, length)
	}
	piece := bytes.Repeat([]byte("0123456789abcdef"), eagerStep/16/4*3) // three quarters of a step
	var want []byte
	for range 5 {
		want = append(want, piece...)
		if _, err := f.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	const length = eagerStep / 4 * 6
	if len(told) != 4 || told[0] != 0 || told[1] != length || told[2] != length || told[3] != length {
		t.Errorf("told of %v; want two ranges of %d bytes", told, length)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Sync(path); err != nil {
		t.Error(err)
	}
	if err := Sync(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
