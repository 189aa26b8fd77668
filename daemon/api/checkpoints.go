package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Checkpoints is what the handlers need of the store of checkpoints; *checkpoint.Store is one.
type Checkpoints interface {
	List(ctx context.Context) ([]checkpoint.Entry, error)
	Get(ctx context.Context, name string) (checkpoint.Entry, error)
	Remove(ctx context.Context, id checkpoint.ID, force bool) error
	Prune(ctx context.Context, o checkpoint.PruneOptions) (removed []checkpoint.Entry, freed int64, err error)
}

func (s *Server) mountCheckpoints(v1 gin.IRouter) {
	v1.GET("/checkpoints", need(auth.Read), s.listCheckpoints)
	v1.GET("/checkpoints/:id", need(auth.Read), s.getCheckpoint)
	v1.DELETE("/checkpoints/:id", need(auth.Write), s.removeCheckpoint)
	v1.POST("/checkpoints/prune", need(auth.Write), s.pruneCheckpoints)
}

func (s *Server) listCheckpoints(c *gin.Context) {
	list, err := s.Checkpoints.List(c.Request.Context())
	if err != nil {
		s.failCheckpoint(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.CheckpointList{Checkpoints: CheckpointsOf(list)})
}

func (s *Server) getCheckpoint(c *gin.Context) {
	e, err := s.Checkpoints.Get(c.Request.Context(), c.Param("id"))
	if err != nil {
		s.failCheckpoint(c, err)
		return
	}
	c.JSON(http.StatusOK, CheckpointOf(e))
}

func (s *Server) removeCheckpoint(c *gin.Context) {
	force, err := strconv.ParseBool(c.DefaultQuery("force", "0"))
	if err != nil {
		s.fail(c, wire.Errorf(wire.CodeBadRequest, "force=%q is neither 0 nor 1", c.Query("force")))
		return
	}
	e, err := s.Checkpoints.Get(c.Request.Context(), c.Param("id"))
	if err == nil {
		err = s.Checkpoints.Remove(c.Request.Context(), e.ID, force)
	}
	if err != nil {
		s.failCheckpoint(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *Server) pruneCheckpoints(c *gin.Context) {
	var req wire.PruneRequest
	if !s.body(c, &req) {
		return
	}
	if req.Budget < 0 || req.Seconds < 0 {
		s.fail(c, wire.Errorf(wire.CodeBadRequest, "a budget of %d bytes or an age of %g s cannot be: give what may stay", req.Budget, req.Seconds))
		return
	}
	removed, freed, err := s.Checkpoints.Prune(c.Request.Context(), checkpoint.PruneOptions{
		Budget: req.Budget, OlderThan: time.Duration(req.Seconds * float64(time.Second)), All: req.All,
	})
	if err != nil {
		s.failCheckpoint(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.PruneReply{Removed: CheckpointsOf(removed), Freed: freed})
}

// failCheckpoint answers with an error of the store.
func (s *Server) failCheckpoint(c *gin.Context, err error) {
	var busy *checkpoint.InUseError
	switch {
	case errors.As(err, &busy):
		err = wire.Errorf(wire.CodeConflict, "%w", err)
	case errors.Is(err, checkpoint.ErrNotFound), errors.Is(err, checkpoint.ErrGone):
		err = wire.Errorf(wire.CodeNotFound, "%w; `boxkiln cache ls` shows them", err)
	case errors.Is(err, checkpoint.ErrAmbiguous):
		err = wire.Errorf(wire.CodeBadRequest, "%w: give more of it", err)
	}
	s.fail(c, err)
}

// CheckpointsOf is what goes over the wire of checkpoints.
func CheckpointsOf(list []checkpoint.Entry) []wire.Checkpoint {
	all := make([]wire.Checkpoint, 0, len(list))
	for _, e := range list {
		all = append(all, CheckpointOf(e))
	}
	return all
}

// CheckpointOf is what goes over the wire of one checkpoint.
func CheckpointOf(e checkpoint.Entry) wire.Checkpoint {
	w := wire.Checkpoint{
		ID: string(e.ID), Fingerprint: e.Fingerprint, Kind: string(e.Kind), Stage: e.Stage, Index: e.Index, Label: e.Label,
		Template: e.Template, Build: e.Build, Seconds: e.Took.Seconds(), Reads: e.Reads, Parent: string(e.Parent),
		Created: e.Created, Used: e.Used, Bytes: e.Bytes, InUse: e.InUse, Layer: e.Layer,
	}
	if e.Kind == checkpoint.KindMemory && e.Machine != nil {
		w.Host = &e.Machine.Host
	}
	return w
}
