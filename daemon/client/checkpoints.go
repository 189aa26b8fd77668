package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// Checkpoints returns all checkpoints, newest first.
func (c *Client) Checkpoints(ctx context.Context) ([]wire.Checkpoint, error) {
	var reply wire.CheckpointList
	err := c.call(ctx, http.MethodGet, "/v1/checkpoints", nil, &reply)
	return reply.Checkpoints, err
}

// Checkpoint returns the checkpoint whose id, or whose id's or fingerprint's beginning, is name.
func (c *Client) Checkpoint(ctx context.Context, name string) (reply wire.Checkpoint, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/checkpoints/"+url.PathEscape(name), nil, &reply)
	return reply, err
}

// RemoveCheckpoint removes a checkpoint. One that is in use is refused unless forced.
func (c *Client) RemoveCheckpoint(ctx context.Context, name string, force bool) error {
	path := "/v1/checkpoints/" + url.PathEscape(name)
	if force {
		path += "?force=1"
	}
	return c.call(ctx, http.MethodDelete, path, nil, nil)
}

// PruneCheckpoints removes what is beyond the limits and not in use.
func (c *Client) PruneCheckpoints(ctx context.Context, req wire.PruneRequest) (reply wire.PruneReply, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/checkpoints/prune", req, &reply)
	return reply, err
}
