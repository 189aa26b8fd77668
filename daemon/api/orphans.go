package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Clouds tells what clouds hold of this installation that belongs to no build. Errors are *wire.Error, or ours.
type Clouds interface {
	Orphans(ctx context.Context, driver string, regions []string) ([]hypervisor.Keepsake, error)
	RemoveOrphans(ctx context.Context, driver string, regions, ids []string) ([]hypervisor.Keepsake, error)
}

func (s *Server) mountOrphans(v1 gin.IRouter) {
	v1.GET("/drivers/:driver/orphans", need(auth.Admin), s.orphans)
	v1.POST("/drivers/:driver/orphans/remove", need(auth.Admin), s.removeOrphans)
}

func (s *Server) orphans(c *gin.Context) {
	list, err := s.Clouds.Orphans(c.Request.Context(), c.Param("driver"), c.QueryArray("region"))
	s.replyOrphans(c, list, err)
}

func (s *Server) removeOrphans(c *gin.Context) {
	var req wire.OrphansRequest
	if !s.body(c, &req) {
		return
	}
	list, err := s.Clouds.RemoveOrphans(c.Request.Context(), c.Param("driver"), req.Regions, req.IDs)
	s.replyOrphans(c, list, err)
}

func (s *Server) replyOrphans(c *gin.Context, list []hypervisor.Keepsake, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	if list == nil {
		list = []hypervisor.Keepsake{}
	}
	c.JSON(http.StatusOK, wire.OrphansReply{Orphans: list})
}
