package inputs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// View is a read-only file system of the inputs of one plan. Names are absolute, or relative to the directory in which
// the build was started. It serves provisioners.Files and iso.Files.
type View struct {
	store   Store
	cwd     string
	entries map[string]entry
}

type entry struct {
	in       build.Input
	children []string // base names, sorted
}

func (v *View) add(in build.Input) {
	p := path.Clean(filepath.ToSlash(in.Path))
	e := v.entries[p]
	e.in = in
	v.entries[p] = e
	for p != "/" && p != "." {
		dir, base := path.Dir(p), path.Base(p)
		parent, known := v.entries[dir]
		if !known {
			parent.in = build.Input{Path: dir, Mode: fs.ModeDir | 0o755}
		}
		at, found := slices.BinarySearch(parent.children, base)
		if !found {
			parent.children = slices.Insert(parent.children, at, base)
		}
		v.entries[dir] = parent
		if known && found {
			return
		}
		p = dir
	}
}

func (v *View) find(op, name string) (string, entry, error) {
	p := filepath.ToSlash(name)
	if !path.IsAbs(p) {
		p = path.Join(filepath.ToSlash(v.cwd), p)
	}
	p = path.Clean(p)
	e, ok := v.entries[p]
	if !ok {
		return "", entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return p, e, nil
}

// Open opens a file or directory.
func (v *View) Open(name string) (fs.File, error) {
	p, e, err := v.find("open", name)
	if err != nil {
		return nil, err
	}
	if e.in.Mode.IsDir() {
		return &dirFile{view: v, path: p, entry: e}, nil
	}
	content, err := v.content(e.in)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(content)
	if err != nil {
		return nil, err
	}
	return &file{File: f, info: info{e.in}}, nil
}

// content is the path on this host of what a file holds.
func (v *View) content(in build.Input) (string, error) {
	if in.InPlace {
		return in.Path, nil
	}
	return v.store.path(in.Digest)
}

// Stat describes a file or directory.
func (v *View) Stat(name string) (fs.FileInfo, error) {
	_, e, err := v.find("stat", name)
	if err != nil {
		return nil, err
	}
	return info{e.in}, nil
}

// ReadDir lists a directory, sorted by name.
func (v *View) ReadDir(name string) ([]fs.DirEntry, error) {
	p, e, err := v.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !e.in.Mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	list := make([]fs.DirEntry, 0, len(e.children))
	for _, base := range e.children {
		list = append(list, fs.FileInfoToDirEntry(info{v.entries[path.Join(p, base)].in}))
	}
	return list, nil
}

// Glob returns the names that match a pattern, absolute and sorted.
func (v *View) Glob(pattern string) ([]string, error) {
	p := filepath.ToSlash(pattern)
	if !path.IsAbs(p) {
		p = path.Join(globQuote.Replace(filepath.ToSlash(v.cwd)), p)
	}
	var found []string
	for name := range v.entries {
		ok, err := path.Match(p, name)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found, nil
}

// Dir is the directory at name with everything below it.
func (v *View) Dir(name string) (fs.FS, error) {
	p, e, err := v.find("open", name)
	if err != nil {
		return nil, err
	}
	if !e.in.Mode.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a directory")}
	}
	return subtree{v, p}, nil
}

// subtree is an fs.FS over a part of a View.
type subtree struct {
	view *View
	root string
}

func (s subtree) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return s.view.Open(path.Join(s.root, name))
}

// info describes an input.
type info struct{ in build.Input }

func (i info) Name() string       { return path.Base(filepath.ToSlash(i.in.Path)) }
func (i info) Size() int64        { return i.in.Size }
func (i info) Mode() fs.FileMode  { return i.in.Mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.in.Mode.IsDir() }
func (i info) Sys() any           { return nil }

type file struct {
	*os.File
	info info
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }

// dirFile is an open directory.
type dirFile struct {
	view  *View
	path  string
	entry entry
	at    int
}

func (d *dirFile) Stat() (fs.FileInfo, error) { return info{d.entry.in}, nil }
func (d *dirFile) Close() error               { return nil }
func (d *dirFile) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errors.New("is a directory")}
}

func (d *dirFile) ReadDir(n int) ([]fs.DirEntry, error) {
	all, err := d.view.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	rest := all[min(d.at, len(all)):]
	if n <= 0 {
		d.at = len(all)
		return rest, nil
	}
	if len(rest) == 0 {
		return nil, io.EOF
	}
	rest = rest[:min(n, len(rest))]
	d.at += len(rest)
	return rest, nil
}

// String names what the view shows, for errors.
func (v *View) String() string {
	return fmt.Sprintf("%d inputs of %s", len(v.entries), strings.TrimSuffix(v.cwd, "/"))
}
