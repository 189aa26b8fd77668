package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// Names lists the files that the plan of a build names, and where relative names start.
func (c *Client) Names(ctx context.Context, id build.ID) (reply wire.NamesReply, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/builds/"+url.PathEscape(string(id))+"/inputs", nil, &reply)
	return reply, err
}

// Resume sends the inputs that the daemon lacks and asks for a new attempt of a build that did not succeed.
func (c *Client) Resume(ctx context.Context, id build.ID, req wire.ResumeRequest) (reply wire.ResumeReply, err error) {
	if err := c.sendInputs(ctx, []build.Plan{{Inputs: req.Inputs}}); err != nil {
		return reply, err
	}
	err = c.call(ctx, http.MethodPost, "/v1/builds/"+url.PathEscape(string(id))+"/resume", req, &reply)
	return reply, err
}

// Retry queues a new build with the plan of another one.
func (c *Client) Retry(ctx context.Context, id build.ID) (build.Record, error) {
	var reply wire.RetryReply
	err := c.call(ctx, http.MethodPost, "/v1/builds/"+url.PathEscape(string(id))+"/retry", nil, &reply)
	return reply.Build, err
}
