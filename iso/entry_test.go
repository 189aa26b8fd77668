package iso

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plant makes files whose content is their path; a path that ends in a slash is a directory.
func plant(t *testing.T, paths ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, p := range paths {
		full := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(p, "/") {
			err = os.MkdirAll(full, 0o755)
		} else {
			err = os.WriteFile(full, []byte(p), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// summary is "name=content" of files and "name/" of directories, sorted.
func summary(t *testing.T, entries []Entry) []string {
	t.Helper()
	var out []string
	for _, e := range entries {
		if e.Mode.IsDir() {
			out = append(out, e.Name+"/")
			continue
		}
		var b bytes.Buffer
		if err := e.CopyTo(&b); err != nil {
			t.Error(err)
		}
		out = append(out, e.Name+"="+b.String())
	}
	slices.Sort(out)
	return out
}

func TestCDEntries(t *testing.T) {
	t.Parallel()
	dir := plant(t, "user-data", "seed/meta-data", "seed/sub/deep/x", "seed/empty/")
	if err := os.Symlink("../user-data", filepath.Join(dir, "seed/link")); err != nil {
		t.Fatal(err)
	}
	tree := []string{"empty/", "link=user-data", "meta-data=seed/meta-data", "sub/", "sub/deep/", "sub/deep/x=seed/sub/deep/x"}
	under := []string{"seed/"}
	for _, s := range tree {
		under = append(under, "seed/"+s)
	}
	for name, tc := range map[string]struct {
		args CDArgs
		want []string
	}{
		"file":      {CDArgs{Files: []string{"user-data", "./seed/sub/deep/x"}}, []string{"user-data=user-data", "x=seed/sub/deep/x"}},
		"absolute":  {CDArgs{Files: []string{dir + "/user-data"}}, []string{"user-data=user-data"}},
		"directory": {CDArgs{Files: []string{"./seed"}}, under},
		"slash":     {CDArgs{Files: []string{"seed/"}}, tree},
		"slash dot": {CDArgs{Files: []string{"seed/."}}, tree},
		"glob":      {CDArgs{Files: []string{"seed/*"}}, tree},
		"glob abs":  {CDArgs{Files: []string{dir + "/s*"}}, under},
		"no match":  {CDArgs{Files: []string{"x*"}}, nil},
		"content":   {CDArgs{Content: map[string]string{"/a/b": "1", "c": "2", "./d": "3"}}, []string{"a/b=1", "c=2", "d=3"}},
	} {
		entries, err := CDEntries(OSFiles{Dir: dir}, tc.args)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, summary(t, entries)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	_, err := CDEntries(OSFiles{Dir: dir}, CDArgs{Files: []string{"gone", "nor/this"}})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `cd_files: "gone"`) || !strings.Contains(err.Error(), `"nor/this"`) {
		t.Errorf("missing files: %v", err)
	}
}

func TestCDEntriesRefuseEndlessTrees(t *testing.T) {
	t.Parallel()
	dir := plant(t, "seed/x")
	for _, link := range []string{"a", "b"} {
		if err := os.Symlink(".", filepath.Join(dir, "seed", link)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := CDEntries(OSFiles{Dir: dir}, CDArgs{Files: []string{"seed"}}); err == nil {
		t.Error("a tree without end was taken")
	}
}

func TestFloppyEntries(t *testing.T) {
	t.Parallel()
	dir := plant(t, "Autounattend.xml", "drivers/net/a.inf", "drivers/b.inf")
	entries, err := FloppyEntries(OSFiles{Dir: dir}, FloppyArgs{
		Files:   []string{"*.xml", "drivers"},
		Dirs:    []string{"drivers/", "Autounattend.xml"},
		Content: map[string]string{"drivers/b.inf": "new"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Autounattend.xml=Autounattend.xml", "Autounattend.xml=Autounattend.xml", "a.inf=drivers/net/a.inf", "b.inf=drivers/b.inf",
		"drivers/", "drivers/b.inf=drivers/b.inf", "drivers/b.inf=new", "drivers/net/", "drivers/net/a.inf=drivers/net/a.inf"}
	if diff := cmp.Diff(want, summary(t, entries)); diff != "" {
		t.Error(diff)
	}
	if _, err := FloppyEntries(OSFiles{Dir: dir}, FloppyArgs{Files: []string{"no"}, Dirs: []string{"nope"}}); err == nil ||
		!strings.Contains(err.Error(), "floppy_files") || !strings.Contains(err.Error(), "floppy_dirs") {
		t.Errorf("missing files: %v", err)
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	root, err := Tree([]Entry{Bytes("b/c", nil), Bytes("a", []byte("old")), {Name: "b/d/", Mode: fs.ModeDir}, Bytes("a", []byte("new"))})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *Node, prefix string) []string
	walk = func(n *Node, prefix string) (out []string) {
		for _, c := range n.Children {
			if c.Parent != n {
				t.Errorf("%s has the wrong parent", c.Name)
			}
			out = append(append(out, prefix+c.Name), walk(c, prefix+c.Name+"/")...)
		}
		return out
	}
	if diff := cmp.Diff([]string{"a", "b", "b/c", "b/d"}, walk(root, "")); diff != "" {
		t.Error(diff)
	}
	if got := summary(t, []Entry{root.Children[0].Entry}); got[0] != "a=new" {
		t.Errorf("the earlier file won: %s", got)
	}
	for _, bad := range [][]Entry{
		{Bytes("", nil)}, {Bytes(".", nil)}, {Bytes("../x", nil)}, {Bytes("/x", nil)}, {Bytes("a//b", nil)}, {Bytes("a\x00", nil)},
		{Bytes("\xff", nil)}, {Bytes(strings.Repeat("x", 256), nil)}, {Bytes(strings.Repeat("d/", 64)+"x", nil)},
		{Bytes("a", nil), Bytes("a/b", nil)}, {Bytes("a/b", nil), Bytes("a", nil)},
	} {
		if _, err := Tree(bad); err == nil {
			t.Errorf("%q was taken", bad[len(bad)-1].Name)
		}
	}
}

func TestCopyToNoticesChange(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{2, 4} {
		e := Bytes("x", []byte("abc"))
		e.Size = size
		if err := e.CopyTo(io.Discard); err == nil || !strings.Contains(err.Error(), "changed") {
			t.Errorf("%d bytes instead of 3: %v", size, err)
		}
	}
	e := Entry{Name: "x", Open: func() (io.ReadCloser, error) { return nil, fs.ErrPermission }}
	if err := e.CopyTo(io.Discard); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}
