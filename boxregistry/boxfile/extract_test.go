package boxfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestExtractDisks(t *testing.T) {
	t.Parallel()
	first, second := qcow2(1<<30, 100<<10), qcow2(2<<30, 200<<10)
	two := Contents{Metadata: Metadata{Provider: Libvirt, Disks: []MetadataDisk{{Path: "b.img"}, {Path: "a.img"}}},
		Files: []File{{"a.img", writeFile(t, second)}, {"notes", writeFile(t, []byte("QFI"))}, {"b.img", writeFile(t, first)}}}
	one := Contents{Metadata: Metadata{Provider: Libvirt, Format: "qcow2", VirtualSize: 1}, Files: []File{{"box.img", writeFile(t, first)}}}
	for name, c := range map[string]struct {
		box  Contents
		want [][]byte
	}{"one": {one, [][]byte{first}}, "two": {two, [][]byte{first, second}}} {
		var b bytes.Buffer
		if _, err := Write(t.Context(), &b, c.box, Options{}); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		disks, err := ExtractDisks(t.Context(), &b, dir)
		if err != nil {
			t.Fatal(err)
		}
		var got [][]byte
		for _, path := range disks {
			data, err := os.ReadFile(path)
			if err != nil || filepath.Dir(path) != dir {
				t.Errorf("%s: %q, %v", name, path, err)
			}
			got = append(got, data)
		}
		if !cmp.Equal(c.want, got) {
			t.Errorf("%s: the disks are not those of the box", name)
		}
	}
}

func TestExtractDisksFails(t *testing.T) {
	t.Parallel()
	image := string(qcow2(1<<30, 300<<10))
	good := gz(t, archive(t, file(MetadataName, `{"provider":"libvirt"}`), file("box.img", image)))
	lost := errors.New("connection lost")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		r    io.Reader
		want error
	}{
		"lost":     {t.Context(), io.MultiReader(bytes.NewReader(good[:len(good)/2]), iotest.ErrReader(lost)), lost},
		"cut off":  {t.Context(), bytes.NewReader(good[:len(good)/2]), io.ErrUnexpectedEOF},
		"canceled": {canceled, bytes.NewReader(good), context.Canceled},
		"no disk":  {t.Context(), bytes.NewReader(archive(t, file(MetadataName, `{"provider":"libvirt"}`), file("../box.img", image))), ErrInvalid},
	} {
		dir := t.TempDir()
		if _, err := ExtractDisks(c.ctx, c.r, dir); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, d := range []string{dir, filepath.Dir(dir)} {
			if left, _ := filepath.Glob(filepath.Join(d, "*.img")); len(left) > 0 {
				t.Errorf("%s left %v", name, left)
			}
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}
