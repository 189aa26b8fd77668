package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/provenance"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	"github.com/boxkiln/boxkiln/daemon/client"
)

// besideName is a box, or a file beside it.
type besideName string

const (
	theBox             besideName = "the box"
	boxSignature       besideName = "the box" + signing.Extension
	statement          besideName = provenance.FileName
	statementSignature besideName = provenance.FileName + signing.Extension
	packageList        besideName = sbom.FileName
)

// in is the name in a folder where the box is called box.
func (n besideName) in(box string) string {
	switch n {
	case theBox:
		return box
	case boxSignature:
		return box + signing.Extension
	}
	return string(n)
}

// boxSource is where a box lies with the files beside it.
type boxSource interface {
	// open reads one of them. What is not there is fs.ErrNotExist.
	open(ctx context.Context, n besideName) (io.ReadCloser, error)
	close()
}

// fileBox is a box on this machine.
type fileBox struct{ path string }

func (fileBox) close() {}

// open finds "provenance.json" as "NAME.box.provenance.json" too: several boxes may lie in one folder.
func (b fileBox) open(_ context.Context, n besideName) (io.ReadCloser, error) {
	dir, name := filepath.Split(b.path)
	f, err := os.Open(filepath.Join(dir, n.in(name)))
	if n == theBox || n == boxSignature {
		return f, err
	}
	if own, ownErr := os.Open(b.path + "." + string(n)); ownErr == nil {
		if err == nil {
			f.Close()
		}
		return own, nil
	}
	return f, err
}

// webBox is a box on a web server that asks for no token.
type webBox struct{ url string }

func (webBox) close() {}

func (b webBox) open(ctx context.Context, n besideName) (io.ReadCloser, error) {
	dir, name := path.Split(b.url)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, dir+n.in(name), nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	switch res.StatusCode {
	case http.StatusOK:
		return res.Body, nil
	case http.StatusNotFound:
		err = fmt.Errorf("%s: %w", req.URL.Redacted(), fs.ErrNotExist)
	default:
		err = fmt.Errorf("%s answered %s", req.URL.Redacted(), res.Status)
	}
	return nil, errors.Join(err, res.Body.Close())
}

// registryBox is a box in a daemon's registry.
type registryBox struct {
	client *client.Client
	path   string
}

func (b registryBox) close() { b.client.Close() }

func (b registryBox) open(ctx context.Context, n besideName) (io.ReadCloser, error) {
	dir, name := path.Split(b.path)
	r, err := b.client.Fetch(ctx, dir+n.in(name))
	if errors.Is(err, client.ErrMissing) {
		err = fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	return r, err
}

// catalog is what is read of the document that Vagrant reads.
type catalog struct {
	Versions []struct {
		Version   string
		Providers []catalogFile
	}
}

type catalogFile struct {
	Name         string
	Architecture string
	Default      bool   `json:"default_architecture"`
	ChecksumType string `json:"checksum_type"`
	Checksum     string
}

// findInRegistry chooses a file of a box by the catalog, as Vagrant does, and says what it must be.
func (o *verifyOptions) findInRegistry(ctx context.Context, env *environment, name boxregistry.Name) (boxSource, provenance.Wanted, error) {
	c, err := env.client()
	if err != nil {
		return nil, provenance.Wanted{}, err
	}
	want, err := o.choose(ctx, c, name)
	if err != nil {
		c.Close()
		return nil, want, err
	}
	file := boxregistry.File{Provider: want.Provider, Architecture: want.Architecture, Digest: want.Digest}
	return registryBox{c, file.Path(name, want.Version)}, want, nil
}

func (o *verifyOptions) choose(ctx context.Context, c *client.Client, name boxregistry.Name) (want provenance.Wanted, err error) {
	body, err := c.Fetch(ctx, "/"+name.String())
	if errors.Is(err, client.ErrMissing) {
		return want, fmt.Errorf("box %q: %w, or it is private", name, boxregistry.ErrNotFound)
	}
	if err != nil {
		return want, err
	}
	data, err := readSmall(body)
	if err != nil {
		return want, err
	}
	var found catalog
	if err := json.Unmarshal(data, &found); err != nil {
		return want, fmt.Errorf("the catalog of %s: %w", name, err)
	}
	text := o.version
	if text == "" {
		text = ">= 0"
	}
	requirement, err := boxregistry.ParseRequirement(text)
	if err != nil {
		return want, fmt.Errorf("--version: %w", err)
	}
	for _, v := range found.Versions { // highest first
		version, err := boxregistry.ParseVersion(v.Version)
		if err != nil || !requirement.Matches(version) {
			continue
		}
		want, err = o.chooseFile(v.Providers)
		want.Box, want.Version = name, version
		if err != nil {
			err = fmt.Errorf("%s %s: %w", name, version, err)
		}
		return want, err
	}
	return want, fmt.Errorf("box %q has no released version that meets %q", name, text)
}

// chooseFile chooses among the files of a version.
func (o *verifyOptions) chooseFile(files []catalogFile) (want provenance.Wanted, err error) {
	var matching []catalogFile
	var names []string
	for _, f := range files {
		names = append(names, f.Name+"/"+f.Architecture)
		if (o.provider == "" || f.Name == o.provider) && (f.Architecture == o.arch || o.arch == "" && f.Default) {
			matching = append(matching, f)
		}
	}
	slices.Sort(names)
	if len(matching) != 1 {
		return want, fmt.Errorf("it has boxes for %s: choose one with --provider and --architecture", strings.Join(names, ", "))
	}
	f := matching[0]
	want.Provider, want.Architecture = boxregistry.Provider(f.Name), boxregistry.Architecture(f.Architecture)
	if f.ChecksumType == "sha256" {
		want.Digest, err = blob.ParseDigest(f.Checksum)
	}
	return want, err
}
