package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Installed is what the handlers need of the registry to tell what is installed in boxes; *store.Registry is one.
type Installed interface {
	// Box returns a box with all its versions, or boxregistry.ErrNotFound.
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
	// Packages returns the CycloneDX document of a file's bytes, or boxregistry.ErrNotFound.
	Packages(ctx context.Context, d blob.Digest) (json.RawMessage, error)
}

func (s *Server) mountPackages(v1 gin.IRouter) {
	const version = "/boxes/:org/:box/versions/:version"
	read := needSomewhere(auth.Read)
	v1.GET(version+"/packages", read, s.packages)
	v1.GET(version+"/diff", read, s.packageDiff)
	v1.GET(version+"/parity", read, s.parity)
}

func (s *Server) packages(c *gin.Context) {
	box, rel, err := s.findVersion(c)
	if err != nil {
		s.failBox(c, err)
		return
	}
	f, err := chosenFile(c, rel)
	if err != nil {
		s.failBox(c, err)
		return
	}
	inv, err := s.inventory(c.Request.Context(), box.Name, rel.Version, f)
	if err != nil {
		s.failBox(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.PackageList{File: boxFile(box.Name, rel.Version, f), System: inv.System, Packages: inv.Packages})
}

func (s *Server) packageDiff(c *gin.Context) {
	box, rel, err := s.findVersion(c)
	if err != nil {
		s.failBox(c, err)
		return
	}
	f, err := chosenFile(c, rel)
	if err != nil {
		s.failBox(c, err)
		return
	}
	reply, err := s.diff(c, box, rel, f)
	if err != nil {
		s.failBox(c, err)
		return
	}
	c.JSON(http.StatusOK, reply)
}

// diff compares a file with that of another version, for the same provider and architecture.
func (s *Server) diff(c *gin.Context, box boxregistry.Box, rel boxregistry.Release, f boxregistry.File) (wire.PackageDiff, error) {
	newer, err := s.inventory(c.Request.Context(), box.Name, rel.Version, f)
	if err != nil {
		return wire.PackageDiff{}, err
	}
	from, err := s.before(c, box, rel, f)
	if err != nil {
		return wire.PackageDiff{}, err
	}
	g, ok := exactFile(from, f.Provider, f.Architecture)
	if !ok {
		return wire.PackageDiff{}, wire.Errorf(wire.CodeNotFound, "%s %s has no file for %s/%s", box.Name, from.Version, f.Provider, f.Architecture)
	}
	older, err := s.inventory(c.Request.Context(), box.Name, from.Version, g)
	return wire.PackageDiff{From: boxFile(box.Name, from.Version, g), To: boxFile(box.Name, rel.Version, f), Changes: sbom.Diff(older, newer)}, err
}

// before is the version that ?from= names, else the highest one below rel of which it is known what is installed.
func (s *Server) before(c *gin.Context, box boxregistry.Box, rel boxregistry.Release, f boxregistry.File) (boxregistry.Release, error) {
	if text := c.Query("from"); text != "" {
		return visibleVersion(c, box, text)
	}
	for _, r := range box.Releases { // highest first
		if r.Version.Compare(rel.Version) >= 0 || !visible(c, box, r) {
			continue
		}
		g, ok := exactFile(r, f.Provider, f.Architecture)
		if !ok {
			continue
		}
		_, err := s.Installed.Packages(c.Request.Context(), g.Digest)
		if err == nil || !errors.Is(err, boxregistry.ErrNotFound) {
			return r, err
		}
	}
	return boxregistry.Release{}, wire.Errorf(wire.CodeNotFound, "%s has no version below %s of which it is known what is installed in the %s/%s box",
		box.Name, rel.Version, f.Provider, f.Architecture)
}

func (s *Server) parity(c *gin.Context) {
	box, rel, err := s.findVersion(c)
	if err != nil {
		s.failBox(c, err)
		return
	}
	arch := boxregistry.Architecture(c.Query("architecture"))
	reply := wire.ParityReport{Box: box.Name.String(), Version: rel.Version.String(), Unknown: []string{}}
	var sides []sbom.Side
	for _, f := range rel.Files {
		if arch != "" && f.Architecture != arch {
			continue
		}
		name := string(f.Provider) + "/" + string(f.Architecture)
		inv, err := s.inventory(c.Request.Context(), box.Name, rel.Version, f)
		switch {
		case err == nil:
			sides = append(sides, sbom.Side{Name: name, Inventory: inv})
		case errors.Is(err, boxregistry.ErrNotFound):
			reply.Unknown = append(reply.Unknown, name)
		default:
			s.failBox(c, err)
			return
		}
	}
	reply.Parity = sbom.CompareProviders(sides)
	c.JSON(http.StatusOK, reply)
}

// findVersion finds the box and the version of the path, for those who may see them.
func (s *Server) findVersion(c *gin.Context) (boxregistry.Box, boxregistry.Release, error) {
	name, err := boxregistry.ParseName(c.Param("org") + "/" + c.Param("box"))
	if err != nil {
		return boxregistry.Box{}, boxregistry.Release{}, err
	}
	box, err := s.Installed.Box(c.Request.Context(), name)
	if err == nil && box.Private && !principal(c).PermitsIn(name.Org(), auth.Read) {
		err = fmt.Errorf("box %q: %w", name, boxregistry.ErrNotFound)
	}
	if err != nil {
		return box, boxregistry.Release{}, err
	}
	rel, err := visibleVersion(c, box, c.Param("version"))
	return box, rel, err
}

func visibleVersion(c *gin.Context, box boxregistry.Box, text string) (boxregistry.Release, error) {
	v, err := boxregistry.ParseVersion(text)
	if err != nil {
		return boxregistry.Release{}, err
	}
	rel, ok := box.Release(v)
	if !ok || !visible(c, box, rel) {
		return rel, fmt.Errorf("%s %s: %w", box.Name, v, boxregistry.ErrNotFound)
	}
	return rel, nil
}

// visible tells whether who asks may see a version: one that is not released only if he could change it.
func visible(c *gin.Context, box boxregistry.Box, rel boxregistry.Release) bool {
	return rel.Open() || rel.Deleted.IsZero() && principal(c).PermitsIn(box.Name.Org(), auth.Write)
}

// chosenFile is the file that ?provider= and ?architecture= choose. The provider may be left out where there is one only, and
// without an architecture it is the provider's default.
func chosenFile(c *gin.Context, rel boxregistry.Release) (boxregistry.File, error) {
	provider, arch := boxregistry.Provider(c.Query("provider")), boxregistry.Architecture(c.Query("architecture"))
	var all []string
	for _, f := range rel.Files {
		all = append(all, string(f.Provider))
	}
	all = slices.Compact(all) // files are ordered by provider
	if provider == "" {
		if len(all) != 1 {
			return boxregistry.File{}, wire.Errorf(wire.CodeBadRequest, "version %s has boxes for %s: give provider=, one of them", rel.Version, strings.Join(all, ", "))
		}
		provider = boxregistry.Provider(all[0])
	}
	for _, f := range rel.Files {
		if f.Provider == provider && (f.Architecture == arch || arch == "" && f.Default) {
			return f, nil
		}
	}
	return boxregistry.File{}, wire.Errorf(wire.CodeNotFound, "version %s has no file for %s/%s; it has some for %s", rel.Version, provider, arch, strings.Join(all, ", "))
}

func exactFile(rel boxregistry.Release, p boxregistry.Provider, a boxregistry.Architecture) (boxregistry.File, bool) {
	i := slices.IndexFunc(rel.Files, func(f boxregistry.File) bool { return f.Provider == p && f.Architecture == a })
	if i < 0 {
		return boxregistry.File{}, false
	}
	return rel.Files[i], true
}

// inventory reads what is installed in a file. The error wraps boxregistry.ErrNotFound when nobody recorded it.
func (s *Server) inventory(ctx context.Context, name boxregistry.Name, v boxregistry.Version, f boxregistry.File) (sbom.Inventory, error) {
	data, err := s.Installed.Packages(ctx, f.Digest)
	if errors.Is(err, boxregistry.ErrNotFound) {
		return sbom.Inventory{}, wire.Errorf(wire.CodeNotFound, "it is not known what is installed in %s %s %s/%s, because no build of this registry recorded it: %w",
			name, v, f.Provider, f.Architecture, boxregistry.ErrNotFound)
	}
	if err != nil {
		return sbom.Inventory{}, err
	}
	return sbom.Decode(data)
}

func boxFile(name boxregistry.Name, v boxregistry.Version, f boxregistry.File) wire.NamedFile {
	return wire.NamedFile{Box: name.String(), Version: v.String(), Provider: string(f.Provider), Architecture: string(f.Architecture), SHA256: string(f.Digest)}
}
