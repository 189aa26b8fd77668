package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/window"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/provisioners"
)

// glass is a window behind which tests put what is to be seen.
type glass struct {
	builds *builds

	mu      sync.Mutex
	frames  []window.Frame
	serial  []byte
	endless bool // streams stay open when all was told
	fail    error
	typed   map[build.ID]string
	shell   provisioners.Terminal
}

func (g *glass) check(ctx context.Context, id build.ID) error {
	if _, err := g.builds.Get(ctx, id); err != nil {
		return err
	}
	return g.fail
}

func (g *glass) Screen(ctx context.Context, id build.ID) (window.Frame, error) {
	if err := g.check(ctx, id); err != nil {
		return window.Frame{}, err
	}
	return g.frames[len(g.frames)-1], nil
}

func (g *glass) WatchScreen(ctx context.Context, id build.ID, fn func(window.Frame) error) error {
	if err := g.check(ctx, id); err != nil {
		return err
	}
	for _, f := range g.frames {
		if err := fn(f); err != nil {
			return err
		}
	}
	return g.stay(ctx)
}

func (g *glass) stay(ctx context.Context) error {
	if g.endless {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return nil
}

func (g *glass) ReadSerial(ctx context.Context, id build.ID, offset int64, fn func(int64, []byte) error) error {
	if err := g.check(ctx, id); err != nil {
		return err
	}
	if offset < 0 {
		offset = max(0, offset+int64(len(g.serial)))
	}
	for at := int(offset); at < len(g.serial); at++ {
		if err := fn(int64(at+1), g.serial[at:at+1]); err != nil {
			return err
		}
	}
	return nil
}

func (g *glass) FollowSerial(ctx context.Context, id build.ID, offset int64, fn func(int64, []byte) error) error {
	if err := g.ReadSerial(ctx, id, offset, fn); err != nil {
		return err
	}
	return g.stay(ctx)
}

func (g *glass) Timeline(ctx context.Context, id build.ID) ([]build.Moment, error) {
	if err := g.check(ctx, id); err != nil {
		return nil, err
	}
	return []build.Moment{{Kind: build.EventSeed, Name: "GET /ks.cfg", Status: 200, Size: 18, Attempt: 1}}, nil
}

func (g *glass) Type(ctx context.Context, id build.ID, text string) (int, error) {
	if err := g.check(ctx, id); err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.typed[id] += text
	return 2 * len(text), nil
}

func (g *glass) OpenShell(ctx context.Context, id build.ID) (provisioners.Terminal, error) {
	if err := g.check(ctx, id); err != nil {
		return nil, err
	}
	return g.shell, nil
}

// seen is a kiln with a build b1.
func seen(t *testing.T) *kiln {
	t.Helper()
	k := newKiln(t)
	k.builds.records = append(k.builds.records, build.Record{ID: "b1"})
	k.window.frames = []window.Frame{
		{PNG: []byte("\x89PNG one\r\n--boxkiln-frame"), At: time.Unix(1, 0), Live: true},
		{PNG: bytes.Repeat([]byte("two"), 100_000), At: time.Unix(2, 0), Live: true},
		{PNG: []byte("three"), At: time.Unix(3, 0)},
	}
	k.window.serial = []byte("boot\r\n\x1b[1mlogin\x00: \xff")
	return k
}

func TestScreen(t *testing.T) {
	t.Parallel()
	k := seen(t)
	c := k.remote(t, k.token(t, auth.Read))
	f, err := c.Screen(t.Context(), "b1")
	if err != nil || string(f.PNG) != "three" || f.Live {
		t.Errorf("%+v, %v", f, err)
	}
	res, _ := k.do(t, http.MethodGet, "/v1/builds/b1/screen", k.token(t, auth.Read), "", nil)
	if res.Header.Get("Content-Type") != "image/png" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", res.Header)
	}
	var got []client.Frame
	err = c.WatchScreen(t.Context(), "b1", func(f client.Frame) error { got = append(got, f); return nil })
	var want []client.Frame
	for _, f := range k.window.frames {
		want = append(want, client.Frame{PNG: f.PNG, Live: f.Live})
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestSerial(t *testing.T) {
	t.Parallel()
	k := seen(t)
	c := k.remote(t, k.token(t, auth.Read))
	for offset, want := range map[int64]string{0: string(k.window.serial), 6: string(k.window.serial[6:]), -2: " \xff", 1000: ""} {
		var whole, live bytes.Buffer
		if err := c.ReadSerial(t.Context(), "b1", offset, &whole); err != nil || whole.String() != want {
			t.Errorf("from %d: %q, %v", offset, &whole, err)
		}
		err := c.FollowSerial(t.Context(), "b1", offset, func(_ int64, chunk []byte) error { live.Write(chunk); return nil })
		if err != nil || live.String() != want {
			t.Errorf("following from %d: %q, %v", offset, &live, err)
		}
	}
	_, byHeader := k.do(t, http.MethodGet, "/v1/builds/b1/serial?live=1", k.token(t, auth.Read), "", http.Header{"Last-Event-Id": {"18"}})
	if byHeader != "id: 19\ndata: /w==\n\nevent: end\ndata: {}\n\n" {
		t.Errorf("%q", byHeader)
	}
}

func TestTimelineAndKeys(t *testing.T) {
	t.Parallel()
	k := seen(t)
	c := k.remote(t, k.token(t, auth.Write))
	moments, err := c.Timeline(t.Context(), "b1")
	if err != nil || len(moments) != 1 || moments[0].Name != "GET /ks.cfg" || moments[0].Size != 18 {
		t.Errorf("%+v, %v", moments, err)
	}
	n, err := c.Type(t.Context(), "b1", "hi<enter>")
	if err != nil || n != 18 || k.window.typed["b1"] != "hi<enter>" {
		t.Errorf("%d, %v, %v", n, err, k.window.typed)
	}
}

// What the window refuses reaches the client as it is, whether a stream has begun or not.
func TestWindowRefuses(t *testing.T) {
	t.Parallel()
	k := seen(t)
	c := k.remote(t, k.token(t, auth.Write))
	calls := map[string]func(id build.ID) error{
		"screen":   func(id build.ID) error { _, err := c.Screen(t.Context(), id); return err },
		"watch":    func(id build.ID) error { return c.WatchScreen(t.Context(), id, nil) },
		"serial":   func(id build.ID) error { return c.ReadSerial(t.Context(), id, 0, io.Discard) },
		"follow":   func(id build.ID) error { return c.FollowSerial(t.Context(), id, 0, nil) },
		"timeline": func(id build.ID) error { _, err := c.Timeline(t.Context(), id); return err },
		"keys":     func(id build.ID) error { _, err := c.Type(t.Context(), id, "x"); return err },
		"shell":    func(id build.ID) error { _, err := c.Shell(t.Context(), id, client.Shell{}); return err },
	}
	wants := func(id build.ID, code wire.Code, text string) {
		t.Helper()
		for name, call := range calls {
			var refused *wire.Error
			err := call(id)
			if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Message, text) {
				t.Errorf("%s of %s: %v", name, id, err)
			}
		}
	}
	wants("nobody", wire.CodeNotFound, "no such build")
	k.window.fail = wire.Errorf(wire.CodeConflict, "the machine is gone")
	wants("b1", wire.CodeConflict, "the machine is gone")
	k.window.fail = errors.New("the password is hunter2")
	wants("b1", wire.CodeInternal, "internal error")
}

func TestWindowBadRequests(t *testing.T) {
	t.Parallel()
	k := seen(t)
	token := k.token(t, auth.Write)
	for _, path := range []string{"screen?live=maybe", "serial?live=2", "serial?offset=x", "shell?rows=0", "shell?cols=x", "shell?rows=5000"} {
		if status := k.status(t, http.MethodGet, "/v1/builds/b1/"+path, token); status != http.StatusBadRequest {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status := k.status(t, http.MethodGet, "/v1/builds/b1/shell?command="+strings.Repeat("x", 40_000), token); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a long command: %d", status)
	}
}

// A quiet stream shows that it lives, and a picture is shown again.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	k := seen(t)
	k.server.KeepAlive = time.Millisecond
	k.window.endless = true
	k.window.frames = k.window.frames[:1]
	w := k.logged(t, "b2")
	defer w.Close()
	for path, want := range map[string]string{
		"b2/events": ": keep-alive\n\n: keep-alive\n\n", "b1/serial?live=1&offset=1000": ": keep-alive\n\n: keep-alive\n\n",
		"b1/screen?live=1": "Live: true\r\n\r\n\x89PNG one\r\n--boxkiln-frame\r\n--boxkiln-frame\r\nContent-Type: image/png\r\n",
	} {
		k.streams(t, "/v1/builds/"+path, want)
	}
}

// streams reads an answer without end until it has said want.
func (k *kiln) streams(t *testing.T, path, want string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.tcp.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+k.token(t, auth.Read))
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var text []byte
	for part := make([]byte, 512); !bytes.Contains(text, []byte(want)); {
		n, err := res.Body.Read(part)
		text = append(text, part[:n]...)
		if err != nil {
			t.Fatalf("%s: %v after %q", path, err, text)
		}
	}
}
