package client

import (
	"context"
	"net/http"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// Explain asks which stages builds of these plans would run.
func (c *Client) Explain(ctx context.Context, plans []build.Plan) ([]wire.Explanation, error) {
	var reply wire.ExplainReply
	err := c.call(ctx, http.MethodPost, "/v1/plans/explain", wire.ExplainRequest{Plans: plans}, &reply)
	return reply.Plans, err
}
