// Package inputs carries the files that a plan names from the machine of its user to the daemon.
//
// The client expands what the plan names and hashes it ([Collect]); the daemon is sent only the contents that it lacks
// ([Store.Missing], [Store.Put]) and shows them to the steps under the paths they had ([Store.View]), whether or not the
// originals still exist. A build so sees one state of its files, however long it waits in the queue.
package inputs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// MaxFiles bounds what one plan may name: a folder of a hundred thousand files was named by mistake.
const MaxFiles = 20000

// Collect reads what names list, relative to cwd: files, directories with all below them, and globs. Symbolic links are
// followed, but not to a directory that holds the link: it has nothing new. What does not exist is left out when it is a
// glob and an error otherwise; all problems are reported.
func Collect(cwd string, names []string) ([]build.Input, error) {
	c := collector{seen: map[string]build.Input{}}
	for _, name := range names {
		if !c.name(cwd, name) {
			break
		}
	}
	list := make([]build.Input, 0, len(c.seen))
	for _, in := range c.seen {
		list = append(list, in)
	}
	slices.SortFunc(list, func(a, b build.Input) int { return strings.Compare(a.Path, b.Path) })
	return list, errors.Join(c.errs...)
}

type collector struct {
	seen map[string]build.Input
	errs []error
}

// errTooMany ends a walk.
var errTooMany = fmt.Errorf("the template names more than %d files; name the ones it needs", MaxFiles)

// name adds what one name stands for. It tells whether there is room for more.
func (c *collector) name(cwd, name string) bool {
	path, pattern := name, name
	if !filepath.IsAbs(name) {
		path, pattern = filepath.Join(cwd, name), filepath.Join(globQuote.Replace(cwd), name)
	}
	paths := []string{path}
	if _, err := os.Lstat(path); err != nil && strings.ContainsAny(name, "*?[") {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			c.errs = append(c.errs, fmt.Errorf("%q is not a glob: %w", name, err))
			return true
		}
		paths = matches
	}
	for _, p := range paths {
		err := c.tree(p, nil)
		if err != nil {
			c.errs = append(c.errs, err)
		}
		if errors.Is(err, errTooMany) {
			return false
		}
	}
	return true
}

// globQuote makes a directory's name a pattern that matches only it.
var globQuote = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`)

// tree adds what is at path; above are the directories that hold it.
func (c *collector) tree(path string, above []fs.FileInfo) error {
	path = filepath.Clean(path)
	if _, ok := c.seen[path]; ok {
		return nil
	}
	if len(c.seen) >= MaxFiles {
		return fmt.Errorf("%q: %w", path, errTooMany)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		if slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }) {
			return nil
		}
		return c.dir(path, info, append(above, info))
	case !info.Mode().IsRegular():
		return nil // sockets and devices in a folder carry nothing
	}
	digest, size, err := hashFile(path)
	if err != nil {
		return err
	}
	c.seen[path] = build.Input{Path: path, Mode: info.Mode().Perm(), Size: size, Digest: digest}
	return nil
}

func (c *collector) dir(path string, info fs.FileInfo, above []fs.FileInfo) error {
	c.seen[path] = build.Input{Path: path, Mode: info.Mode()}
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		one := c.tree(filepath.Join(path, e.Name()), above)
		if errors.Is(one, errTooMany) {
			return one
		}
		err = errors.Join(err, one)
	}
	return err
}

func hashFile(path string) (digest string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, fmt.Errorf("read %q: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// Find returns the path of the file among ins that has a digest, or an error.
func Find(ins []build.Input, digest string) (string, error) {
	for _, in := range ins {
		if in.Digest == digest {
			return in.Path, nil
		}
	}
	return "", fmt.Errorf("no input has the digest %s: %w", digest, fs.ErrNotExist)
}
