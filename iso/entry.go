package iso

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Entry is a file or a directory to be put into an image. Open is called once, while the image is written, and must
// yield exactly Size bytes; directories have neither.
type Entry struct {
	Name string      // slash-separated path inside the image
	Mode fs.FileMode // fs.ModeDir for a directory; of the permissions only "executable" matters
	Size int64       // bytes
	Open func() (io.ReadCloser, error)
}

// Bytes is the entry of a file whose content is at hand.
func Bytes(name string, content []byte) Entry {
	return Entry{
		Name: name,
		Mode: 0o644,
		Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}

// CopyTo writes the content of a file entry and fails unless it has exactly Size bytes.
func (e Entry) CopyTo(w io.Writer) (err error) {
	r, err := e.Open()
	if err != nil {
		return fmt.Errorf("read %q: %w", e.Name, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	n, err := io.Copy(w, io.LimitReader(r, e.Size+1))
	if err != nil {
		return fmt.Errorf("read %q: %w", e.Name, err)
	}
	if n != e.Size {
		return fmt.Errorf("%q changed while it was read: it had %d bytes", e.Name, e.Size)
	}
	return nil
}

// Node is an entry in its place in the tree: what the image writers walk.
type Node struct {
	Name     string // one path element, empty for the root
	Entry    Entry
	Parent   *Node
	Children []*Node // sorted by name
}

// IsDir reports whether the node is a directory.
func (n *Node) IsDir() bool { return n.Entry.Mode.IsDir() }

// Tree arranges entries into a tree and adds the directories that their paths imply. Of two files of one name the
// later one counts, as it does when Packer copies them one after the other. Names that cannot be a path inside an
// image, and a file where a directory is needed, are errors; all of them are reported.
func Tree(entries []Entry) (*Node, error) {
	b := treeBuilder{nodes: map[string]*Node{".": {Entry: Entry{Mode: fs.ModeDir}}}}
	var errs []error
	for _, e := range entries {
		if err := b.add(e); err != nil {
			errs = append(errs, err)
		}
	}
	for _, n := range b.nodes {
		slices.SortFunc(n.Children, func(a, b *Node) int { return cmp.Compare(a.Name, b.Name) })
	}
	return b.nodes["."], errors.Join(errs...)
}

type treeBuilder struct {
	nodes map[string]*Node // by clean path
}

func (b *treeBuilder) add(e Entry) error {
	name := strings.TrimSuffix(e.Name, "/")
	if err := checkName(name); err != nil {
		return err
	}
	if old, ok := b.nodes[name]; ok {
		if old.IsDir() != e.Mode.IsDir() {
			return fmt.Errorf("%q is both a file and a directory: rename one of them", name)
		}
		if !old.IsDir() {
			old.Entry = e
		}
		return nil
	}
	parent, err := b.dir(path.Dir(name))
	if err != nil {
		return err
	}
	b.insert(parent, name, e)
	return nil
}

// dir is the directory of that name, made with all its parents where it is missing.
func (b *treeBuilder) dir(name string) (*Node, error) {
	if n, ok := b.nodes[name]; ok {
		if !n.IsDir() {
			return nil, fmt.Errorf("%q is both a file and a directory: rename one of them", name)
		}
		return n, nil
	}
	parent, err := b.dir(path.Dir(name))
	if err != nil {
		return nil, err
	}
	return b.insert(parent, name, Entry{Name: name, Mode: fs.ModeDir | 0o755}), nil
}

func (b *treeBuilder) insert(parent *Node, name string, e Entry) *Node {
	n := &Node{Name: path.Base(name), Entry: e, Parent: parent}
	parent.Children = append(parent.Children, n)
	b.nodes[name] = n
	return n
}

// maxDepth and maxNameLen bound what an image may hold; file systems that guests mount have the same limits.
const (
	maxDepth   = 64
	maxNameLen = 255 // bytes
)

// checkName accepts a clean slash-separated path of ordinary elements.
func checkName(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%q is no path inside an image: write it like \"dir/file\", without \"..\" and doubled slashes", name)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("%q is not UTF-8: rename the file", name)
	}
	if strings.Count(name, "/") >= maxDepth {
		return fmt.Errorf("%q is nested deeper than %d directories", name, maxDepth)
	}
	for element := range strings.SplitSeq(name, "/") {
		if len(element) > maxNameLen {
			return fmt.Errorf("%q is longer than %d bytes", element, maxNameLen)
		}
	}
	return nil
}

// contentEntries are the files of cd_content and floppy_content, in a stable order.
func contentEntries(content map[string]string) []Entry {
	entries := make([]Entry, 0, len(content))
	for _, name := range slices.Sorted(maps.Keys(content)) {
		entries = append(entries, Bytes(contentName(name), []byte(content[name])))
	}
	return entries
}

// contentName is the path inside the image of a key of cd_content: a leading slash or "./" is only decoration.
func contentName(key string) string {
	return strings.TrimPrefix(path.Clean("/"+key), "/")
}

func checkContent(arg string, content map[string]string) []error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(content)) {
		if slices.Contains(strings.Split(key, "/"), "..") {
			errs = append(errs, fmt.Errorf("%s: key %q leads out of the image: remove \"..\"", arg, key))
		} else if err := checkName(contentName(key)); err != nil {
			errs = append(errs, fmt.Errorf("%s: key %w", arg, err))
		}
	}
	return errs
}
