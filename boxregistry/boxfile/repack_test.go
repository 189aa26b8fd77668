package boxfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRepack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := Repack(t.Context(), &out, dir, Options{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("an empty folder: %v", err)
	}
	put("metadata.json", `{"provider":"parallels","unknown":{"stays":1}}`)
	put("Vagrantfile", "# v")
	put("machine.pvm/config.pvs", "<x/>")
	put("box_update_check", "")
	var said [2]Summary
	for i := range said {
		out.Reset()
		var err error
		if said[i], err = Repack(t.Context(), &out, dir, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := Inspect(t.Context(), bytes.NewReader(out.Bytes()), Limits{})
	if err != nil || len(sum.Files) != 3 || sum.Files[0].Name != MetadataName || sum.Files[2].Name != "machine.pvm/config.pvs" {
		t.Errorf("%+v, %v", sum, err)
	}
	for _, s := range said {
		if diff := cmp.Diff(sum, s); diff != "" {
			t.Errorf("inspected and packed: %s", diff)
		}
	}
	put("metadata.json", `{"no":"provider"}`)
	if _, err := Repack(t.Context(), &out, dir, Options{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a folder whose metadata says nothing: %v", err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Repack(t.Context(), &out, dir, Options{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a folder with a link: %v", err)
	}
}
