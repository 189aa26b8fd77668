package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

const (
	// writeGrace is how long a reader may take for one write before it is cut off; it can come back with its place.
	writeGrace = 30 * time.Second
	// retryAfter is when, in seconds, a reader for whom there was no room may come again.
	retryAfter = "5"
	// defaultKeepAlive is how long a stream is quiet at most: proxies take longer silence for a dead connection.
	defaultKeepAlive = 15 * time.Second
)

// enter counts a reader in, and answers and returns false if there is no room for it. Who has entered must leave.
func (s *Server) enter(c *gin.Context) (leave func(), ok bool) {
	leave = func() { s.followers.Add(-1) }
	if limit := cmp.Or(s.MaxFollowers, defaultFollowers); s.followers.Add(1) > limit {
		leave()
		c.Header("Retry-After", retryAfter)
		s.fail(c, wire.Errorf(wire.CodeTooMany, "%d readers follow builds already; try again in %s seconds", limit, retryAfter))
		return nil, false
	}
	return leave, true
}

// stream is an answer that goes on while its reader stays. Its methods may be called by several goroutines.
type stream struct {
	c       *gin.Context
	kind    string // content type
	control *http.ResponseController
	now     func() time.Time

	mu      sync.Mutex
	started bool
	last    []byte // what replace sent last
}

// serveStream lets feed write an answer. While feed is quiet, quiet writes from time to time. The answer begins with the
// first write, so that what fails before is still answered with a status; feed returns to end it.
func (s *Server) serveStream(c *gin.Context, contentType string, feed func(ctx context.Context, out *stream) error, quiet func(out *stream) error) {
	leave, ok := s.enter(c)
	if !ok {
		return
	}
	defer leave()
	out := &stream{c: c, kind: contentType, control: http.NewResponseController(c.Writer), now: s.Now}
	ctx, stop := context.WithCancel(c.Request.Context())
	var alive sync.WaitGroup
	alive.Go(func() { out.keepAlive(ctx, cmp.Or(s.KeepAlive, defaultKeepAlive), quiet) })
	err := feed(ctx, out)
	stop()
	alive.Wait()
	switch {
	case err != nil && !out.begun() && c.Request.Context().Err() == nil:
		s.fail(c, err)
	case err != nil:
		s.Log.Debug("reader left", "path", c.Request.URL.Path, "err", err)
	}
}

// serveEvents streams server-sent events. The id of an event is the place at which a reader that comes back goes on. When
// feed has no error, the last one has the type "end"; an error for the reader comes as one of the type "error".
func (s *Server) serveEvents(c *gin.Context, feed func(ctx context.Context, out *stream) error) {
	s.serveStream(c, "text/event-stream", func(ctx context.Context, out *stream) error {
		err := feed(ctx, out)
		if err == nil {
			return out.write([]byte("event: end\ndata: {}\n\n"))
		}
		var refused *wire.Error
		if !out.begun() || !errors.As(err, &refused) {
			return err
		}
		data, jsonErr := json.Marshal(refused)
		return errors.Join(jsonErr, out.write(fmt.Appendf(nil, "event: error\ndata: %s\n\n", data)))
	}, func(out *stream) error { return out.write([]byte(": keep-alive\n\n")) })
}

// begun tells whether something was written.
func (o *stream) begun() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.started
}

// event writes one event. Data has no line break.
func (o *stream) event(id int64, data []byte) error {
	return o.write(fmt.Appendf(nil, "id: %d\ndata: %s\n\n", id, data))
}

// write sends p at once. A reader that takes too long for it is cut off.
func (o *stream) write(p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.send(p)
}

// replace sends p, which takes the place of what it sent before, and remembers it for again.
func (o *stream) replace(p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = p
	return o.send(p)
}

// again sends once more what replace sent last, if it did.
func (o *stream) again() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil {
		return nil
	}
	return o.send(o.last)
}

// send writes p. The caller holds mu.
func (o *stream) send(p []byte) error {
	if !o.started {
		o.started = true
		o.c.Header("Content-Type", o.kind)
		o.c.Header("X-Accel-Buffering", "no") // nginx would keep what is little until there is more
		o.c.Status(http.StatusOK)
	}
	if err := o.control.SetWriteDeadline(o.now().Add(writeGrace)); err != nil {
		return err
	}
	if _, err := o.c.Writer.Write(p); err != nil {
		return err
	}
	return o.control.Flush()
}

func (o *stream) keepAlive(ctx context.Context, every time.Duration, quiet func(*stream) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if quiet(o) != nil {
				return // the feed finds out by itself
			}
		case <-ctx.Done():
			return
		}
	}
}
