package boxfile

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnpack(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a disk ", 1<<18)
	box := gz(t, archive(t, file("metadata.json", `{"provider":"utm"}`), file("./disk.img", long), file("docs/read.me", "read me")))
	want, err := Inspect(t.Context(), bytes.NewReader(box), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	got, err := Unpack(t.Context(), bytes.NewReader(box), dir, Limits{})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("inspected and unpacked: %s; %v", diff, err)
	}
	for name, text := range map[string]string{"metadata.json": `{"provider":"utm"}`, "disk.img": long, "docs/read.me": "read me"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != text {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
}

// TestUnpackStaysInside: whatever an archive says, nothing is written elsewhere, and nothing that is there is touched.
func TestUnpackStaysInside(t *testing.T) {
	t.Parallel()
	metadata := file("metadata.json", `{"provider":"utm"}`)
	for name, e := range map[string]entry{
		"parent": file("../out", "x"), "absolute": file("/tmp/boxkiln-unpack-out", "x"), "link": special(tar.TypeSymlink, "out", "/etc/passwd"),
		"hard link": special(tar.TypeLink, "out", "/etc/passwd"), "device": special(tar.TypeChar, "out", ""),
	} {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(t.Context(), bytes.NewReader(archive(t, metadata, e)), dir, Limits{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(outer); len(left) != 1 {
			t.Errorf("%s: %v was written", name, left)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "metadata.json"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Unpack(t.Context(), bytes.NewReader(archive(t, metadata)), dir, Limits{})
	if !errors.Is(err, fs.ErrExist) || errors.Is(err, ErrInvalid) {
		t.Errorf("a file that is there: %v", err)
	}
}
