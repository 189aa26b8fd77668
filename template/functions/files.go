package functions

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// largest is the size that a file may have that a template reads into itself, in bytes.
const largest = 64 << 20

// Files reads files for the functions of a template. Relative paths are looked for in each base in turn: Packer takes
// them from the template's folder, while path.root, which templates put before them, is relative to the current one.
//
// Unless Anywhere is set, only what is below one of the bases can be read; symbolic links that lead out of it cannot. So
// a template from somewhere else cannot carry off the keys of who resolves it.
type Files struct {
	Bases    []string // absolute
	Home     string
	Anywhere bool
	// Seen is told every file that was read, if it is set.
	Seen func(path string)
}

// Expand replaces a leading ~ by the home directory.
func (f *Files) Expand(path string) (string, error) {
	if path != "~" && !strings.HasPrefix(path, "~/") {
		if strings.HasPrefix(path, "~") {
			return "", fmt.Errorf("%q names another user's home directory, which cannot be expanded", path)
		}
		return path, nil
	}
	if f.Home == "" {
		return "", fmt.Errorf("%q cannot be expanded: the environment has no HOME", path)
	}
	return filepath.Join(f.Home, path[1:]), nil
}

// candidates are the absolute paths that a path may mean.
func (f *Files) candidates(path string) ([]string, error) {
	path, err := f.Expand(path)
	if err != nil {
		return nil, err
	}
	if filepath.IsAbs(path) {
		return []string{filepath.Clean(path)}, nil
	}
	var all []string
	for _, base := range f.Bases {
		if p := filepath.Join(base, path); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all, nil
}

// inside opens the root that holds an absolute path, and returns the path below it.
func (f *Files) inside(path string) (*os.Root, string, error) {
	for _, base := range f.Bases {
		rel, err := filepath.Rel(base, path)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		root, err := os.OpenRoot(base)
		return root, rel, err
	}
	if !f.Anywhere {
		return nil, "", fmt.Errorf("%q is outside the template's folder and the current one, where alone templates may read", path)
	}
	root, err := os.OpenRoot(string(filepath.Separator))
	rel, _ := filepath.Rel(string(filepath.Separator), path) // path is absolute
	return root, rel, err
}

// find calls use for each place that a path may mean until one exists there.
func (f *Files) find(path string, use func(root *os.Root, rel, abs string) error) error {
	all, err := f.candidates(path)
	if err != nil {
		return err
	}
	for _, abs := range all {
		root, rel, openErr := f.inside(abs)
		if openErr != nil {
			err = openErr
			continue
		}
		err = use(root, rel, abs)
		root.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w; looked for %s", fs.ErrNotExist, strings.Join(all, " and "))}
	}
	return err
}

// stat follows links where it may. A link that leads out of a root reads as an escape, not as a file.
func (f *Files) stat(root *os.Root, rel, abs string) (fs.FileInfo, error) {
	if f.Anywhere {
		return os.Stat(abs)
	}
	return root.Stat(rel)
}

// Read returns the content of a file.
func (f *Files) Read(path string) ([]byte, error) {
	var content []byte
	err := f.find(path, func(root *os.Root, rel, abs string) error {
		info, err := f.stat(root, rel, abs)
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%q is not a regular file", abs)
		case info.Size() > largest:
			return fmt.Errorf("%q is larger than %d MiB, too large to be part of a template", abs, largest>>20)
		}
		content, err = f.readAll(root, rel, abs)
		return err
	})
	return content, err
}

func (f *Files) readAll(root *os.Root, rel, abs string) ([]byte, error) {
	open := func() (*os.File, error) { return root.Open(rel) }
	if f.Anywhere {
		open = func() (*os.File, error) { return os.Open(abs) }
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if f.Seen != nil {
		f.Seen(abs)
	}
	return io.ReadAll(io.LimitReader(file, largest))
}

// Exists tells whether a path is a regular file.
func (f *Files) Exists(path string) (bool, error) {
	found := false
	err := f.find(path, func(root *os.Root, rel, abs string) error {
		info, err := f.stat(root, rel, abs)
		if err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%q is not a regular file", abs)
		}
		found = err == nil
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return found, err
}

// Set returns the files below a folder that match a pattern, with slashes and relative to the folder.
func (f *Files) Set(path, pattern string) ([]string, error) {
	if !doublestar.ValidatePattern(pattern) {
		return nil, fmt.Errorf("fileset: %q is not a pattern", pattern)
	}
	var matches []string
	err := f.find(path, func(root *os.Root, rel, abs string) error {
		sub, err := fs.Sub(root.FS(), filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		if _, err := fs.Stat(sub, "."); err != nil {
			return err
		}
		matches, err = doublestar.Glob(sub, pattern, doublestar.WithFilesOnly())
		return err
	})
	slices.Sort(matches)
	return matches, err
}
