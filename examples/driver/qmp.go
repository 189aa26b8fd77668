package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// execute runs a command of QEMU's machine protocol (qemu docs/interop/qmp-spec) on a connection of its own, and decodes what it
// returns into reply, unless that is nil. QEMU talks to one client at a time; the next one waits.
func execute(ctx context.Context, h hypervisor.Handle, command string, arguments, reply any) error {
	err := converse(ctx, h, command, arguments, reply)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("machine %q: %s: %w", h.Name, command, err)
	}
	return nil
}

func converse(ctx context.Context, h hypervisor.Handle, command string, arguments, reply any) error {
	dir, err := os.Open(h.Dir) // the path of the socket may be longer than a socket's address can be
	if err != nil {
		return err
	}
	defer dir.Close()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), qmpSocket))
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // ends what waits for an answer
	defer stop()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	var greeting json.RawMessage
	if err := in.Decode(&greeting); err != nil {
		return err
	}
	for _, c := range []call{{"qmp_capabilities", nil}, {command, arguments}} {
		if err := out.Encode(c); err != nil {
			return err
		}
		if err := answer(in, c, reply); err != nil {
			return err
		}
	}
	return nil
}

type call struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
}

// answer reads the answer to c; events come in between.
func answer(in *json.Decoder, c call, reply any) error {
	for {
		var message struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := in.Decode(&message); err != nil {
			return err
		}
		switch {
		case message.Error != nil:
			return errors.New(message.Error.Desc)
		case message.Return != nil && reply != nil && c.Execute != "qmp_capabilities":
			return json.Unmarshal(message.Return, reply)
		case message.Return != nil:
			return nil
		}
	}
}
