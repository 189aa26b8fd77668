package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/coder/websocket"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// Shell is what to run in a guest, and where its input and output go.
type Shell struct {
	// Term is the kind of the user's terminal; empty to run without one.
	Term    string
	Size    wire.ShellSize
	Resize  <-chan wire.ShellSize // may be nil
	Command string                // empty for the login shell
	// Stdin may be nil. A read from it that is under way when the shell ends is left behind.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// maxShellMessage bounds one message of the daemon, in bytes.
const maxShellMessage = 4 << 20

// Shell runs a shell or a command in the guest of a running build and returns its exit status.
func (c *Client) Shell(ctx context.Context, id build.ID, sh Shell) (exit int, err error) {
	conn, err := c.dialShell(ctx, id, sh)
	if err != nil {
		return 0, err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxShellMessage)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if sh.Stdin != nil {
		go func() { // ends with its reader, which may be a terminal that nobody types at any more
			if err := feedShell(ctx, conn, sh.Stdin); err != nil {
				cancel(err)
			}
		}()
	}
	go resizeShell(ctx, conn, sh.Resize)
	exit, err = readShell(ctx, conn, sh)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		_ = conn.Close(websocket.StatusNormalClosure, "") // everything was said
	}
	return exit, err
}

func (c *Client) dialShell(ctx context.Context, id build.ID, sh Shell) (*websocket.Conn, error) {
	q := url.Values{"command": {sh.Command}}
	if sh.Term != "" {
		q.Set("term", sh.Term)
		q.Set("rows", strconv.Itoa(sh.Size.Rows))
		q.Set("cols", strconv.Itoa(sh.Size.Cols))
	}
	header := http.Header{}
	if c.token != "" {
		header.Set("Authorization", "Bearer "+c.token)
	}
	conn, res, err := websocket.Dial(ctx, c.base.String()+buildPath(id, "/shell?"+q.Encode()), &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header})
	if err == nil {
		return conn, nil
	}
	if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
		return nil, replyError(res)
	}
	return nil, c.dialError(err)
}

// feedShell sends input until it ends.
func feedShell(ctx context.Context, conn *websocket.Conn, in io.Reader) error {
	buf := make([]byte, 16<<10)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if err := conn.Write(ctx, websocket.MessageBinary, buf[:n]); err != nil {
				return nil // the reader of the output says why
			}
		}
		if errors.Is(err, io.EOF) {
			_ = tellShell(ctx, conn, wire.ShellInput{EOF: true}) // as above
			return nil
		}
		if err != nil {
			return fmt.Errorf("input of the shell: %w", err)
		}
	}
}

func resizeShell(ctx context.Context, conn *websocket.Conn, sizes <-chan wire.ShellSize) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok || tellShell(ctx, conn, wire.ShellInput{Resize: &size}) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func tellShell(ctx context.Context, conn *websocket.Conn, m wire.ShellInput) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, data)
}

// readShell copies output until the message that says how the shell ended.
func readShell(ctx context.Context, conn *websocket.Conn, sh Shell) (exit int, err error) {
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			return 0, fmt.Errorf("the daemon hung up: %w", err)
		}
		if kind == websocket.MessageBinary {
			if _, err := sh.Stdout.Write(data); err != nil {
				return 0, err
			}
			continue
		}
		var m wire.ShellOutput
		if err := json.Unmarshal(data, &m); err != nil {
			return 0, fmt.Errorf("bad message of the shell: %w", err)
		}
		switch {
		case m.Error != nil:
			return 0, m.Error
		case m.Exit != nil:
			return *m.Exit, nil
		}
		if _, err := sh.Stderr.Write(m.Stderr); err != nil {
			return 0, err
		}
	}
}
