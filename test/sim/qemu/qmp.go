package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// ErrNotRunning is the error of [Connect] when there is no machine to speak to.
var ErrNotRunning = errors.New("the machine is not running")

// Guest is a connection to a running machine. QEMU speaks with one at a time: others wait in [Connect].
type Guest struct {
	dir  string
	conn net.Conn
	in   *bufio.Scanner
}

// qmpError is QEMU's refusal of a command.
type qmpError struct{ Class, Desc string }

func (e *qmpError) Error() string { return e.Desc }

// Connect opens the monitor of the machine in dir. Its caller closes it soon.
func Connect(ctx context.Context, dir string) (*Guest, error) {
	status, err := Look(dir)
	if err != nil {
		return nil, err
	}
	if !status.State.Alive() {
		return nil, ErrNotRunning
	}
	// The path of a socket has at most 107 bytes, that of a directory may have more.
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), qmpSocket))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	g := &Guest{dir: dir, conn: conn, in: bufio.NewScanner(conn)}
	if err := g.run(ctx, "qmp_capabilities", nil, nil); err != nil {
		conn.Close()
		return nil, err
	}
	return g, nil
}

// Close ends the connection, not the machine.
func (g *Guest) Close() error { return g.conn.Close() }

// run gives a command and reads its answer into result, unless that is nil. Events on the way are passed over.
func (g *Guest) run(ctx context.Context, command string, arguments map[string]any, result any) error {
	stop := context.AfterFunc(ctx, func() { g.conn.Close() })
	defer stop()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(g.conn).Encode(request); err != nil {
		return fmt.Errorf("%s: %w", command, errors.Join(ctx.Err(), err))
	}
	for g.in.Scan() {
		var m struct {
			Return json.RawMessage
			Error  *qmpError
		}
		if err := json.Unmarshal(g.in.Bytes(), &m); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		if m.Error != nil {
			return fmt.Errorf("%s: %w", command, m.Error)
		}
		if m.Return != nil {
			if result == nil {
				return nil
			}
			return json.Unmarshal(m.Return, result)
		}
	}
	return fmt.Errorf("%s: %w", command, errors.Join(ctx.Err(), g.in.Err(), io.ErrUnexpectedEOF))
}
