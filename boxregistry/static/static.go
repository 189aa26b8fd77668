// Package static writes boxes as a tree of files that a plain web server or bucket can serve to Vagrant.
//
// Vagrant reads a catalog where the server calls it application/json, and downloads what the catalog names; so a tree
// needs no program behind it, only the right type for files without an extension:
//
//	DIR/org/box              the catalog, for VAGRANT_SERVER_URL and `vagrant box add URL`
//	DIR/org/box.json         the same, for servers that go by the extension
//	DIR/org/box~candidate    the catalog of another channel, and again with .json
//	DIR/dl/sha256/<digest>/org-box-1.2.0-libvirt-amd64/vagrant.box
//	DIR/README.md            how to serve it with nginx, Apache, Caddy or S3
//	DIR/minisign.pub         the key that checks signatures
//
// Beside the box lies what the registry serves beside it: vagrant.box.minisig, provenance.json, provenance.json.minisig and
// sbom.cdx.json, as far as there is such a thing. They name the version, so every version has a folder, even with the same bytes.
//
// [Export] writes only what is not there yet, every file whole or not at all, so that it can be run again over a tree
// that is being served. It removes nothing unless it is told to, and then only what it has written itself, which it
// remembers in a list in the tree.
package static

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Boxes is the registry that is exported.
type Boxes interface {
	// Box returns a box, or boxregistry.ErrNotFound.
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
	// OpenBlob reads stored bytes. A *os.File can be linked instead of copied.
	OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error)
}

// Options say where and what to write. Dir is required.
type Options struct {
	Dir string
	// BaseURL is where the tree will be served, as catalogs hold absolute addresses; empty for a tree that is used as
	// files, through a shared folder.
	BaseURL string
	// Requirement chooses versions.
	Requirement boxregistry.Requirement
	// Beside are the files that lie beside a box, by their names; nil where there are none.
	Beside func(ctx context.Context, name boxregistry.Name, v boxregistry.Version, f boxregistry.File) (map[string][]byte, error)
	// PublicKey is the text of minisign.pub; empty for no such file.
	PublicKey string
	// Prune removes what an earlier export wrote and this one does not.
	Prune bool
	// Tell is told each file that is written or removed; it may be nil.
	Tell func(verb, name string)
}

// Report says what an export did.
type Report struct {
	Boxes   int
	Written int
	Kept    int // files that were there already
	Removed int
	Bytes   int64 // of the box files that were written
}

// exporter is one Export.
type exporter struct {
	Options
	boxes  Boxes
	root   *os.Root
	base   string
	report Report
	wrote  map[string]bool
}

// Export writes the visible versions of boxes.
func Export(ctx context.Context, boxes Boxes, names []boxregistry.Name, o Options) (Report, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return Report{}, err
	}
	o.Dir = dir
	base, err := o.base()
	if err != nil {
		return Report{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Report{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, err
	}
	defer root.Close()
	e := &exporter{Options: o, boxes: boxes, root: root, base: base, wrote: map[string]bool{}}
	err = e.all(ctx, names)
	return e.report, err
}

// base begins every address in the catalogs.
func (o Options) base() (string, error) {
	if o.BaseURL == "" {
		return (&url.URL{Scheme: "file", Path: filepath.ToSlash(o.Dir)}).String(), nil
	}
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("base URL %q: want the http or https address under which the tree will be served", o.BaseURL)
	}
	return strings.TrimSuffix(o.BaseURL, "/"), nil
}

func (e *exporter) all(ctx context.Context, names []boxregistry.Name) error {
	before, err := e.readList()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := e.box(ctx, name); err != nil {
			return err
		}
	}
	if err := e.put("README.md", readme(e.Options, e.base)); err != nil {
		return err
	}
	if e.PublicKey != "" {
		if err := e.put("minisign.pub", []byte(e.PublicKey)); err != nil {
			return err
		}
	}
	if e.Prune {
		before, err = e.prune(before)
		if err != nil {
			return err
		}
	}
	return e.writeList(before)
}

// box writes the files of a box, and then the catalogs that name them.
func (e *exporter) box(ctx context.Context, name boxregistry.Name) error {
	box, err := e.boxes.Box(ctx, name)
	if err != nil {
		return err
	}
	for _, channel := range append([]boxregistry.Channel{boxregistry.Stable}, boxregistry.ChannelsOf(box)...) {
		c, err := e.catalog(ctx, box, channel)
		if err != nil {
			return err
		}
		at := name.Followed(channel)
		if len(c.Versions) == 0 || e.wrote[at] {
			continue
		}
		data, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return err
		}
		data = append(data, '\n')
		if err := errors.Join(e.put(at, data), e.put(at+".json", data)); err != nil {
			return err
		}
	}
	e.report.Boxes++
	return nil
}

// catalog writes the files of a channel and returns its document.
func (e *exporter) catalog(ctx context.Context, box boxregistry.Box, channel boxregistry.Channel) (upstream.Catalog, error) {
	c := upstream.Catalog{Name: box.Name.Followed(channel), Description: box.Description, ShortDescription: box.ShortDescription}
	for _, rel := range box.VisibleIn(channel) {
		if !e.Requirement.Matches(rel.Version) {
			continue
		}
		v := upstream.CatalogVersion{Version: rel.Version.String(), Status: "active", DescriptionMarkdown: rel.Description}
		for _, f := range rel.Files { // the default last, which clients before 2.4 take
			p, err := e.file(ctx, box.Name, rel.Version, f)
			if err != nil {
				return c, err
			}
			v.Providers = append(v.Providers, p)
		}
		c.Versions = append(c.Versions, v)
	}
	return c, nil
}

// file writes a box file, unless somebody else keeps it.
func (e *exporter) file(ctx context.Context, name boxregistry.Name, v boxregistry.Version, f boxregistry.File) (upstream.CatalogProvider, error) {
	p := upstream.CatalogProvider{Name: string(f.Provider), URL: f.URL, ChecksumType: f.Declared.Type, Checksum: f.Declared.Hex,
		Architecture: string(f.Architecture), DefaultArchitecture: f.Default}
	if f.Digest == "" {
		return p, nil
	}
	dir := path.Join("dl", "sha256", string(f.Digest), fmt.Sprintf("%s-%s-%s-%s-%s", name.Org(), name.Box(), v, f.Provider, f.Architecture))
	at := path.Join(dir, "vagrant.box")
	p.URL, p.ChecksumType, p.Checksum = e.base+"/"+at, "sha256", string(f.Digest)
	if e.wrote[at] {
		return p, nil
	}
	if err := e.blob(ctx, at, f); err != nil {
		return p, err
	}
	return p, e.beside(ctx, dir, name, v, f)
}

// beside writes what lies beside a box.
func (e *exporter) beside(ctx context.Context, dir string, name boxregistry.Name, v boxregistry.Version, f boxregistry.File) error {
	if e.Beside == nil {
		return nil
	}
	files, err := e.Beside(ctx, name, v, f)
	if err != nil {
		return err
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := e.put(path.Join(dir, file), files[file]); err != nil {
			return err
		}
	}
	return nil
}

// blob links or copies bytes. The digest in the path says what a file of that name holds, and its size that it is whole.
func (e *exporter) blob(ctx context.Context, at string, f boxregistry.File) error {
	e.wrote[at] = true
	if info, err := e.root.Stat(at); err == nil && info.Mode().IsRegular() && info.Size() == f.Size {
		e.report.Kept++
		return nil
	}
	src, info, err := e.boxes.OpenBlob(ctx, f.Digest)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	defer src.Close()
	if err := e.prepare(at); err != nil {
		return err
	}
	if err := e.root.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dst := filepath.Join(e.Dir, filepath.FromSlash(at))
	file, ok := src.(*os.File)
	if !ok || os.Link(file.Name(), dst) != nil { // another file system, or a store without files
		if err := copyTo(ctx, dst, src); err != nil {
			return err
		}
	}
	e.report.Bytes += info.Size
	e.told("wrote", at)
	e.report.Written++
	return nil
}

func copyTo(ctx context.Context, dst string, src io.Reader) error {
	f, err := fsx.Create(dst, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, contextReader{ctx, src}); err != nil {
		return err
	}
	return f.Commit()
}

// contextReader ends a long copy after ctx is cancelled.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// prepare makes the folder of a file and removes what a crash left in it.
func (e *exporter) prepare(at string) error {
	dir := path.Dir(at)
	if err := e.root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return fsx.Sweep(filepath.Join(e.Dir, filepath.FromSlash(dir)))
}

// put makes a small file hold data, if it does not yet.
func (e *exporter) put(at string, data []byte) error {
	if e.wrote[at] {
		return fmt.Errorf("two files of the tree would be called %q: export one of the boxes elsewhere", at)
	}
	e.wrote[at] = true
	if old, err := e.root.ReadFile(at); err == nil && bytes.Equal(old, data) {
		e.report.Kept++
		return nil
	}
	if err := e.prepare(at); err != nil {
		return err
	}
	if err := fsx.WriteFile(filepath.Join(e.Dir, filepath.FromSlash(at)), data, 0o644); err != nil {
		return err
	}
	e.report.Written++
	e.told("wrote", at)
	return nil
}

func (e *exporter) told(verb, name string) {
	if e.Tell != nil {
		e.Tell(verb, name)
	}
}
