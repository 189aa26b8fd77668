package web

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// asking is the request's context with who asks, for the registry writes down who changed what.
func (s *Site) asking(c *gin.Context) context.Context {
	return auth.WithPrincipal(c.Request.Context(), s.who(c))
}

// sight is which private boxes somebody sees.
func sight(p auth.Principal) boxregistry.Sight {
	seen := boxregistry.Sight{All: p.Scope.Permits(auth.Read)}
	for org, scope := range p.Orgs {
		if scope.Permits(auth.Read) {
			seen.Orgs = append(seen.Orgs, org)
		}
	}
	slices.Sort(seen.Orgs)
	return seen
}

// shownBox is a box as somebody may see it.
type shownBox struct {
	boxregistry.Box
	May bool // the visitor may write in its organisation
}

// findBox is the box that the path names, as the visitor may see it: a private box of others is not there, and drafts and
// deleted versions are there for its makers only.
func (s *Site) findBox(c *gin.Context) (shownBox, error) {
	name, err := boxregistry.ParseName(c.Param("org") + "/" + c.Param("box"))
	if err != nil {
		return shownBox{}, err
	}
	b, err := s.Boxes.Box(s.asking(c), name)
	if err != nil {
		return shownBox{}, err
	}
	who := s.who(c)
	if b.Private && !who.PermitsIn(name.Org(), auth.Read) {
		return shownBox{}, boxregistry.ErrNotFound
	}
	if b.Private {
		c.Header("X-Robots-Tag", "noindex")
	}
	shown := shownBox{Box: b, May: who.PermitsIn(name.Org(), auth.Write)}
	if !shown.May {
		shown.Releases = slices.DeleteFunc(slices.Clone(b.Releases), hiddenFromUsers)
	}
	return shown, nil
}

// hidden is the names of the boxes that the visitor may not know of.
func (s *Site) hidden(c *gin.Context) ([]string, error) {
	names, err := s.Boxes.Hidden(s.asking(c), sight(s.who(c)))
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = n.String()
	}
	return texts, err
}

// shownBuild lets only those see a build who see the box that it makes: what it prints tells what is inside.
func (s *Site) shownBuild(c *gin.Context) {
	box, err := s.Builds.Box(c.Request.Context(), c.Param("id"))
	if err == nil && box != "" {
		var hidden []string
		hidden, err = s.hidden(c)
		if slices.ContainsFunc(hidden, func(name string) bool { return strings.EqualFold(name, box) }) {
			err = ErrNotFound
		}
	}
	if err != nil {
		s.fail(c, err)
	}
}

func hiddenFromUsers(r boxregistry.Release) bool {
	return r.State == boxregistry.Draft || !r.Deleted.IsZero()
}

// findVersion is the version that the path names, and its box, as findBox.
func (s *Site) findVersion(c *gin.Context) (shownBox, boxregistry.Release, error) {
	box, err := s.findBox(c)
	if err != nil {
		return box, boxregistry.Release{}, err
	}
	v, err := boxregistry.ParseVersion(c.Param("version"))
	if err != nil {
		return box, boxregistry.Release{}, err
	}
	rel, ok := box.Release(v)
	if !ok {
		return box, rel, boxregistry.ErrNotFound
	}
	return box, rel, nil
}

// absent tells that nothing is known, which is no error on a page that shows what there is.
func absent(err error) bool { return errors.Is(err, boxregistry.ErrNotFound) }

// boxPath is where the pages of a box begin, but for its own, which is at /org/box.
func boxPath(name boxregistry.Name) string { return "/boxes/" + name.String() }

// versionPath is the page of a version.
func versionPath(name boxregistry.Name, v boxregistry.Version) string {
	return boxPath(name) + "/versions/" + v.String()
}
