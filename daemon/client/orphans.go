package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// Orphans lists what the cloud of a driver holds in some regions and no build accounts for; no regions mean that of the account.
func (c *Client) Orphans(ctx context.Context, driver string, regions []string) (reply wire.OrphansReply, err error) {
	err = c.call(ctx, http.MethodGet, orphansPath(driver)+"?"+url.Values{"region": regions}.Encode(), nil, &reply)
	return reply, err
}

// RemoveOrphans removes those of the orphans that are named, and lists them.
func (c *Client) RemoveOrphans(ctx context.Context, driver string, req wire.OrphansRequest) (reply wire.OrphansReply, err error) {
	err = c.call(ctx, http.MethodPost, orphansPath(driver)+"/remove", req, &reply)
	return reply, err
}

func orphansPath(driver string) string { return "/v1/drivers/" + url.PathEscape(driver) + "/orphans" }
