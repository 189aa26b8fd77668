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

// tarOf is a box without compression.
func tarOf(t *testing.T, entries ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		body := h.Linkname
		if h.Typeflag == 0 {
			h.Typeflag, h.Linkname, h.Size = tar.TypeReg, "", int64(len(body))
		}
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a disk ", 1<<18)
	box := tarOf(t, tar.Header{Name: "metadata.json", Linkname: `{"provider":"utm"}`}, tar.Header{Name: "./disk.img", Linkname: long},
		tar.Header{Name: "docs/read.me", Linkname: "read me"})
	want, err := Inspect(t.Context(), bytes.NewReader(box.Bytes()), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	got, err := Unpack(t.Context(), box, dir, Limits{})
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
	for name, h := range map[string]tar.Header{
		"parent": {Name: "../out", Linkname: "x"}, "absolute": {Name: "/tmp/boxkiln-unpack-out", Linkname: "x"},
		"link": {Name: "out", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, "hard link": {Name: "out", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
		"device": {Name: "out", Typeflag: tar.TypeChar},
	} {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Unpack(t.Context(), tarOf(t, tar.Header{Name: "metadata.json", Linkname: `{"provider":"utm"}`}, h), dir, Limits{})
		if !errors.Is(err, ErrInvalid) {
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
	_, err := Unpack(t.Context(), tarOf(t, tar.Header{Name: "metadata.json", Linkname: `{"provider":"utm"}`}), dir, Limits{})
	if !errors.Is(err, fs.ErrExist) || errors.Is(err, ErrInvalid) {
		t.Errorf("a file that is there: %v", err)
	}
}
