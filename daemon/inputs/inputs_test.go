package inputs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// tree makes files below a new directory; a name that ends with / is a directory, one with " -> " a link.
func tree(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		name, target, link := strings.Cut(name, " -> ")
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case link:
			err = errors.Join(err, os.Symlink(target, path))
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte("content of "+filepath.Base(name)), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// paths are those of inputs, relative to dir.
func paths(t *testing.T, dir string, ins []build.Input) string {
	t.Helper()
	var list []string
	for _, in := range ins {
		rel, err := filepath.Rel(dir, in.Path)
		if err != nil {
			t.Fatal(err)
		}
		if in.Mode.IsDir() {
			rel += "/"
		}
		list = append(list, rel)
	}
	return strings.Join(list, " ")
}

func TestCollect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []string
		names []string
		want  string
	}{
		{"nothing", nil, nil, ""},
		{"a file", []string{"a.sh", "b.sh"}, []string{"a.sh"}, "a.sh"},
		{"one file by two names", []string{"a.sh"}, []string{"a.sh", "./a.sh", "x/../a.sh"}, "a.sh"},
		{"a directory", []string{"http/ks.cfg", "http/sub/late.sh", "http/empty/"}, []string{"http"}, "http/ http/empty/ http/ks.cfg http/sub/ http/sub/late.sh"},
		{"a slash at the end", []string{"http/ks.cfg"}, []string{"http/"}, "http/ http/ks.cfg"},
		{"overlapping names", []string{"d/a", "d/b"}, []string{"d/b", "d", "d/*"}, "d/ d/a d/b"},
		{"a glob", []string{"s/1.sh", "s/2.sh", "s/3.txt"}, []string{"s/*.sh"}, "s/1.sh s/2.sh"},
		{"a glob that matches nothing", nil, []string{"*.sh"}, ""},
		{"a glob that matches a directory", []string{"ab/x"}, []string{"a?"}, "ab/ ab/x"},
		{"a file named like a glob", []string{"a[1].sh", "a1.sh"}, []string{"a[1].sh"}, "a[1].sh"},
		{"a link to a file", []string{"real", "link -> real"}, []string{"link"}, "link"},
		{"a link to a directory", []string{"real/x", "link -> real"}, []string{"link"}, "link/ link/x"},
		{"a link to its own directory", []string{"d/x", "d/self -> ."}, []string{"d"}, "d/ d/x"},
		{"a link back, as Puppet modules have", []string{"m/manifests/init.pp", "m/spec/fixtures/m -> ../.."}, []string{"m"},
			"m/ m/manifests/ m/manifests/init.pp m/spec/ m/spec/fixtures/"},
		{"two directories that link to each other", []string{"a/x", "b/y", "a/b -> ../b", "b/a -> ../a"}, []string{"a"}, "a/ a/b/ a/b/y a/x"},
	}
	for _, tt := range tests {
		for _, cwd := range []string{"plain", "odd [name]*?\\"} { // a directory's name is no part of the pattern
			t.Run(tt.name+" in "+cwd, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), cwd)
				tree(t, dir, tt.files...)
				ins, err := inputs.Collect(dir, tt.names)
				if got := paths(t, dir, ins); got != tt.want || err != nil {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
	}
}

func TestCollectDescribesAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "install.sh")
	if err := os.WriteFile(path, []byte("echo\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("echo\n"))
	ins, err := inputs.Collect("/elsewhere", []string{path})
	if err != nil {
		t.Fatal(err)
	}
	want := []build.Input{{Path: path, Mode: 0o755, Size: 5, Digest: hex.EncodeToString(sum[:])}}
	if d := cmp.Diff(want, ins); d != "" {
		t.Error(d)
	}
	if got, err := inputs.Find(ins, want[0].Digest); got != path || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := inputs.Find(ins, "00"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// All problems are told at once, each by the name of its file, and what is good is returned too.
func TestCollectReportsEveryProblem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tree(t, dir, "good", "d/dangling -> nowhere", "d/fine", "loop -> loop")
	ins, err := inputs.Collect(dir, []string{"missing.sh", "good", "d", "loop", "[bad"})
	if got := paths(t, dir, ins); got != "d/ d/fine good" {
		t.Errorf("collected %q", got)
	}
	for _, want := range []string{"missing.sh", "dangling", "loop", `"[bad" is not a glob`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestCollectLeavesOutWhatHasNoContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tree(t, dir, "d/file")
	if err := unix.Mkfifo(filepath.Join(dir, "d", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	ins, err := inputs.Collect(dir, []string{"d"})
	if got := paths(t, dir, ins); got != "d/ d/file" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A folder of too many files is one mistake, told once and soon.
func TestCollectIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range inputs.MaxFiles + 100 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	tree(t, dir, "other/x")
	for _, names := range [][]string{{".", "other"}, {"*", "other"}} {
		ins, err := inputs.Collect(dir, names)
		if len(ins) > inputs.MaxFiles || err == nil || strings.Count(err.Error(), "more than 20000 files") != 1 {
			t.Errorf("%v: %d inputs, %.300v", names, len(ins), err)
		}
	}
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func TestStore(t *testing.T) {
	t.Parallel()
	s := inputs.Store{Dir: t.TempDir()}
	have, lack := digest("have"), digest("lack")
	for range 2 { // a second client sends the same
		if err := s.Put(have, strings.NewReader("have")); err != nil {
			t.Fatal(err)
		}
	}
	missing, err := s.Missing([]string{have, lack})
	if d := cmp.Diff([]string{lack}, missing); d != "" || err != nil {
		t.Error(d, err)
	}
	if data, err := os.ReadFile(filepath.Join(s.Dir, have)); string(data) != "have" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

// What goes wrong while content is sent leaves nothing behind.
func TestPutKeepsNothingWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, digest string
		r            io.Reader
		err          error
	}{
		{"another content", digest("a"), strings.NewReader("b"), inputs.ErrDigest},
		{"a part of the content", digest("ab"), strings.NewReader("a"), inputs.ErrDigest},
		{"a broken connection", digest("ab"), io.MultiReader(strings.NewReader("a"), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF},
		{"no digest", "", strings.NewReader(""), inputs.ErrDigest},
		{"a path", "../../etc/passwd", strings.NewReader(""), inputs.ErrDigest},
		{"capitals", strings.ToUpper(digest("a")), strings.NewReader("a"), inputs.ErrDigest},
		{"a line more", digest("a") + "\n", strings.NewReader("a"), inputs.ErrDigest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := inputs.Store{Dir: t.TempDir()}
			if err := s.Put(tt.digest, tt.r); !errors.Is(err, tt.err) {
				t.Error(err)
			}
			if left, err := os.ReadDir(s.Dir); len(left) != 0 || err != nil {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
	s := inputs.Store{Dir: t.TempDir()}
	if _, err := s.Missing([]string{digest("a"), "../x"}); !errors.Is(err, inputs.ErrDigest) {
		t.Error(err)
	}
}

// A crash while content is sent leaves a part file, which is not the content and is swept at the next start.
func TestCrashDuringPut(t *testing.T) {
	t.Parallel()
	s := inputs.Store{Dir: t.TempDir()}
	want := digest(strings.Repeat("x", 1<<20))
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() { sent <- s.Put(want, r) }()
	if _, err := w.Write(bytes.Repeat([]byte("x"), 1000)); err != nil {
		t.Fatal(err)
	}
	if missing, err := s.Missing([]string{want}); len(missing) != 1 || err != nil {
		t.Errorf("half a content counts: %v, %v", missing, err)
	}
	if err := fsx.Sweep(s.Dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.Dir); len(left) != 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
	w.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-sent; err == nil {
		t.Error("half a content was taken")
	}
}
