package iso

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Files is where the files that a template lists are read from. Names are written as in the template, absolute or
// relative to the place that the implementation stands for. Stat follows symbolic links.
type Files interface {
	Open(name string) (fs.File, error)
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	// Glob returns the names that match a pattern of path/filepath.Match, none if there are none.
	Glob(pattern string) ([]string, error)
}

// OSFiles are the files of this machine; relative names start at Dir.
type OSFiles struct {
	Dir string
}

var _ Files = OSFiles{}

// Open opens the named file for reading.
func (o OSFiles) Open(name string) (fs.File, error) { return os.Open(o.path(name)) }

// Stat describes the named file, following symbolic links.
func (o OSFiles) Stat(name string) (fs.FileInfo, error) { return os.Stat(o.path(name)) }

// ReadDir lists the named directory, sorted by name.
func (o OSFiles) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(o.path(name)) }

// Glob lists the names that match, in the spelling of the pattern made absolute.
func (o OSFiles) Glob(pattern string) ([]string, error) { return filepath.Glob(o.path(pattern)) }

func (o OSFiles) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(o.Dir, name)
}

// CDEntries reads what cd_files and cd_content put on the CD. A file goes to the root. A directory goes there with
// its tree under its own name; written with a slash at the end, only its content does. Symbolic links are followed.
func CDEntries(files Files, args CDArgs) ([]Entry, error) {
	l := lister{files: files}
	for _, name := range l.expand("cd_files", args.Files) {
		l.add("cd_files", name, treeRoot(name))
	}
	return append(l.entries, contentEntries(args.Content)...), errors.Join(l.errs...)
}

// FloppyEntries reads what floppy_files, floppy_dirs and floppy_content put on the floppy: the files of
// floppy_files all go to the root, directories of floppy_dirs keep their name and tree.
func FloppyEntries(files Files, args FloppyArgs) ([]Entry, error) {
	flat := lister{files: files}
	for _, name := range flat.expand("floppy_files", args.Files) {
		flat.add("floppy_files", name, "")
	}
	var entries []Entry
	for _, e := range flat.entries {
		if !e.Mode.IsDir() {
			e.Name = path.Base(e.Name)
			entries = append(entries, e)
		}
	}
	tree := lister{files: files}
	for _, name := range tree.expand("floppy_dirs", args.Dirs) {
		tree.add("floppy_dirs", name, treeRoot(strings.TrimRight(name, "/")))
	}
	entries = append(append(entries, tree.entries...), contentEntries(args.Content)...)
	return entries, errors.Join(append(flat.errs, tree.errs...)...)
}

// treeRoot is the name that a listed path has inside the image; empty for a directory of which only the content
// is wanted ("dir/", "dir/.", ".").
func treeRoot(name string) string {
	base := name[strings.LastIndexByte(name, '/')+1:]
	if base == "." || base == ".." {
		return ""
	}
	return base
}

// lister gathers the entries of one list and every problem on the way.
type lister struct {
	files   Files
	entries []Entry
	errs    []error
}

func (l *lister) fail(arg, name string, err error) {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err // the path is named already, as the user wrote it
	}
	l.errs = append(l.errs, fmt.Errorf("%s: %q: %w", arg, name, err))
}

// expand replaces the globs of a list by what they match. Like Packer it takes a glob without a match as empty.
func (l *lister) expand(arg string, names []string) []string {
	var out []string
	for _, name := range names {
		if !isGlob(name) {
			out = append(out, name)
			continue
		}
		matches, err := l.files.Glob(name)
		if err != nil {
			l.fail(arg, name, err)
		}
		out = append(out, matches...)
	}
	return out
}

// add puts the file or tree called name into the image under root.
func (l *lister) add(arg, name, root string) {
	if len(l.entries) >= maxEntries {
		return
	}
	info, err := l.files.Stat(name)
	switch {
	case err != nil:
		l.fail(arg, name, err)
	case info.IsDir():
		l.addDir(arg, name, root)
	case !info.Mode().IsRegular():
		l.fail(arg, name, fmt.Errorf("is a %s, not a regular file", info.Mode().Type()))
	default:
		if root == "" {
			root = path.Base(filepath.ToSlash(name))
		}
		l.entries = append(l.entries, Entry{Name: root, Mode: info.Mode().Perm(), Size: info.Size(),
			Open: func() (io.ReadCloser, error) { return l.files.Open(name) }})
	}
}

func (l *lister) addDir(arg, name, root string) {
	if strings.Count(root, "/") >= maxDepth {
		l.fail(arg, name, errors.New("is nested too deep: is a symbolic link pointing back at its parent?"))
		return
	}
	if root != "" {
		l.entries = append(l.entries, Entry{Name: root, Mode: fs.ModeDir | 0o755})
	}
	children, err := l.files.ReadDir(name)
	if err != nil {
		l.fail(arg, name, err)
	}
	for _, c := range children {
		if len(l.entries) >= maxEntries {
			l.fail(arg, name, fmt.Errorf("holds more than %d files: do symbolic links point back at their parents?", maxEntries))
			return
		}
		l.add(arg, strings.TrimSuffix(name, "/")+"/"+c.Name(), path.Join(root, c.Name()))
	}
}

// maxEntries bounds one list, because two symbolic links to their own directory make a tree without end.
const maxEntries = 20000

// isGlob tells a glob from a name as Packer does.
func isGlob(name string) bool { return strings.ContainsAny(name, "*?[") }

func checkGlobs(arg string, names []string) []error {
	var errs []error
	for _, name := range names {
		if name == "" {
			errs = append(errs, fmt.Errorf("%s: an empty name: remove it", arg))
		}
		if _, err := filepath.Match(name, ""); isGlob(name) && err != nil {
			errs = append(errs, fmt.Errorf("%s: bad glob %q: %w", arg, name, err))
		}
	}
	return errs
}
