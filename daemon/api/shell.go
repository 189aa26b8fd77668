package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/provisioners"
)

const (
	// maxShellMessage bounds one message of a shell's user, in bytes.
	maxShellMessage = 64 << 10
	// maxShellText bounds the name of a terminal and a command, in bytes.
	maxShellText = 32 << 10
	// maxSide bounds a terminal, in characters: guests make room for as many.
	maxSide = 1000
)

// shell connects a WebSocket with a shell in the guest. What cannot be is answered before the connection is one.
func (s *Server) shell(c *gin.Context) {
	req, err := shellRequest(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	terminal, err := s.Window.OpenShell(c.Request.Context(), build.ID(c.Param("id")))
	if err != nil {
		s.fail(c, err)
		return
	}
	leave, ok := s.enter(c)
	if !ok {
		return
	}
	defer leave()
	conn, err := websocket.Accept(c.Writer, c.Request, nil) // checks the Origin; answers what it refuses itself
	if err != nil {
		s.Log.Debug("no shell", "path", c.Request.URL.Path, "err", err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxShellMessage)
	line := &shellLine{conn: conn, every: cmp.Or(s.KeepAlive, defaultKeepAlive)}
	if err := line.run(c.Request.Context(), terminal, req); err != nil {
		s.Log.Debug("shell left", "path", c.Request.URL.Path, "err", err)
	}
}

// shellRequest reads ?term=xterm&rows=24&cols=80&command=...; without a term there is no terminal.
func shellRequest(c *gin.Context) (provisioners.TerminalRequest, error) {
	req := provisioners.TerminalRequest{Term: c.Query("term"), Command: c.Query("command")}
	if len(req.Term)+len(req.Command) > maxShellText {
		return req, wire.Errorf(wire.CodeTooLarge, "the command is longer than %d bytes: send it on the input of the shell", maxShellText)
	}
	var rowsErr, colsErr error
	req.Size.Rows, rowsErr = side(c.DefaultQuery("rows", "24"))
	req.Size.Cols, colsErr = side(c.DefaultQuery("cols", "80"))
	if err := errors.Join(rowsErr, colsErr); err != nil {
		return req, wire.Errorf(wire.CodeBadRequest, "the size of the terminal: %w", err)
	}
	return req, nil
}

func side(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxSide {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", text, maxSide)
	}
	return n, nil
}

// shellLine is the connection to the user of a shell.
type shellLine struct {
	conn  *websocket.Conn
	every time.Duration // between two pings
}

// run carries a shell from its start to its end and tells the user how it ended.
func (l *shellLine) run(ctx context.Context, terminal provisioners.Terminal, req provisioners.TerminalRequest) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	input, keys := io.Pipe()
	sizes := make(chan provisioners.Size, 1)
	req.Stdin, req.Resize = input, sizes
	req.Stdout = writerFunc(func(p []byte) error { return l.send(ctx, websocket.MessageBinary, p) })
	req.Stderr = writerFunc(func(p []byte) error { return l.tell(ctx, wire.ShellOutput{Stderr: p}) })
	var helpers sync.WaitGroup
	helpers.Go(func() { cancel(l.read(ctx, keys, sizes)) })
	helpers.Go(func() { l.ping(ctx, cancel) })

	exit, err := terminal.Shell(ctx, req)
	_ = input.Close() // nobody reads what is typed from now on
	if ctx.Err() == nil {
		last := wire.ShellOutput{Exit: &exit}
		if err != nil {
			last = wire.ShellOutput{Error: wire.Errorf(wire.CodeConflict, "the shell ended: %w", err)}
		}
		err = errors.Join(l.tell(ctx, last), l.conn.Close(websocket.StatusNormalClosure, ""))
	}
	cancel(nil)
	helpers.Wait()
	return err
}

// read takes what the user sends, until the connection ends.
func (l *shellLine) read(ctx context.Context, keys *io.PipeWriter, sizes chan provisioners.Size) error {
	defer keys.Close()
	for {
		kind, data, err := l.conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("the user of the shell is gone: %w", err)
		}
		if kind == websocket.MessageBinary {
			_, _ = keys.Write(data) // fails when nobody reads: the shell is ending
			continue
		}
		var m wire.ShellInput
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("a message of the shell's user: %w", err)
		}
		if m.EOF {
			_ = keys.Close() // never fails
		}
		if m.Resize != nil && m.Resize.Rows > 0 && m.Resize.Cols > 0 {
			resize(sizes, provisioners.Size{Rows: min(m.Resize.Rows, maxSide), Cols: min(m.Resize.Cols, maxSide)})
		}
	}
}

// resize leaves the newest size in the channel.
func resize(sizes chan provisioners.Size, size provisioners.Size) {
	select {
	case <-sizes:
	default:
	}
	sizes <- size // has room: nobody else sends
}

// ping finds out that a silent user is gone.
func (l *shellLine) ping(ctx context.Context, gone context.CancelCauseFunc) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		pong, cancel := context.WithTimeout(ctx, writeGrace)
		err := l.conn.Ping(pong)
		cancel()
		if err != nil {
			gone(fmt.Errorf("the user of the shell does not answer: %w", err))
			return
		}
	}
}

func (l *shellLine) tell(ctx context.Context, m wire.ShellOutput) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return l.send(ctx, websocket.MessageText, data)
}

func (l *shellLine) send(ctx context.Context, kind websocket.MessageType, p []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeGrace)
	defer cancel()
	return l.conn.Write(ctx, kind, p)
}

// writerFunc makes a writer of a function that takes all or fails.
type writerFunc func(p []byte) error

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) {
	if err := f(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
