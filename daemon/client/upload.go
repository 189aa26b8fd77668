package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// DefaultChunk is how much of a box is sent in one request, in bytes. What a daemon that is killed has received of a chunk
// is sent again; what comes before is not.
const DefaultChunk = 64 << 20

// UploadOptions say how a box is sent. The zero value is right.
type UploadOptions struct {
	Chunk int64 // bytes in one request; 0 for DefaultChunk
	// Progress is called with the bytes that have been sent; it may be nil.
	Progress func(done, total int64)
	// Pause is the wait before a broken connection is made again; 0 for reconnectPause.
	Pause time.Duration
}

// uploadTries is how often in a row an upload may break without a byte that came through. With pauses that grow by half up to
// longestPause that is more than two minutes: longer than a daemon takes to see that a connection is dead.
const (
	uploadTries  = 20
	longestPause = 10 * time.Second
)

// Upload sends a box and publishes it. content holds the bytes that req announces. An upload of the same bytes that broke
// off, in this process or an earlier one, goes on where it was; a connection that breaks is made again. It returns what was
// published, with done when it was there already.
func (c *Client) Upload(ctx context.Context, req wire.UploadRequest, content io.ReaderAt, o UploadOptions) (f wire.BoxFile, done bool, err error) {
	if o.Chunk <= 0 {
		o.Chunk = DefaultChunk
	}
	if o.Pause <= 0 {
		o.Pause = reconnectPause
	}
	var up wire.Upload
	if err := c.call(ctx, http.MethodPost, "/v1/uploads", req, &up); err != nil {
		return f, false, err
	}
	if up.Done {
		return f, true, nil
	}
	f, err = c.sendAll(ctx, &up, content, o)
	if misplaced(err) && c.call(ctx, http.MethodGet, uploadPath(up.ID), nil, &up) == nil && up.Offset < up.Size {
		f, err = c.sendAll(ctx, &up, content, o) // the daemon has lost bytes since it said that it had them
	}
	return f, false, err
}

// sendAll sends what is missing and has it published.
func (c *Client) sendAll(ctx context.Context, up *wire.Upload, content io.ReaderAt, o UploadOptions) (f wire.BoxFile, err error) {
	if err := c.sendChunks(ctx, up, content, o); err != nil {
		return f, err
	}
	err = c.patiently(ctx, o.Pause, func() error {
		return c.call(ctx, http.MethodPost, uploadPath(up.ID)+"/finish", nil, &f)
	})
	return f, err
}

func uploadPath(id string) string { return "/v1/uploads/" + url.PathEscape(id) }

// sendChunks sends what is missing.
func (c *Client) sendChunks(ctx context.Context, up *wire.Upload, content io.ReaderAt, o UploadOptions) error {
	for up.Offset < up.Size {
		err := c.patiently(ctx, o.Pause, func() error {
			before := up.Offset
			err := c.sendChunk(ctx, up, content, o)
			if err == nil || !broke(err) && !misplaced(err) {
				return err
			}
			// The daemon knows what has come of the chunk.
			if askErr := c.call(ctx, http.MethodGet, uploadPath(up.ID), nil, up); askErr == nil && up.Offset != before {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// patiently repeats do while connections break or another request for the same upload is still being ended.
func (c *Client) patiently(ctx context.Context, pause time.Duration, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || !broke(err) || try == uploadTries {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(pause+pause/2, longestPause)
	}
}

// broke tells a connection that broke, or a daemon that is being started again, from a refusal that would come again.
func broke(err error) bool {
	var refused *wire.Error
	if errors.As(err, &refused) {
		return refused.Code == wire.CodeStopping || refused.Code == wire.CodeBusy
	}
	var stranger strangerError
	return !errors.As(err, &stranger) && !errors.Is(err, context.Canceled)
}

// misplaced says whether a chunk did not begin where the upload is.
func misplaced(err error) bool {
	var refused *wire.Error
	return errors.As(err, &refused) && refused.Code == wire.CodeConflict
}

func (c *Client) sendChunk(ctx context.Context, up *wire.Upload, content io.ReaderAt, o UploadOptions) error {
	size := min(o.Chunk, up.Size-up.Offset)
	var body io.Reader = io.NewSectionReader(content, up.Offset, size)
	if o.Progress != nil {
		body = &counted{r: body, at: up.Offset, tell: func(at int64) { o.Progress(at, up.Size) }}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, c.base.String()+uploadPath(up.ID), body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set(wire.OffsetHeader, strconv.FormatInt(up.Offset, 10))
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.dialError(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusMultipleChoices {
		return replyError(res)
	}
	return json.NewDecoder(res.Body).Decode(up)
}

// counted tells how far a body was read.
type counted struct {
	r    io.Reader
	at   int64
	tell func(at int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.at += int64(n)
	c.tell(c.at)
	return n, err
}
