package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Imports is what the handlers need of the imports of boxes; *imports.Manager is one. Errors are *wire.Error.
type Imports interface {
	Start(ctx context.Context, who auth.Principal, req wire.ImportRequest) (wire.Import, error)
	List(ctx context.Context) ([]wire.Import, error)
	Get(ctx context.Context, id string) (wire.Import, error)
	Cancel(ctx context.Context, id string) error
	Follow(ctx context.Context, id string, place int64, fn func(next int64, e wire.ImportEvent) error) error
}

func (s *Server) mountImports(v1 gin.IRouter) {
	v1.POST("/imports", needAnywhere(auth.Write), s.startImport)
	v1.GET("/imports", needAnywhere(auth.Write), s.listImports)
	v1.GET("/imports/:id", needAnywhere(auth.Write), s.getImport)
	v1.GET("/imports/:id/events", needAnywhere(auth.Write), s.importEvents)
	v1.DELETE("/imports/:id", needAnywhere(auth.Write), s.cancelImport)
}

// needAnywhere lets in who may do something in a single organisation too; what exactly, each box decides.
func needAnywhere(scope auth.Scope) gin.HandlerFunc {
	everywhere := need(scope)
	return func(c *gin.Context) {
		for _, in := range principal(c).Orgs {
			if in.Permits(scope) {
				return
			}
		}
		everywhere(c)
	}
}

func (s *Server) startImport(c *gin.Context) {
	var req wire.ImportRequest
	if !s.body(c, &req) {
		return
	}
	reply, err := s.Imports.Start(c.Request.Context(), principal(c), req)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusCreated, reply)
}

func (s *Server) listImports(c *gin.Context) {
	list, err := s.Imports.List(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.ImportList{Imports: list})
}

func (s *Server) getImport(c *gin.Context) {
	reply, err := s.Imports.Get(c.Request.Context(), c.Param("id"))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, reply)
}

func (s *Server) cancelImport(c *gin.Context) {
	if err := s.Imports.Cancel(c.Request.Context(), c.Param("id")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// importEvents streams the events of an import as server-sent events, from the place on that Last-Event-ID names.
func (s *Server) importEvents(c *gin.Context) {
	place, err := eventOffset(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.serveEvents(c, func(ctx context.Context, out *stream) error {
		return s.Imports.Follow(ctx, c.Param("id"), place, func(next int64, e wire.ImportEvent) error {
			data, err := json.Marshal(e)
			if err != nil {
				return err
			}
			return out.event(next, data)
		})
	})
}
