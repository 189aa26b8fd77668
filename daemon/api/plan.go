package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Explainer tells which stages of a plan are kept. Errors are *wire.Error, or ours.
type Explainer interface {
	Explain(ctx context.Context, p *build.Plan) ([]build.StageStatus, error)
}

func (s *Server) mountPlans(v1 gin.IRouter) {
	v1.POST("/plans/explain", need(auth.Write), s.explain)
}

func (s *Server) explain(c *gin.Context) {
	var req wire.ExplainRequest
	if !s.body(c, &req) {
		return
	}
	reply := wire.ExplainReply{Plans: make([]wire.Explanation, len(req.Plans))}
	for i := range req.Plans {
		p := &req.Plans[i]
		stages, err := s.Explainer.Explain(c.Request.Context(), p)
		if err != nil {
			s.fail(c, err)
			return
		}
		reply.Plans[i] = wire.Explanation{Label: p.Label, Stages: stages}
	}
	c.JSON(http.StatusOK, reply)
}
