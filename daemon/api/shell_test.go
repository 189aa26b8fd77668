package api_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/provisioners"
)

// terminalFunc is a guest's terminal as a test wants it.
type terminalFunc func(ctx context.Context, t provisioners.TerminalRequest) (int, error)

func (f terminalFunc) Shell(ctx context.Context, t provisioners.TerminalRequest) (int, error) {
	return f(ctx, t)
}

func TestShellCarriesEverything(t *testing.T) {
	t.Parallel()
	k := seen(t)
	k.window.shell = terminalFunc(func(_ context.Context, r provisioners.TerminalRequest) (int, error) {
		fmt.Fprintf(r.Stdout, "%s %v %q\n", r.Term, r.Size, r.Command)
		lines := bufio.NewScanner(r.Stdin)
		for lines.Scan() {
			fmt.Fprintf(r.Stdout, "<%s>", lines.Text())
		}
		fmt.Fprint(r.Stderr, "\x00\xff")
		return 42, lines.Err()
	})
	var stdout, stderr bytes.Buffer
	exit, err := k.remote(t, k.token(t, auth.Write)).Shell(t.Context(), "b1", client.Shell{Term: "vt100", Size: wire.ShellSize{Rows: 3, Cols: 4},
		Command: "a & b", Stdin: strings.NewReader("one\ntwo\xff"), Stdout: &stdout, Stderr: &stderr})
	if want := "vt100 {3 4} \"a & b\"\n<one><two\xff>"; exit != 42 || err != nil || stdout.String() != want || stderr.String() != "\x00\xff" {
		t.Errorf("%d, %v, %q, %q", exit, err, &stdout, &stderr)
	}
}

func TestShellResizes(t *testing.T) {
	t.Parallel()
	k := seen(t)
	k.window.shell = terminalFunc(func(_ context.Context, r provisioners.TerminalRequest) (int, error) {
		size := <-r.Resize
		return size.Rows + size.Cols, nil
	})
	sizes := make(chan wire.ShellSize, 1)
	sizes <- wire.ShellSize{Rows: 50, Cols: 100_000}
	exit, err := k.local(t).Shell(t.Context(), "b1", client.Shell{Term: "vt100", Size: wire.ShellSize{Rows: 1, Cols: 1}, Resize: sizes})
	if exit != 1050 || err != nil {
		t.Errorf("%d, %v", exit, err)
	}
}

func TestShellFails(t *testing.T) {
	t.Parallel()
	k := seen(t)
	k.window.shell = terminalFunc(func(context.Context, provisioners.TerminalRequest) (int, error) {
		return 0, provisioners.ErrDisconnected
	})
	_, err := k.local(t).Shell(t.Context(), "b1", client.Shell{})
	var refused *wire.Error
	if !errors.As(err, &refused) || !strings.Contains(refused.Message, provisioners.ErrDisconnected.Error()) {
		t.Error(err)
	}
}

// A user who leaves, or sends nonsense, ends the shell.
func TestShellEndsWithItsUser(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(ctx context.Context, conn *websocket.Conn) error{
		"leaves": func(_ context.Context, conn *websocket.Conn) error { return conn.CloseNow() },
		"sends nonsense": func(ctx context.Context, conn *websocket.Conn) error {
			return conn.Write(ctx, websocket.MessageText, []byte("{"))
		},
		"sends too much": func(ctx context.Context, conn *websocket.Conn) error {
			return conn.Write(ctx, websocket.MessageBinary, make([]byte, 1<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := seen(t)
			ended := make(chan error, 1)
			k.window.shell = terminalFunc(func(ctx context.Context, r provisioners.TerminalRequest) (int, error) {
				fmt.Fprint(r.Stdout, "ready")
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return 0, context.Cause(ctx)
			})
			conn := k.dial(t, http.Header{"Authorization": {"Bearer " + k.token(t, auth.Write)}})
			if _, _, err := conn.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			_ = leave(t.Context(), conn)
			if err := <-ended; err == nil {
				t.Error("no cause")
			}
			conn.CloseNow()
		})
	}
}

func (k *kiln) dial(t *testing.T, header http.Header) *websocket.Conn {
	t.Helper()
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	conn, res, err := websocket.Dial(t.Context(), k.tcp.URL+"/v1/builds/b1/shell", &websocket.DialOptions{HTTPClient: hc, HTTPHeader: header})
	if err != nil {
		if res == nil {
			t.Fatal(err)
		}
		return nil
	}
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

// The page of another site must not open shells with the rights of who looks at it.
func TestShellRefusesOtherSites(t *testing.T) {
	t.Parallel()
	k := seen(t)
	k.window.shell = terminalFunc(func(context.Context, provisioners.TerminalRequest) (int, error) { return 0, nil })
	header := http.Header{"Authorization": {"Bearer " + k.token(t, auth.Write)}, "Origin": {"https://evil.example"}}
	if conn := k.dial(t, header); conn != nil {
		t.Error("it was let in")
	}
}

// A silent user is asked whether it is there.
func TestShellPings(t *testing.T) {
	t.Parallel()
	k := seen(t)
	k.server.KeepAlive = time.Millisecond
	k.window.shell = terminalFunc(func(ctx context.Context, r provisioners.TerminalRequest) (int, error) {
		_, err := io.Copy(io.Discard, r.Stdin)
		return 0, err
	})
	pinged := make(chan struct{}, 1)
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	conn, _, err := websocket.Dial(t.Context(), k.tcp.URL+"/v1/builds/b1/shell", &websocket.DialOptions{HTTPClient: hc,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + k.token(t, auth.Write)}},
		OnPingReceived: func(context.Context, []byte) bool {
			select {
			case pinged <- struct{}{}:
			default:
			}
			return true
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	go func() { _, _, _ = conn.Read(context.Background()) }()
	<-pinged
}
