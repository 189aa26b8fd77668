package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Resumer makes new attempts of builds. Errors are *wire.Error, or build.ErrNotFound, or ours.
type Resumer interface {
	// Names lists the files that a build's plan names.
	Names(ctx context.Context, id build.ID) (wire.NamesReply, error)
	Resume(ctx context.Context, who auth.Principal, id build.ID, r wire.ResumeRequest) (wire.ResumeReply, error)
	Retry(ctx context.Context, who auth.Principal, id build.ID) (build.Record, error)
}

func (s *Server) mountResume(v1 gin.IRouter) {
	v1.GET("/builds/:id/inputs", need(auth.Write), s.names)
	v1.POST("/builds/:id/resume", need(auth.Write), s.resume)
	v1.POST("/builds/:id/retry", need(auth.Write), s.retry)
}

func (s *Server) names(c *gin.Context) {
	reply, err := s.Resumer.Names(c.Request.Context(), build.ID(c.Param("id")))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, reply)
}

func (s *Server) resume(c *gin.Context) {
	var req wire.ResumeRequest
	if !s.body(c, &req) {
		return
	}
	reply, err := s.Resumer.Resume(c.Request.Context(), principal(c), build.ID(c.Param("id")), req)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, reply)
}

func (s *Server) retry(c *gin.Context) {
	record, err := s.Resumer.Retry(c.Request.Context(), principal(c), build.ID(c.Param("id")))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusCreated, wire.RetryReply{Build: record})
}
