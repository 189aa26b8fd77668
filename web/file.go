package web

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
)

// fileView is one file of a version with all that is known of it.
type fileView struct {
	boxregistry.File
	Anchor   string // of its part of the page
	Link     string // empty unless clients can download it
	Folder   string // where what lies beside it is served; empty when the file is not here, or not for clients
	Contents *boxfile.Summary
	Origin   *origin // nil when it is not known
	Signed   bool
	Packages *packagesView // nil when it is not known what is installed
}

// packagesView is what is installed in the guest of a file, and what changed.
type packagesView struct {
	Count   int
	Compare string       // URL of the page that compares it
	Since   string       // number of the version before it; empty when that had no such file or nothing is known of it
	Diff    *packageDiff // since then
}

// newFileView finds out about a file; older is the version before it, or nil.
func (s *Site) newFileView(ctx context.Context, b boxregistry.Box, rel boxregistry.Release, f boxregistry.File, older *boxregistry.Release) (fileView, error) {
	v := fileView{File: f, Anchor: string(f.Provider) + "-" + string(f.Architecture), Link: downloadLink(b.Name, rel, f)}
	var err error
	if v.Origin, err = s.originOf(ctx, f.Provenance); err != nil || f.Digest == "" {
		return v, err
	}
	if v.Link != "" {
		v.Folder = path.Dir(v.Link)
	}
	if s.Known == nil {
		return v, nil
	}
	sum, contentsErr := s.Known.Contents(ctx, f.Digest)
	if contentsErr == nil {
		v.Contents = &sum
		v.UnpackedSize, v.VirtualSize = orElse(v.UnpackedSize, sum.Unpacked), orElse(v.VirtualSize, sum.VirtualSize)
	}
	signatures, signatureErr := s.Known.Signatures(ctx, f.Digest)
	v.Signed = signatureErr == nil && signatures != ""
	packages, packagesErr := s.newPackagesView(ctx, b, rel, f, older)
	v.Packages = packages
	return v, errors.Join(unlessAbsent(contentsErr), unlessAbsent(signatureErr), packagesErr)
}

func unlessAbsent(err error) error {
	if absent(err) {
		return nil
	}
	return err
}

func orElse(n, other int64) int64 {
	if n != 0 {
		return n
	}
	return other
}

func (s *Site) newPackagesView(ctx context.Context, b boxregistry.Box, rel boxregistry.Release, f boxregistry.File, older *boxregistry.Release) (*packagesView, error) {
	here, err := s.installed(ctx, f)
	if err != nil || here == nil {
		return nil, err
	}
	v := &packagesView{Count: len(here.Packages), Compare: comparePath(b.Name, rel.Version, f)}
	if older == nil {
		return v, nil
	}
	before, ok := older.File(f.Provider, f.Architecture)
	if !ok {
		return v, nil
	}
	there, err := s.installed(ctx, before)
	if there != nil {
		v.Since, v.Diff = older.Version.String(), &packageDiff{sbom.Diff(*there, *here)}
	}
	return v, err
}

// comparePath is the page that compares the packages of a file with others.
func comparePath(name boxregistry.Name, v boxregistry.Version, f boxregistry.File) string {
	return versionPath(name, v) + "/packages?" + url.Values{"file": {slotKey(f)}}.Encode()
}

// slotKey is a file of a version in a URL.
func slotKey(f boxregistry.File) string { return string(f.Provider) + "/" + string(f.Architecture) }

// Details are the words of info.json, in their order.
func (v fileView) Details() []command {
	var out []command
	for _, key := range sortedKeys(v.Contents.Info) {
		out = append(out, command{key, v.Contents.Info[key]})
	}
	return out
}

// Host is who keeps a file that is not here.
func (v fileView) Host() string {
	u, err := url.Parse(v.URL)
	if err != nil || u.Host == "" {
		return "another server"
	}
	return u.Host
}

// DeclaredAs is the checksum that the maker announced, when it is not the one that is shown anyway.
func (v fileView) DeclaredAs() string {
	if v.Declared.Type == "" || strings.EqualFold(v.Declared.Hex, string(v.Digest)) {
		return ""
	}
	return fmt.Sprintf("%s %s", v.Declared.Type, v.Declared.Hex)
}
