package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Boxes is what the handlers read of the registry; *store.Registry is one.
type Boxes interface {
	List(ctx context.Context, q boxregistry.ListQuery) ([]boxregistry.Summary, int, error)
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
	Trash(ctx context.Context) ([]boxregistry.Box, error)
	Downloads(ctx context.Context, name boxregistry.Name, v boxregistry.Version) ([]boxregistry.Download, error)
}

// BoxChanges is what the handlers do to boxes; *store.Registry does it.
type BoxChanges interface {
	CreateBox(ctx context.Context, b boxregistry.Box) error
	EditBox(ctx context.Context, name boxregistry.Name, edit func(*boxregistry.Box) error) error
	DeleteBox(ctx context.Context, name boxregistry.Name) error
	RestoreBox(ctx context.Context, name boxregistry.Name) error
	PurgeNow(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error
}

// VersionChanges is what the handlers do to versions; *store.Registry does it.
type VersionChanges interface {
	EditVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version, edit func(*boxregistry.Release)) error
	Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error
	Revoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version, why string) error
	Promote(ctx context.Context, name boxregistry.Name, v boxregistry.Version, c boxregistry.Channel) error
	Demote(ctx context.Context, name boxregistry.Name, v boxregistry.Version, c boxregistry.Channel) error
	DeleteVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error
	RestoreVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error
}

// Registry is the registry as the handlers see it.
type Registry interface {
	Boxes
	BoxChanges
	VersionChanges
}

func (s *Server) mountBoxes(v1 gin.IRouter) {
	v1.GET("/trash", needSomewhere(auth.Write), s.trash)
	v1.GET("/boxes", needSomewhere(auth.Read), s.listBoxes)
	const box, version = "/boxes/:org/:box", "/boxes/:org/:box/versions/:version"
	read, write, admin := needSomewhere(auth.Read), needIn(auth.Write), needIn(auth.Admin)
	v1.GET(box, read, s.getBox)
	v1.PUT(box, write, s.createBox)
	v1.PATCH(box, write, s.editBox)
	v1.DELETE(box, write, s.withBox(func(c *gin.Context, n boxregistry.Name) { s.done(c, s.Registry.DeleteBox(c.Request.Context(), n)) }))
	v1.POST(box+"/restore", write, s.withBox(func(c *gin.Context, n boxregistry.Name) { s.done(c, s.Registry.RestoreBox(c.Request.Context(), n)) }))
	v1.POST(box+"/purge", admin, s.withBox(func(c *gin.Context, n boxregistry.Name) {
		s.done(c, s.Registry.PurgeNow(c.Request.Context(), n, boxregistry.Version{}))
	}))
	v1.GET(box+"/retention", read, s.getRetention)
	v1.PUT(box+"/retention", write, s.setRetention)
	s.mountVersions(v1, version, write, admin)
}

// boxName reads the box of the path, and answers and returns false if that is none.
func (s *Server) boxName(c *gin.Context) (boxregistry.Name, bool) {
	name, err := boxregistry.ParseName(c.Param("org") + "/" + c.Param("box"))
	if err != nil {
		s.failBox(c, err)
	}
	return name, err == nil
}

// withBox makes a handler of one that needs the box of the path.
func (s *Server) withBox(do func(*gin.Context, boxregistry.Name)) gin.HandlerFunc {
	return func(c *gin.Context) {
		if name, ok := s.boxName(c); ok {
			do(c, name)
		}
	}
}

// done answers a change.
func (s *Server) done(c *gin.Context, err error) {
	if err != nil {
		s.failBox(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// seen is whose private boxes somebody sees.
func seen(p auth.Principal) boxregistry.Sight {
	sight := boxregistry.Sight{All: p.Scope.Permits(auth.Read)}
	for org, scope := range p.Orgs {
		if scope.Permits(auth.Read) {
			sight.Orgs = append(sight.Orgs, org)
		}
	}
	return sight
}

const (
	boxesPage    = 100
	boxesPageMax = 1000
)

func (s *Server) listBoxes(c *gin.Context) {
	q := boxregistry.ListQuery{Search: c.Query("q"), Org: c.Query("org"), Provider: boxregistry.Provider(c.Query("provider")),
		Architecture: boxregistry.Architecture(c.Query("architecture")), Sort: boxregistry.Sort(c.Query("sort")), Seen: seen(principal(c))}
	var err error
	if q.Limit, err = number(c, "limit", boxesPage, 1, boxesPageMax); err == nil {
		q.Offset, err = number(c, "offset", 0, 0, 1<<30)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	list, total, err := s.Registry.List(c.Request.Context(), q)
	if err != nil {
		s.failBox(c, err)
		return
	}
	reply := wire.BoxList{Boxes: []wire.BoxSummary{}, Total: total}
	for _, b := range list {
		reply.Boxes = append(reply.Boxes, summaryOf(b))
	}
	c.JSON(http.StatusOK, reply)
}

// number reads a number of the query.
func number(c *gin.Context, name string, unset, least, most int) (int, error) {
	text := c.Query(name)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, wire.Errorf(wire.CodeBadRequest, "%s %q is not a number from %d to %d", name, text, least, most)
	}
	return n, nil
}

// readBox finds the box of the path for somebody who may read it. One that he may not see does not exist for him.
func (s *Server) readBox(c *gin.Context) (boxregistry.Box, bool) {
	name, ok := s.boxName(c)
	if !ok {
		return boxregistry.Box{}, false
	}
	box, err := s.Registry.Box(c.Request.Context(), name)
	if err == nil && box.Private && !principal(c).PermitsIn(name.Org(), auth.Read) {
		err = boxregistry.ErrNotFound
	}
	if err != nil {
		s.failBox(c, err)
		return box, false
	}
	if !principal(c).PermitsIn(name.Org(), auth.Write) {
		box.Releases = openTo(box) // drafts and what is deleted are for makers
	}
	return box, true
}

func openTo(box boxregistry.Box) (list []boxregistry.Release) {
	for _, r := range box.Releases {
		if r.State != boxregistry.Draft && r.Deleted.IsZero() {
			list = append(list, r)
		}
	}
	return list
}

func (s *Server) getBox(c *gin.Context) {
	if box, ok := s.readBox(c); ok {
		c.JSON(http.StatusOK, boxOf(box))
	}
}

func (s *Server) createBox(c *gin.Context) {
	name, ok := s.boxName(c)
	var req wire.BoxEdit
	if !ok || !s.body(c, &req) {
		return
	}
	if req.Name != nil && *req.Name != name.String() {
		s.fail(c, wire.Errorf(wire.CodeBadRequest, "the path names %s and the request %s", name, *req.Name))
		return
	}
	box := boxregistry.Box{Name: name}
	applyEdit(&box, req)
	s.done(c, s.Registry.CreateBox(c.Request.Context(), box))
}

func (s *Server) editBox(c *gin.Context) {
	name, ok := s.boxName(c)
	var req wire.BoxEdit
	if !ok || !s.body(c, &req) {
		return
	}
	to := name
	if req.Name != nil {
		var err error
		if to, err = boxregistry.ParseName(*req.Name); err != nil {
			s.failBox(c, err)
			return
		}
		if !principal(c).PermitsIn(to.Org(), auth.Write) {
			s.fail(c, wire.Errorf(wire.CodeForbidden, "the token %q may not write in the organisation %q", principal(c).Name, to.Org()))
			return
		}
	}
	s.done(c, s.Registry.EditBox(c.Request.Context(), name, func(b *boxregistry.Box) error {
		applyEdit(b, req)
		b.Name = to
		return nil
	}))
}

func applyEdit(b *boxregistry.Box, e wire.BoxEdit) {
	set(&b.ShortDescription, e.ShortDescription)
	set(&b.Description, e.Description)
	set(&b.Private, e.Private)
}

// set takes a new value over, if there is one.
func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// trash lists what may be restored by whoever asks.
func (s *Server) trash(c *gin.Context) {
	list, err := s.Registry.Trash(c.Request.Context())
	if err != nil {
		s.failBox(c, err)
		return
	}
	reply := wire.TrashList{Boxes: []wire.Box{}}
	for _, b := range list {
		if principal(c).PermitsIn(b.Name.Org(), auth.Write) {
			reply.Boxes = append(reply.Boxes, boxOf(b))
		}
	}
	c.JSON(http.StatusOK, reply)
}

// getRetention tells the rules of a box, or previews those of the query.
func (s *Server) getRetention(c *gin.Context) {
	box, ok := s.readBox(c)
	if !ok {
		return
	}
	rules := box.Retention
	if c.Query("keep_last") != "" || c.Query("keep_newer") != "" {
		last, err := number(c, "keep_last", 0, 0, 1<<30)
		newer := 0
		if err == nil {
			newer, err = number(c, "keep_newer", 0, 0, mostSeconds)
		}
		if err != nil {
			s.fail(c, err)
			return
		}
		rules = boxregistry.Retention{KeepLast: last, KeepNewer: time.Duration(newer) * time.Second}
	}
	reply := wire.RetentionReply{Retention: retentionOf(rules), Expired: []string{}}
	for _, r := range rules.Expired(box, s.Now()) {
		reply.Expired = append(reply.Expired, r.Version.String())
	}
	c.JSON(http.StatusOK, reply)
}

// mostSeconds is the longest age that a rule can name: a hundred years.
const mostSeconds = 100 * 365 * 24 * 3600

func (s *Server) setRetention(c *gin.Context) {
	name, ok := s.boxName(c)
	var req wire.Retention
	if !ok || !s.body(c, &req) {
		return
	}
	if req.KeepLast < 0 || req.KeepNewer < 0 || req.KeepNewer > mostSeconds {
		s.fail(c, wire.Errorf(wire.CodeBadRequest, "keep_last %d and keep_newer %d: want how many versions and how many seconds", req.KeepLast, req.KeepNewer))
		return
	}
	s.done(c, s.Registry.EditBox(c.Request.Context(), name, func(b *boxregistry.Box) error {
		b.Retention = boxregistry.Retention{KeepLast: req.KeepLast, KeepNewer: time.Duration(req.KeepNewer) * time.Second}
		return nil
	}))
}
