package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

func (s *Server) mountVersions(v1 gin.IRouter, version string, write, admin gin.HandlerFunc) {
	v1.PATCH(version, write, s.editVersion)
	v1.DELETE(version, write, s.withVersion(func(c *gin.Context, n boxregistry.Name, v boxregistry.Version) {
		s.done(c, s.Registry.DeleteVersion(c.Request.Context(), n, v))
	}))
	v1.POST(version+"/restore", write, s.withVersion(func(c *gin.Context, n boxregistry.Name, v boxregistry.Version) {
		s.done(c, s.Registry.RestoreVersion(c.Request.Context(), n, v))
	}))
	v1.POST(version+"/purge", admin, s.withVersion(func(c *gin.Context, n boxregistry.Name, v boxregistry.Version) {
		s.done(c, s.Registry.PurgeNow(c.Request.Context(), n, v))
	}))
	v1.POST(version+"/release", write, s.release)
	v1.POST(version+"/revoke", write, s.revoke)
	v1.PUT(version+"/channels/:channel", write, s.promote)
	v1.DELETE(version+"/channels/:channel", write, s.demote)
	v1.GET(version+"/downloads", write, s.downloads)
}

// boxVersion reads the box and the version of the path, and answers and returns false if they are none.
func (s *Server) boxVersion(c *gin.Context) (boxregistry.Name, boxregistry.Version, bool) {
	name, ok := s.boxName(c)
	if !ok {
		return name, boxregistry.Version{}, false
	}
	v, err := boxregistry.ParseVersion(c.Param("version"))
	if err != nil {
		s.failBox(c, err)
	}
	return name, v, err == nil
}

// withVersion makes a handler of one that needs the version of the path.
func (s *Server) withVersion(do func(*gin.Context, boxregistry.Name, boxregistry.Version)) gin.HandlerFunc {
	return func(c *gin.Context) {
		if name, v, ok := s.boxVersion(c); ok {
			do(c, name, v)
		}
	}
}

func (s *Server) promote(c *gin.Context) {
	if name, v, ok := s.boxVersion(c); ok {
		s.done(c, s.Registry.Promote(c.Request.Context(), name, v, boxregistry.Channel(c.Param("channel"))))
	}
}

func (s *Server) demote(c *gin.Context) {
	if name, v, ok := s.boxVersion(c); ok {
		s.done(c, s.Registry.Demote(c.Request.Context(), name, v, boxregistry.Channel(c.Param("channel"))))
	}
}

func (s *Server) editVersion(c *gin.Context) {
	name, v, ok := s.boxVersion(c)
	var req wire.VersionEdit
	if !ok || !s.body(c, &req) {
		return
	}
	s.done(c, s.Registry.EditVersion(c.Request.Context(), name, v, func(r *boxregistry.Release) {
		set(&r.Description, req.Description)
		set(&r.Pinned, req.Pinned)
	}))
}

func (s *Server) release(c *gin.Context) {
	name, v, ok := s.boxVersion(c)
	var req wire.ReleaseRequest
	if !ok || !s.body(c, &req) {
		return
	}
	var channels []boxregistry.Channel
	for _, ch := range req.Channels {
		channels = append(channels, boxregistry.Channel(ch))
	}
	s.done(c, s.Registry.Release(c.Request.Context(), name, v, channels...))
}

func (s *Server) revoke(c *gin.Context) {
	name, v, ok := s.boxVersion(c)
	var req wire.RevokeRequest
	if !ok || !s.body(c, &req) {
		return
	}
	s.done(c, s.Registry.Revoke(c.Request.Context(), name, v, req.Why))
}

func (s *Server) downloads(c *gin.Context) {
	name, v, ok := s.boxVersion(c)
	if !ok {
		return
	}
	list, err := s.Registry.Downloads(c.Request.Context(), name, v)
	if err != nil {
		s.failBox(c, err)
		return
	}
	reply := wire.BoxDownloadList{Downloads: []wire.BoxDownload{}}
	for _, d := range list {
		reply.Downloads = append(reply.Downloads, wire.BoxDownload{Provider: string(d.Provider), Architecture: string(d.Architecture),
			Client: d.Client, Count: d.Count, At: d.At})
	}
	c.JSON(http.StatusOK, reply)
}
