package client

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// Frame is a picture of a machine's screen.
type Frame struct {
	PNG  []byte
	Live bool // false: the machine is gone, and this is the last picture that was kept
}

// maxFrame bounds a picture, in bytes.
const maxFrame = 128 << 20

func buildPath(id build.ID, what string) string {
	return "/v1/builds/" + url.PathEscape(string(id)) + what
}

// Screen returns the picture of a build's machine, or the last one that was kept.
func (c *Client) Screen(ctx context.Context, id build.ID) (Frame, error) {
	res, err := c.do(ctx, http.MethodGet, buildPath(id, "/screen"), nil, nil)
	if err != nil {
		return Frame{}, err
	}
	defer res.Body.Close()
	return readFrame(res.Body, http.Header(res.Header))
}

func readFrame(r io.Reader, header http.Header) (Frame, error) {
	f := Frame{Live: header.Get(wire.HeaderLive) == "true"}
	var err error
	f.PNG, err = io.ReadAll(io.LimitReader(r, maxFrame))
	return f, err
}

// WatchScreen calls fn with the picture of a build's machine and with each new one, until the build has ended. A broken
// connection is made anew.
func (c *Client) WatchScreen(ctx context.Context, id build.ID, fn func(Frame) error) error {
	return c.again(ctx, func() (bool, error) { return c.watchScreen(ctx, id, fn) })
}

func (c *Client) watchScreen(ctx context.Context, id build.ID, fn func(Frame) error) (ended bool, err error) {
	res, err := c.do(ctx, http.MethodGet, buildPath(id, "/screen?live=1"), nil, nil)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "multipart/x-mixed-replace" {
		return false, strangerError{fmt.Errorf("the daemon sent %q where pictures were asked for", res.Header.Get("Content-Type"))}
	}
	return readFrames(bufio.NewReader(res.Body), fn)
}

// readFrames reads pictures that follow one another. It is no case for mime/multipart, which knows no stream that just ends
// after a boundary and so takes an end for a broken connection.
func readFrames(r *bufio.Reader, fn func(Frame) error) (ended bool, err error) {
	parts := textproto.NewReader(r)
	for {
		boundary, err := parts.ReadLine()
		if err == nil && !strings.HasPrefix(boundary, "--") {
			err = fmt.Errorf("%q is no boundary between pictures", boundary)
		}
		if err == nil {
			_, err = r.Peek(1)
		}
		if errors.Is(err, io.EOF) { // a connection that broke is io.ErrUnexpectedEOF
			return true, nil
		}
		if err != nil {
			return false, err
		}
		f, err := readPart(parts)
		if err != nil {
			return false, err
		}
		if err := fn(f); err != nil {
			return false, callbackError{err}
		}
	}
}

func readPart(parts *textproto.Reader) (Frame, error) {
	header, err := parts.ReadMIMEHeader()
	if err != nil {
		return Frame{}, err
	}
	size, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil || size < 0 || size > maxFrame {
		return Frame{}, fmt.Errorf("%q is not the size of a picture", header.Get("Content-Length"))
	}
	f, err := readFrame(io.LimitReader(parts.R, size), http.Header(header))
	if err == nil && int64(len(f.PNG)) < size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		_, err = parts.ReadLine() // the line break between the picture and the boundary
	}
	return f, err
}

// ReadSerial copies what the guest has printed on its serial console from offset on to w; a negative offset counts from the
// end.
func (c *Client) ReadSerial(ctx context.Context, id build.ID, offset int64, w io.Writer) error {
	res, err := c.do(ctx, http.MethodGet, buildPath(id, "/serial?offset="+strconv.FormatInt(offset, 10)), nil, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(w, res.Body)
	return err
}

// FollowSerial calls fn with what the guest prints on its serial console from offset on, and with the offset after it,
// until the attempt that runs has ended. A broken connection is taken up where it broke.
func (c *Client) FollowSerial(ctx context.Context, id build.ID, offset int64, fn func(next int64, chunk []byte) error) error {
	return c.again(ctx, func() (bool, error) {
		header := http.Header{"Accept": {"text/event-stream"}}
		res, err := c.do(ctx, http.MethodGet, buildPath(id, "/serial?live=1&offset="+strconv.FormatInt(offset, 10)), nil, header)
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		return readStream(res.Body, func(next int64, data string) error {
			chunk, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				return fmt.Errorf("bad bytes of the serial console: %w", err)
			}
			offset = next
			return fn(next, chunk)
		})
	})
}

// Timeline returns what happened when in a build.
func (c *Client) Timeline(ctx context.Context, id build.ID) ([]build.Moment, error) {
	var reply wire.Timeline
	err := c.call(ctx, http.MethodGet, buildPath(id, "/timeline"), nil, &reply)
	return reply.Moments, err
}

// Type types text with the tokens of boot commands at a build's machine, and returns the number of key events.
func (c *Client) Type(ctx context.Context, id build.ID, text string) (int, error) {
	var reply wire.KeysReply
	err := c.call(ctx, http.MethodPost, buildPath(id, "/keys"), wire.KeysRequest{Text: text}, &reply)
	return reply.Events, err
}

// again calls once until it has seen the end, or it fails in a way that would come again.
func (c *Client) again(ctx context.Context, once func() (ended bool, err error)) error {
	for {
		ended, err := once()
		var callback callbackError
		switch {
		case ended:
			return nil
		case errors.As(err, &callback):
			return callback.error
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !isBroken(err):
			return err
		}
		select {
		case <-time.After(reconnectPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// refusal reads the error that ended a stream.
func refusal(data string) error {
	var e wire.Error
	if err := json.Unmarshal([]byte(data), &e); err != nil || e.Code == "" {
		return fmt.Errorf("the stream ended with an error that cannot be read: %q", data)
	}
	return &e
}
