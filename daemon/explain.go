package daemon

import (
	"context"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/steps"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// explainer tells what is kept of plans. It implements api.Explainer.
type explainer struct {
	set     *steps.Set
	drivers map[string]hypervisor.Driver
}

// Explain implements api.Explainer.
func (e explainer) Explain(ctx context.Context, p *build.Plan) ([]build.StageStatus, error) {
	if p.Format != build.PlanFormat {
		return nil, wire.Errorf(wire.CodeBadRequest, "the plan has format %d and this daemon runs %d: use the boxkiln of the daemon's version", p.Format, build.PlanFormat)
	}
	driver, ok := e.drivers[p.Driver]
	if !ok {
		return nil, wire.Errorf(wire.CodeBadRequest, "this daemon has no driver %q", p.Driver)
	}
	stages, err := e.set.Explain(ctx, p, driver)
	if err != nil {
		return nil, wire.Errorf(wire.CodeBadRequest, "%s: %w", p.Label, err)
	}
	return stages, nil
}
