package web

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// sse is a reader of server-sent events.
type sse struct {
	t    *testing.T
	body *bufio.Reader
	stop func()
}

type event struct{ id, name, data string }

func follow(t *testing.T, url string, header http.Header) sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	transport := &http.Transport{}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" || answer.Header.Get("Content-Security-Policy") == "" {
		t.Fatalf("%d %v", answer.StatusCode, answer.Header)
	}
	return sse{t, bufio.NewReader(answer.Body), func() {
		cancel()
		answer.Body.Close()
		transport.CloseIdleConnections()
	}}
}

// next returns the next event; at the end of the stream its name is "gone".
func (s sse) next() event {
	s.t.Helper()
	var e event
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			return event{name: "gone"}
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n" && e != event{}:
			return e
		case name == "id":
			e.id = value
		case name == "event":
			e.name = value
		case name == "data":
			e.data = value
		}
	}
}

func TestEventsGoOnFromAnyPlace(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	server := serve(t, b).URL
	all := follow(t, server+"/builds/b7/events", nil)
	defer all.stop()
	want := []event{
		{"64", "change", `{"state":"running"}`}, {"128", "line", `{"at":"12:00:00","kind":"say","text":"==\u003e Waiting for SSH ..."}`},
		{"192", "line", `{"at":"12:00:00","kind":"message","text":"connected"}`}, {"256", "line", `{"at":"12:00:00","kind":"message","text":"100%"}`},
		{"320", "progress", `{"text":"debian.iso","done":1,"total":2,"said":"1 B of 2 B"}`},
		{"384", "line", `{"at":"12:00:00","kind":"seed","text":"seed: GET /preseed.cfg: 200"}`}, {"384", "change", `{}`},
	}
	for i, w := range want {
		if got := all.next(); got != w {
			t.Errorf("event %d is %+v, want %+v", i, got, w)
		}
	}
	for name, from := range map[string]sse{
		"?offset=":      follow(t, server+"/builds/b7/events?offset=448", nil),
		"Last-Event-ID": follow(t, server+"/builds/b7/events?offset=0", http.Header{"Last-Event-Id": {"448"}}),
	} {
		defer from.stop()
		if got := from.next(); got.id != "512" || !strings.Contains(got.data, "Setting up openssh-server") {
			t.Errorf("%s goes on with %+v", name, got)
		}
	}
	at := follow(t, server+"/builds/b7/events?offset=512", nil)
	defer at.stop()
	b.builds.tell("b7", msg("later"))
	if got := at.next(); got.id != "576" || !strings.Contains(got.data, "later") {
		t.Errorf("what is said later comes as %+v", got)
	}
	b.builds.alter("b7", func(x *Build) { x.State = build.Succeeded })
	if got := []event{at.next(), at.next(), at.next()}; got[0].name != "change" || got[1].name != "end" || got[2].name != "gone" {
		t.Errorf("the end is %+v", got)
	}
}

func TestStreamsRefuse(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	for _, path := range []string{"/builds/b7/events", "/builds/b7/serial"} {
		for _, offset := range []string{"-1", "x", "1e3", "99999999999999999999"} {
			if w := b.get(path + "?offset=" + offset); w.Code != http.StatusBadRequest {
				t.Errorf("%s from %s: %d", path, offset, w.Code)
			}
		}
	}
	b.site.readers.Store(maxReaders)
	for _, path := range []string{"/builds/b7/events", "/builds/b7/serial", "/builds/b7/screen"} {
		if w := b.get(path); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s when there is no room: %d", path, w.Code)
		}
	}
	if n := b.site.readers.Load(); n != maxReaders {
		t.Errorf("%d readers are counted", n)
	}
}

// A reader that takes nothing holds up neither the build nor other readers.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	server := serve(t, b).URL
	slow := follow(t, server+"/builds/b7/events", nil)
	defer slow.stop()
	long := strings.Repeat("x", 60<<10)
	for range 400 { // more than the kernel keeps for a connection
		b.builds.tell("b7", msg(long))
	}
	b.builds.tell("b7", msg("the end"))
	quick := follow(t, fmt.Sprintf("%s/builds/b7/events?offset=%d", server, (len(sampleLog())+400)*entrySize), nil)
	defer quick.stop()
	if got := quick.next(); !strings.Contains(got.data, "the end") {
		t.Errorf("another reader sees %+v", got)
	}
}

func TestSerialConsole(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	server := serve(t, b).URL
	from := follow(t, fmt.Sprintf("%s/builds/b7/serial?offset=%d", server, len(sampleSerial)), nil)
	defer from.stop()
	b.window.print("\x1b[32mlogin:")
	if got := from.next(); got.name != "console" || got.data != `{"text":"login:"}` || got.id != fmt.Sprint(len(sampleSerial)+11) {
		t.Errorf("got %+v", got)
	}
	b.window.mu.Lock()
	b.window.gone = true
	b.window.changed.Broadcast()
	b.window.mu.Unlock()
	if got := from.next(); got.name != "end" {
		t.Errorf("at the end comes %+v", got)
	}
	b.window.err = ErrNothing
	none := follow(t, server+"/builds/b7/serial", nil) // a machine without one: the browser comes again
	defer none.stop()
	if got := none.next(); got.name != "gone" {
		t.Errorf("without a serial port comes %+v", got)
	}
}

func TestScreen(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	ask := func(ctx context.Context, path, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
		r.Header.Set("If-None-Match", tag)
		return b.do(r)
	}
	for _, path := range []string{"/builds/b7/screen.png", "/builds/b7/screen"} {
		w := ask(t.Context(), path, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/png" || w.Header().Get("Boxkiln-Screen") != "live" || w.Body.Len() != len(b.window.frame.PNG) {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	tag := tagOf(b.window.frame)
	if w := ask(t.Context(), "/builds/b7/screen.png", tag); w.Code != http.StatusNotModified {
		t.Errorf("the same picture again: %d", w.Code)
	}
	next := make(chan *httptest.ResponseRecorder)
	go func() { next <- ask(t.Context(), "/builds/b7/screen", tag) }()
	b.window.until(t, func() bool { return b.window.watches > 0 })
	b.window.show(screenPicture(t, 5))
	if w := <-next; w.Code != http.StatusOK || w.Header().Get("ETag") == tag {
		t.Errorf("the next picture: %d %v", w.Code, w.Header())
	}
	gone, cancel := context.WithCancel(t.Context())
	go func() { next <- ask(gone, "/builds/b7/screen", tagOf(b.window.frame)) }()
	b.window.until(t, func() bool { return b.window.watches > 0 })
	cancel() // who goes away ends the watch
	<-next
	b.window.gone = true
	if w := ask(t.Context(), "/builds/b7/screen", tag); w.Code != http.StatusNoContent {
		t.Errorf("without a machine: %d", w.Code)
	}
}
