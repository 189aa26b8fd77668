// Package client is the typed client of the daemon's API. Every verb of the command line speaks to a daemon through it,
// over the daemon's socket or over TCP with a token.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// ErrNoDaemon says that nothing answers where a daemon was looked for.
var ErrNoDaemon = errors.New("no daemon answers")

// Client talks to one daemon.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	where string
}

// Socket returns a client of the daemon that listens on a unix socket.
func Socket(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{base: &url.URL{Scheme: "http", Host: "daemon"}, where: path,
		http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Remote returns a client of the daemon at a URL.
func Remote(server, token string) (*Client, error) {
	u, err := url.Parse(strings.TrimSuffix(server, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is not the URL of a daemon: write it like https://kiln.example.org", server)
	}
	return &Client{base: u, token: token, where: u.Redacted(), http: &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do sends a request. An answer that is no success is an error.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	res, err := c.send(ctx, method, path, body, header)
	if err != nil || res.StatusCode < 300 {
		return res, err
	}
	defer res.Body.Close()
	return nil, replyError(res)
}

func (c *Client) send(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, body)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.dialError(err)
	}
	return res, nil
}

// dialError marks the error of a request that reached nobody.
func (c *Client) dialError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w at %s: %w", ErrNoDaemon, c.where, op.Err)
	}
	return err
}

// maxError bounds what is read of an error's body, in bytes.
const maxError = 1 << 20

func replyError(res *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxError))
	if err != nil {
		return err
	}
	var reply wire.ErrorReply
	if json.Unmarshal(data, &reply) == nil && reply.Error != nil {
		return reply.Error
	}
	err = fmt.Errorf("%s answered %s; is it a Boxkiln daemon?", res.Request.URL.Redacted(), res.Status)
	if res.StatusCode < http.StatusInternalServerError {
		return strangerError{err}
	}
	return err // a proxy whose daemon is away for a moment
}

// strangerError is the refusal of something that is no daemon: asking again is no use.
type strangerError struct{ error }

// call sends in as JSON, if it is not nil, and reads the answer into out, if it is not nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	header := http.Header{}
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
		header.Set("Content-Type", "application/json")
	}
	res, err := c.do(ctx, method, path, body, header)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// Info describes the daemon. It is the way to find out whether one answers.
func (c *Client) Info(ctx context.Context) (info wire.Info, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/info", nil, &info)
	return info, err
}

// Submit sends the contents that the daemon lacks, then the plans. Inputs are read at their paths on this machine.
func (c *Client) Submit(ctx context.Context, req wire.SubmitRequest) ([]build.Record, error) {
	if err := c.sendInputs(ctx, req.Plans); err != nil {
		return nil, err
	}
	var reply wire.SubmitReply
	err := c.call(ctx, http.MethodPost, "/v1/builds", req, &reply)
	return reply.Builds, err
}

func (c *Client) sendInputs(ctx context.Context, plans []build.Plan) error {
	paths := map[string]string{} // by digest
	for _, p := range plans {
		for _, in := range p.Inputs {
			if in.Digest != "" && !in.InPlace {
				paths[in.Digest] = in.Path
			}
		}
	}
	if len(paths) == 0 {
		return nil
	}
	req := wire.MissingRequest{}
	for d := range paths {
		req.Digests = append(req.Digests, d)
	}
	var reply wire.MissingReply
	if err := c.call(ctx, http.MethodPost, "/v1/inputs/missing", req, &reply); err != nil {
		return err
	}
	for _, d := range reply.Missing {
		if err := c.sendInput(ctx, d, paths[d]); err != nil {
			return fmt.Errorf("send %q: %w", paths[d], err)
		}
	}
	return nil
}

func (c *Client) sendInput(ctx context.Context, digest, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	res, err := c.do(ctx, http.MethodPut, "/v1/inputs/sha256/"+url.PathEscape(digest), f, nil)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Get returns one build.
func (c *Client) Get(ctx context.Context, id build.ID) (reply wire.BuildReply, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/builds/"+url.PathEscape(string(id)), nil, &reply)
	return reply, err
}

// List returns builds, newest first, at most limit (0 for the daemon's default).
func (c *Client) List(ctx context.Context, states []string, limit int) ([]build.Record, error) {
	q := url.Values{"state": states}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var reply wire.BuildList
	err := c.call(ctx, http.MethodGet, "/v1/builds?"+q.Encode(), nil, &reply)
	return reply.Builds, err
}

// Cancel asks a build to stop.
func (c *Client) Cancel(ctx context.Context, id build.ID) error {
	return c.call(ctx, http.MethodPost, "/v1/builds/"+url.PathEscape(string(id))+"/cancel", nil, nil)
}

// Answer answers the question that a build asks.
func (c *Client) Answer(ctx context.Context, id build.ID, answer string) error {
	return c.call(ctx, http.MethodPost, "/v1/builds/"+url.PathEscape(string(id))+"/answer", wire.AnswerRequest{Answer: answer}, nil)
}

// Outputs lists the files that a build made for this machine and that the daemon has not put in place itself.
func (c *Client) Outputs(ctx context.Context, id build.ID) ([]wire.Output, error) {
	var reply wire.OutputList
	err := c.call(ctx, http.MethodGet, "/v1/builds/"+url.PathEscape(string(id))+"/outputs", nil, &reply)
	return reply.Outputs, err
}

// FetchOutput copies one of the Outputs to w.
func (c *Client) FetchOutput(ctx context.Context, id build.ID, n int, w io.Writer) error {
	res, err := c.do(ctx, http.MethodGet, fmt.Sprintf("/v1/builds/%s/outputs/%d", url.PathEscape(string(id)), n), nil, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(w, res.Body)
	return err
}

// maxEvent bounds one event, in bytes: a line of guest output is cut long before.
const maxEvent = 4 << 20

// reconnectPause is how long Events waits before it takes up a broken stream again.
const reconnectPause = 500 * time.Millisecond

// Events calls fn for every event of a build, from its first to its last. A broken connection is taken up where it broke;
// when no daemon answers any more the error is ErrNoDaemon.
func (c *Client) Events(ctx context.Context, id build.ID, fn func(build.Event) error) error {
	return c.EventsFrom(ctx, id, 0, fn)
}

// EventsFrom is Events from an offset of the log on, in bytes, which an earlier answer of the daemon told.
func (c *Client) EventsFrom(ctx context.Context, id build.ID, offset int64, fn func(build.Event) error) error {
	return c.again(ctx, func() (bool, error) { return c.stream(ctx, id, &offset, fn) })
}

// callbackError ends a stream for good.
type callbackError struct{ error }

// isBroken tells a stream that broke from a refusal, which would come again.
func isBroken(err error) bool {
	var refused *wire.Error
	var stranger strangerError
	return !errors.As(err, &refused) && !errors.As(err, &stranger) && !errors.Is(err, ErrNoDaemon)
}

func (c *Client) stream(ctx context.Context, id build.ID, offset *int64, fn func(build.Event) error) (ended bool, err error) {
	header := http.Header{"Last-Event-Id": {strconv.FormatInt(*offset, 10)}, "Accept": {"text/event-stream"}}
	res, err := c.do(ctx, http.MethodGet, "/v1/builds/"+url.PathEscape(string(id))+"/events", nil, header)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	return readEvents(res.Body, offset, fn)
}

// readEvents tells the events of a stream; offset is the place after the last one that was told.
func readEvents(r io.Reader, offset *int64, fn func(build.Event) error) (ended bool, err error) {
	return readStream(r, func(next int64, data string) error {
		var e build.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("bad event: %w", err)
		}
		*offset = next
		return fn(e)
	})
}

// readStream reads server-sent events until one of the type "end" or "error". One that was cut off has no empty line behind
// it and is not told.
func readStream(r io.Reader, fn func(next int64, data string) error) (ended bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	fields := map[string]string{}
	for lines.Scan() {
		if line := lines.Text(); line != "" {
			field, value, _ := strings.Cut(line, ": ")
			fields[field] = value
			continue
		}
		switch fields["event"] {
		case "end":
			return true, nil
		case "error":
			return false, callbackError{refusal(fields["data"])}
		}
		if data, ok := fields["data"]; ok {
			if err := tell(fields["id"], data, fn); err != nil {
				return false, callbackError{err}
			}
		}
		clear(fields)
	}
	return false, lines.Err()
}

func tell(id, data string, fn func(next int64, data string) error) error {
	next, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return fmt.Errorf("bad event id %q", id)
	}
	return fn(next, data)
}
