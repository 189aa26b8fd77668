package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// Fsck checks the store of boxes and calls fn for everything that the daemon tells meanwhile, the report last. The check
// ends when ctx or the connection does.
func (c *Client) Fsck(ctx context.Context, req wire.FsckRequest, fn func(wire.FsckEvent) error) error {
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}
	res, err := c.do(ctx, http.MethodPost, "/v1/fsck", bytes.NewReader(body), header)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	ended, err := readStream(res.Body, func(_ int64, data string) error {
		var e wire.FsckEvent
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("bad event: %w", err)
		}
		return fn(e)
	})
	var told callbackError
	switch {
	case errors.As(err, &told):
		return told.error
	case err == nil && !ended:
		return errors.New("the daemon ended before the check did; begin it again")
	}
	return err
}
