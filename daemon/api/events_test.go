package api_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/eventlog"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// logged adds a build with an open log.
func (k *kiln) logged(t *testing.T, id build.ID) *eventlog.Writer {
	t.Helper()
	k.builds.mu.Lock()
	defer k.builds.mu.Unlock()
	k.builds.records = append(k.builds.records, build.Record{ID: id})
	w, err := k.builds.book.Open(k.builds.log(id))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func say(text string) build.Event { return build.Event{Kind: build.EventSay, Text: text} }

func TestEventsFromFirstToLast(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	w := k.logged(t, "b1")
	want := []string{"before anybody looked", "two\nlines: and a colon", "data: end", "event: end"}
	w.Emit(say(want[0]))
	next := 1
	var got []string
	err := k.local(t).Events(t.Context(), "b1", func(e build.Event) error { // the next event comes when the last was seen
		got = append(got, e.Text)
		if next < len(want) {
			w.Emit(say(want[next]))
			next++
			return nil
		}
		return w.Close()
	})
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestEventsByHand(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	w := k.logged(t, "b1")
	w.Emit(say("one"))
	w.Emit(say("two"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	token := k.token(t, auth.Read)
	res, whole := k.do(t, http.MethodGet, "/v1/builds/b1/events", token, "", nil)
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" || !strings.HasSuffix(whole, "\n\nevent: end\ndata: {}\n\n") {
		t.Errorf("%s: %s", got, whole)
	}
	first, rest, _ := strings.Cut(whole, "\n\n")
	id, _, _ := strings.Cut(strings.TrimPrefix(first, "id: "), "\n")
	if _, err := strconv.Atoi(id); err != nil {
		t.Fatalf("%q: %v", first, err)
	}
	_, byHeader := k.do(t, http.MethodGet, "/v1/builds/b1/events", token, "", http.Header{"Last-Event-Id": {id}})
	_, byQuery := k.do(t, http.MethodGet, "/v1/builds/b1/events?offset="+id, token, "", nil)
	_, both := k.do(t, http.MethodGet, "/v1/builds/b1/events?offset=0", token, "", http.Header{"Last-Event-Id": {id}})
	for name, got := range map[string]string{"Last-Event-ID": byHeader, "offset": byQuery, "both": both} {
		if got != rest {
			t.Errorf("%s: %q instead of %q", name, got, rest)
		}
	}
}

// brittle cuts each of the first connections after some bytes that the server wrote, in the middle of whatever it is.
type brittle struct {
	net.Listener
	after []int
	next  atomic.Int32
}

func (b *brittle) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if n := int(b.next.Add(1)) - 1; err == nil && n < len(b.after) {
		c = &cutConn{Conn: c, left: b.after[n]}
	}
	return c, err
}

type cutConn struct {
	net.Conn
	mu   sync.Mutex
	left int
}

func (c *cutConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) < c.left {
		c.left -= len(p)
		return c.Conn.Write(p)
	}
	_, err := c.Conn.Write(p[:c.left])
	c.left = 0
	return 0, errors.Join(net.ErrClosed, err, c.Close())
}

// A stream that breaks anywhere is taken up there: nothing is missed and nothing comes twice.
func TestBrokenStreamIsTakenUp(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	w := k.logged(t, "b1")
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprintf("%d %s", i, strings.Repeat("z", i)))
		w.Emit(say(want[i]))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := k.serveOn(t, &brittle{Listener: l, after: []int{400, 2003, 1, 5001}})
	var got []string
	err = connect(t, server.URL, k.token(t, auth.Read)).Events(t.Context(), "b1", func(e build.Event) error {
		got = append(got, e.Text)
		return nil
	})
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestEventsEndWithTheirReader(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	w := k.logged(t, "b1")
	defer w.Close()
	w.Emit(say("one"))
	c := k.local(t)
	enough := errors.New("enough")
	if err := c.Events(t.Context(), "b1", func(build.Event) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the callback ended it: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	err := c.Events(ctx, "b1", func(build.Event) error { cancel(build.ErrCanceled); return nil })
	if !errors.Is(err, build.ErrCanceled) {
		t.Errorf("the context ended it: %v", err)
	}
}

func TestEventsWhenTheDaemonDies(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	w := k.logged(t, "b1")
	defer w.Close()
	w.Emit(say("one"))
	server := k.serve(t, "tcp", "127.0.0.1:0")
	err := connect(t, server.URL, k.token(t, auth.Read)).Events(t.Context(), "b1", func(build.Event) error {
		server.Listener.Close()
		server.CloseClientConnections()
		return nil
	})
	if !errors.Is(err, client.ErrNoDaemon) {
		t.Error(err)
	}
}

// One reader more than there is room for is told to come again, and has room when another has left.
func TestReadersAreBounded(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.server.MaxFollowers = 2
	w := k.logged(t, "b1")
	w.Emit(say("one"))
	token := k.token(t, auth.Read)
	reading, closed := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		c := k.remote(t, token)
		all.Go(func() {
			if err := c.Events(t.Context(), "b1", func(build.Event) error { reading <- struct{}{}; <-closed; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	<-reading
	<-reading
	res, body := k.do(t, http.MethodGet, "/v1/builds/b1/events", token, "", nil)
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" || !strings.Contains(body, string(wire.CodeTooMany)) {
		t.Errorf("%s %v %s", res.Status, res.Header, body)
	}
	close(closed)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	if got := k.status(t, http.MethodGet, "/v1/builds/b1/events", token); got != http.StatusOK {
		t.Errorf("when the others had left: %d", got)
	}
}
