package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// maxDepth is how deep folders are searched, in folders: the deepest layout that is known has six.
const maxDepth = 10

// folder is a tree of boxes that is being read. One tree may have several of the layouts:
//
//	any/where/box.json, org/box             catalogs, whose box files are in the tree, or anywhere
//	org/box/1.0/libvirt/box                 vagrancy (lib/vagrancy/provider_box.rb)
//	org-VAGRANTSLASH-box__1.0__libvirt.box  vagrantshadow (BoxHandler.go)
//	org-VAGRANTSLASH-box/1.0/[amd64/]libvirt/metadata.json  Vagrant's own, under ~/.vagrant.d/boxes
type folder struct {
	root  string
	offer Offer
	files []string        // box files that were seen
	used  map[string]bool // those that belong to a box
}

// readFolder reads all that a folder has, in whatever layouts.
func readFolder(ctx context.Context, root string) (Offer, error) {
	if boxes, _ := exists(filepath.Join(root, "boxes")); boxes && hasMarker(root) {
		root = filepath.Join(root, "boxes")
	}
	f := &folder{root: root, used: map[string]bool{}}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && path == root:
			return err
		case err != nil:
			f.offer.skip(path, err)
			return nil
		case d.IsDir():
			return f.dir(path, d.Name())
		case d.Type().IsRegular() || d.Type()&fs.ModeSymlink != 0:
			f.files = append(f.files, path)
		}
		return nil
	})
	if err != nil {
		return f.offer, err
	}
	f.sortOut()
	return f.offer, nil
}

// hasMarker tells Vagrant's home from other folders that hold one called boxes.
func hasMarker(root string) bool {
	_, file := exists(filepath.Join(root, "setup_version"))
	return file
}

// dir reads a folder of a box as Vagrant keeps it, and passes over hidden ones and those that are too deep.
func (f *folder) dir(path, name string) error {
	if path == f.root {
		return nil
	}
	rel := f.rel(path)
	switch {
	case strings.HasPrefix(name, "."), strings.Count(rel, "/") >= maxDepth:
		return fs.SkipDir
	case strings.Contains(name, vagrantSlash), strings.Count(rel, "/") == 0 && isHomeBox(path):
		b, skipped := homeBox(path)
		f.merge(b)
		f.offer.Skipped = append(f.offer.Skipped, skipped...)
		return fs.SkipDir
	}
	return nil
}

func (f *folder) rel(path string) string {
	rel, err := filepath.Rel(f.root, path)
	if err != nil { // both are absolute
		return path
	}
	return filepath.ToSlash(rel)
}

// sortOut gives the files that were seen a meaning: by their names first, then the catalogs, which may name the others.
func (f *folder) sortOut() {
	for _, path := range f.files {
		if b, ok := f.byName(path); ok {
			f.used[path] = true
			f.merge(b)
		}
	}
	for _, path := range f.files {
		if !f.used[path] && (filepath.Ext(path) == ".json" || !strings.Contains(filepath.Base(path), ".")) {
			f.catalog(path)
		}
	}
	for _, path := range f.files {
		if filepath.Ext(path) == ".box" && !f.used[path] {
			f.offer.skip(f.rel(path), errors.New("no catalog in the folder names it: import it by itself, with --as ORG/BOX and --version"))
		}
	}
}

// byName reads what a path says in the layouts of vagrancy and vagrantshadow.
func (f *folder) byName(path string) (Box, bool) {
	if strings.Contains(filepath.Base(path), vagrantSlash) && filepath.Ext(path) == ".box" {
		b, err := shadowBox(path)
		if err != nil {
			f.offer.skip(f.rel(path), err)
		}
		return b, err == nil
	}
	parts := strings.Split(f.rel(path), "/")
	if len(parts) != 5 || parts[4] != "box" {
		return Box{}, false
	}
	b, err := fileBox(parts[0]+"/"+parts[1], parts[2], parts[3], "", Origin{Kind: AtFile, At: path})
	if err != nil {
		f.offer.skip(f.rel(path), err)
	}
	return b, err == nil
}

// vagrantSlash stands for the slash of a box's name in the name of a file or folder (lib/vagrant/box_collection.rb).
const vagrantSlash = "-VAGRANTSLASH-"

// shadowBox reads the name of a file: org-VAGRANTSLASH-box__version__provider.box.
func shadowBox(path string) (Box, error) {
	org, rest, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".box"), vagrantSlash)
	parts := strings.Split(rest, "__")
	if len(parts) < 3 {
		return Box{}, fmt.Errorf("the name of the file is not org%sbox__version__provider.box", vagrantSlash)
	}
	n := len(parts)
	return fileBox(org+"/"+strings.Join(parts[:n-2], "__"), parts[n-2], parts[n-1], "", Origin{Kind: AtFile, At: path})
}

// fileBox is a box of one file.
func fileBox(name, version, provider, arch string, o Origin) (Box, error) {
	number, err := boxregistry.ParseVersion(version)
	if err != nil {
		return Box{}, err
	}
	p, err := boxregistry.ParseProvider(provider)
	if err != nil {
		return Box{}, err
	}
	file := File{Provider: p, Origin: o}
	if arch != "" {
		if file.Architecture, err = boxregistry.ParseArchitecture(arch); err != nil {
			return Box{}, err
		}
	}
	return Box{Name: name, Versions: []Version{{Number: number, Files: []File{file}}}}, nil
}

// catalog reads a file that may be a catalog; many are something else.
func (f *folder) catalog(path string) {
	c, ok := catalogAt(path)
	switch {
	case !ok:
		return
	case strings.Contains(c.Name, "@"):
		f.offer.skip(f.rel(path), fmt.Errorf("it is the catalog of a channel; import it by itself with --as ORG/BOX and --channel"))
		return
	}
	b, skipped := c.Box(f.locator(filepath.Dir(path)))
	for _, v := range b.Versions {
		for _, file := range v.Files {
			if file.Origin.Local() {
				f.used[file.Origin.At] = true
			}
		}
	}
	f.merge(b)
	f.offer.Skipped = append(f.offer.Skipped, skipped...)
}

// catalogAt reads a catalog without reading large files that are none.
func catalogAt(path string) (Catalog, bool) {
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxDocument {
		return Catalog{}, false
	}
	data, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(bytes.TrimLeft(data, "\ufeff \t\r\n"), []byte("{")) {
		return Catalog{}, false
	}
	c, err := ParseCatalog(data)
	return c, err == nil
}

// readLocalCatalog reads a catalog whose box files are near it, or anywhere.
func readLocalCatalog(root, path string) (Offer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Offer{}, err
	}
	c, err := ParseCatalog(data)
	if err != nil {
		return Offer{}, err
	}
	var offer Offer
	f := &folder{root: root}
	offer.add(c.Box(f.locator(root)))
	return offer, nil
}

// locator finds the files that a catalog in the tree names: by their paths, or in the tree under the end of the path of
// their addresses, wherever the tree was served. What is not there is downloaded.
func (f *folder) locator(dir string) Locator {
	return func(at string) (Origin, error) {
		u, err := url.Parse(at)
		if err != nil || u.Scheme == "" || u.Scheme == "file" {
			return f.localFile(dir, at, u)
		}
		if path, ok := f.suffix(dir, u.Path); ok {
			return Origin{Kind: AtFile, At: path}, nil
		}
		if _, err := parseURL(at); err != nil {
			return Origin{}, err
		}
		return Origin{Kind: AtURL, At: at}, nil
	}
}

func (f *folder) localFile(dir, at string, u *url.URL) (Origin, error) {
	path := at
	if u != nil && u.Scheme == "file" {
		path = u.Path
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if _, ok := exists(path); ok {
		return Origin{Kind: AtFile, At: path}, nil
	}
	if moved, ok := f.suffix(dir, filepath.ToSlash(path)); ok {
		return Origin{Kind: AtFile, At: moved}, nil
	}
	return Origin{}, fmt.Errorf("there is no file %q", path)
}

// suffix finds the longest end of a path that is a file below the tree's root, or below the catalog's folder.
func (f *folder) suffix(dir, path string) (string, bool) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if slices.Contains(parts, "..") {
		return "", false
	}
	for i := range parts {
		for _, base := range []string{f.root, dir} {
			candidate := filepath.Join(base, filepath.Join(parts[i:]...))
			if _, ok := exists(candidate); ok {
				return candidate, true
			}
		}
	}
	return "", false
}

// merge adds what is new of a box; trees name the same file more than once.
func (f *folder) merge(b Box) {
	if len(b.Versions) == 0 {
		return
	}
	i := slices.IndexFunc(f.offer.Boxes, func(o Box) bool { return o.Name == b.Name })
	if i < 0 {
		f.offer.Boxes = append(f.offer.Boxes, b)
		return
	}
	known := &f.offer.Boxes[i]
	for _, v := range b.Versions {
		old, ok := known.version(v.Number)
		if !ok {
			known.Versions = append(known.Versions, v)
			continue
		}
		for _, file := range v.Files {
			if !slices.ContainsFunc(old.Files, func(o File) bool { return o.Provider == file.Provider && o.Architecture == file.Architecture }) {
				old.Files = append(old.Files, file)
			}
		}
	}
	known.sort()
}
