package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// StartImport has the daemon bring boxes from elsewhere.
func (c *Client) StartImport(ctx context.Context, req wire.ImportRequest) (reply wire.Import, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/imports", req, &reply)
	return reply, err
}

// Imports lists the daemon's imports, newest first.
func (c *Client) Imports(ctx context.Context) ([]wire.Import, error) {
	var reply wire.ImportList
	err := c.call(ctx, http.MethodGet, "/v1/imports", nil, &reply)
	return reply.Imports, err
}

// Import returns one import.
func (c *Client) Import(ctx context.Context, id string) (reply wire.Import, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/imports/"+url.PathEscape(id), nil, &reply)
	return reply, err
}

// CancelImport ends an import.
func (c *Client) CancelImport(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/imports/"+url.PathEscape(id), nil, nil)
}

// ImportEvents calls fn for the events of an import until it has ended. A broken connection is taken up where it broke.
func (c *Client) ImportEvents(ctx context.Context, id string, fn func(wire.ImportEvent) error) error {
	var place int64
	return c.again(ctx, func() (bool, error) {
		header := http.Header{"Last-Event-Id": {strconv.FormatInt(place, 10)}, "Accept": {"text/event-stream"}}
		res, err := c.do(ctx, http.MethodGet, "/v1/imports/"+url.PathEscape(id)+"/events", nil, header)
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		return readStream(res.Body, func(next int64, data string) error {
			var e wire.ImportEvent
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return fmt.Errorf("bad event: %w", err)
			}
			place = next
			return fn(e)
		})
	})
}
