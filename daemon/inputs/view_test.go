package inputs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/inputs"
)

// view collects a tree, stores its contents, removes the tree and shows it.
func view(t *testing.T, cwd string, names ...string) *inputs.View {
	t.Helper()
	ins, err := inputs.Collect(cwd, names)
	if err != nil {
		t.Fatal(err)
	}
	s := inputs.Store{Dir: t.TempDir()}
	for _, in := range ins {
		if in.Mode.IsDir() {
			continue
		}
		f, err := os.Open(in.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Put(in.Digest, f), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(cwd); err != nil {
		t.Fatal(err)
	}
	v, err := s.View(ins, cwd)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A view shows what was there when the client looked, whatever became of it.
func TestViewIsAFileSystem(t *testing.T) {
	t.Parallel()
	cwd := filepath.Join(t.TempDir(), "project")
	tree(t, cwd, "http/ks.cfg", "http/sub/deep/late.sh", "http/empty/", "http/Ünïcode name", "other")
	v := view(t, cwd, "http", "other")
	dir, err := v.Dir("http")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(dir, "ks.cfg", "sub/deep/late.sh", "empty", "Ünïcode name"); err != nil {
		t.Error(err)
	}
	if _, err := dir.Open("../other"); err == nil {
		t.Error("a file outside of the directory was opened")
	}
}

func TestViewByName(t *testing.T) {
	t.Parallel()
	cwd := filepath.Join(t.TempDir(), "project")
	tree(t, cwd, "scripts/a.sh", "scripts/b.sh", "scripts/c.txt")
	v := view(t, cwd, "scripts")
	for _, name := range []string{"scripts/a.sh", "./scripts/../scripts/a.sh", filepath.Join(cwd, "scripts/a.sh")} {
		f, err := v.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		info, statErr := v.Stat(name)
		if string(data) != "content of a.sh" || errors.Join(err, statErr, f.Close()) != nil {
			t.Errorf("%s: %q, %v, %v", name, data, err, statErr)
		}
		if info.Name() != "a.sh" || info.Size() != int64(len(data)) || info.Mode() != 0o644 || info.IsDir() {
			t.Errorf("%s: %v", name, fs.FormatFileInfo(info))
		}
	}
	found, err := v.Glob("scripts/*.sh")
	want := []string{filepath.Join(cwd, "scripts/a.sh"), filepath.Join(cwd, "scripts/b.sh")}
	if d := cmp.Diff(want, found); d != "" || err != nil {
		t.Error(d, err)
	}
	if found, err := v.Glob("none*"); len(found) != 0 || err != nil {
		t.Error(found, err)
	}
	if _, err := v.Glob("[bad"); err == nil {
		t.Error("a bad glob was taken")
	}
	if !strings.Contains(v.String(), cwd) {
		t.Error(v)
	}
}

func TestViewGlobInAnOddDirectory(t *testing.T) {
	t.Parallel()
	cwd := filepath.Join(t.TempDir(), "odd [name]*")
	tree(t, cwd, "a.sh")
	found, err := view(t, cwd, "a.sh").Glob("*.sh")
	if d := cmp.Diff([]string{filepath.Join(cwd, "a.sh")}, found); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestViewRefuses(t *testing.T) {
	t.Parallel()
	cwd := filepath.Join(t.TempDir(), "project")
	tree(t, cwd, "d/file", "outside")
	v := view(t, cwd, "d")
	for _, name := range []string{"outside", "../../etc/passwd", "/etc/passwd", "d/file/x", ""} {
		if _, err := v.Stat(name); name != "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat %q: %v", name, err)
		}
		if f, err := v.Open(name); name != "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %q: %v, %v", name, f, err)
		}
	}
	if _, err := v.Dir("d/file"); err == nil {
		t.Error("a file is no directory")
	}
	if _, err := v.ReadDir("d/file"); err == nil {
		t.Error("a file has no entries")
	}
	if _, err := v.Dir("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Inputs come from a client, which may say anything: a view needs the contents and shows nothing else.
func TestViewOfHostileInputs(t *testing.T) {
	t.Parallel()
	s := inputs.Store{Dir: t.TempDir()}
	here := digest("here")
	if err := s.Put(here, strings.NewReader("here")); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]build.Input{
		"content that is not here": {Path: "/a", Digest: digest("lack")},
		"no digest":                {Path: "/a"},
		"a path for a digest":      {Path: "/a", Digest: "../../../etc/passwd"},
	} {
		if _, err := s.View([]build.Input{in}, "/"); err == nil {
			t.Errorf("%s was shown", name)
		}
	}
	for _, path := range []string{"", ".", "..", "../../x", "x/../../..", "/", "//", "a//b", "/../etc/passwd"} {
		v, err := s.View([]build.Input{{Path: path, Digest: here}, {Path: path + "/below", Digest: here}}, "/w")
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		if f, err := v.Open("/etc/shadow"); err == nil {
			t.Errorf("%q shows %v", path, f)
		}
	}
}
