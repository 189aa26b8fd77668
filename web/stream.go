package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	// maxReaders is how many may follow something at once; each costs a connection and a file.
	maxReaders = 500
	// writeGrace is how long a reader may take for one write before it is cut off; it can come back with its place.
	writeGrace = 30 * time.Second
	// pingEvery keeps proxies from taking a quiet stream for a dead one.
	pingEvery = 15 * time.Second
	// comeBack is when, in seconds, a reader for whom there was no room may come again.
	comeBack = "5"
)

// enter counts a reader in, and answers and returns false if there is no room. Who enters must leave.
func (s *Site) enter(c *gin.Context) (leave func(), ok bool) {
	leave = func() { s.readers.Add(-1) }
	if s.readers.Add(1) <= maxReaders {
		return leave, true
	}
	leave()
	c.Header("Retry-After", comeBack)
	s.fail(c, &Refusal{http.StatusServiceUnavailable, "Too many look at builds just now. Try again in a few seconds."})
	return nil, false
}

// place is where a reader wants to go on: after the last event that it saw, which browsers say by themselves when they
// come back, or at ?offset=.
func place(c *gin.Context) (int64, error) {
	text := c.GetHeader("Last-Event-ID")
	if text == "" {
		text = c.DefaultQuery("offset", "0")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, &Refusal{http.StatusBadRequest, fmt.Sprintf("The offset %q is not a number.", text)}
	}
	return n, nil
}

// stream writes server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). Its headers are sent
// with the first event or ping, so that what fails before can still answer with a status.
type stream struct {
	w       gin.ResponseWriter
	control *http.ResponseController

	mu      sync.Mutex
	started bool
}

// serve sends what follow sends, and pings in between. When follow ends without an error the reader is told that nothing
// more comes; when it finds nothing to follow yet, that it may ask again.
func (s *Site) serve(c *gin.Context, follow func(ctx context.Context, out *stream) error) {
	leave, ok := s.enter(c)
	if !ok {
		return
	}
	defer leave()
	secure(c)
	out := &stream{w: c.Writer, control: http.NewResponseController(c.Writer)}
	ctx, stop := context.WithCancel(c.Request.Context())
	var pings sync.WaitGroup
	pings.Go(func() { out.ping(ctx, pingEvery) })
	err := follow(ctx, out)
	stop()
	pings.Wait()
	switch {
	case err == nil:
		_ = out.write("event: end\ndata: {}\n\n") // a reader that has gone needs no end
	case errors.Is(err, ErrNothing):
		_ = out.write(": nothing yet\n\n")
	case !out.started:
		s.fail(c, err)
	default:
		s.log.DebugContext(ctx, "a reader left", "path", c.Request.URL.Path, "error", err)
	}
}

// send writes one event; id is the place after it.
func (o *stream) send(id int64, event string, data any) error {
	text, err := json.Marshal(data) // one line, whatever is in it
	if err != nil {
		return err
	}
	return o.write(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", id, event, text))
}

func (o *stream) write(text string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.started {
		o.started = true
		o.w.Header().Set("Content-Type", "text/event-stream")
		o.w.Header().Set("Cache-Control", "no-store")
		o.w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events until it has 4 kB
		text = "retry: 2000\n\n" + text
	}
	if err := o.control.SetWriteDeadline(time.Now().Add(writeGrace)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := o.w.WriteString(text); err != nil {
		return err
	}
	return o.control.Flush()
}

func (o *stream) ping(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if o.write(": ping\n\n") != nil {
				return // the next event finds it out too
			}
		case <-ctx.Done():
			return
		}
	}
}
