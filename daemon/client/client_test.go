package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

// The tests of the whole conversation are in package api; here are the strangers that a client may meet.

func TestMain(m *testing.M) { leaktest.Main(m) }

func none(build.Event) error { return nil }

func meet(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := client.Remote(s.URL+"/", "token")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRemoteWantsAURL(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "kiln", "kiln.example.org:8420", "ftp://kiln", "http://", "/run/daemon.sock", "http://[::1"} {
		if _, err := client.Remote(bad, ""); err == nil || !strings.Contains(err.Error(), "https://") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	remote, err := client.Remote(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "daemon.sock")
	for where, c := range map[string]*client.Client{s.URL: remote, path: client.Socket(path)} {
		defer c.Close()
		if _, err := c.Info(t.Context()); !errors.Is(err, client.ErrNoDaemon) || !strings.Contains(err.Error(), where) {
			t.Error(err)
		}
		if err := c.Events(t.Context(), "b", none); !errors.Is(err, client.ErrNoDaemon) {
			t.Error(err)
		}
	}
}

// Another server is not asked again and again.
func TestAnotherServer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	for _, body := range []string{"<html>not found</html>", `{"error": null}`, `{"message": "no"}`, strings.Repeat("x", 2<<20)} {
		c := meet(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, body)
		})
		if err := c.Events(t.Context(), "b", none); err == nil || !strings.Contains(err.Error(), "is it a Boxkiln daemon?") {
			t.Error(err)
		}
	}
	if n := asked.Load(); n != 4 {
		t.Errorf("asked %d times", n)
	}
}

// A proxy whose daemon is away for a moment is asked again.
func TestProxyWithoutItsDaemon(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c := meet(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			http.Error(w, "bad gateway", http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, "event: end\ndata: {}\n\n")
	})
	if err := c.Events(t.Context(), "b", none); err != nil || asked.Load() != 2 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
}

// Events that a daemon would never send end the stream with an error instead of a loop.
func TestBadEvents(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"id: one\ndata: {}\n\n", "data: {}\n\n", "id: 1\ndata: {\n\n", "id: 1\ndata: []\n\n"} {
		c := meet(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, stream) })
		if err := c.Events(t.Context(), "b", none); err == nil || !strings.Contains(err.Error(), "bad event") {
			t.Errorf("%q: %v", stream, err)
		}
	}
}

// Comments and unknown fields of the stream mean nothing, and the token goes along.
func TestEventStreamIsReadAsTheStandardSays(t *testing.T) {
	t.Parallel()
	c := meet(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token" || r.Header.Get("Last-Event-ID") != "0" {
			t.Errorf("%v", r.Header)
		}
		_, _ = io.WriteString(w, ": hello\n\nretry: 5\nid: 9\ndata: {\"text\":\"one\"}\nother: x\n\n: bye\n\nevent: end\ndata: {}\n\n")
	})
	var got []string
	err := c.Events(t.Context(), "b", func(e build.Event) error { got = append(got, e.Text); return nil })
	if err != nil || strings.Join(got, " ") != "one" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestErrorOfTheAPI(t *testing.T) {
	t.Parallel()
	c := meet(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"error":{"code":"over_budget","message":"needs 9 GiB"}}`)
	})
	_, err := c.Submit(t.Context(), wire.SubmitRequest{})
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != wire.CodeOverBudget || err.Error() != "needs 9 GiB" {
		t.Error(err)
	}
}
