package qemu

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Key is one change of a key, by its number in PC-XT scan code set 1; keys with the prefix e0 have 0x80 added to it.
type Key struct {
	Code int
	Down bool
}

// KeyPause is how long [Guest.Keys] waits after every event, for the guest to do something about it.
const KeyPause = 5 * time.Millisecond

// keyPatience is how long a guest may leave a key in the keyboard's controller before it is taken for one that reads no keys.
const keyPatience = 2 * time.Second

// PowerButton presses it; what follows is up to the guest.
func (g *Guest) PowerButton(ctx context.Context) error {
	return g.run(ctx, "system_powerdown", nil, nil)
}

// Reset presses the reset button.
func (g *Guest) Reset(ctx context.Context) error { return g.run(ctx, "system_reset", nil, nil) }

// Pause stops the processors.
func (g *Guest) Pause(ctx context.Context) error { return g.run(ctx, "stop", nil, nil) }

// Resume lets them go on.
func (g *Guest) Resume(ctx context.Context) error { return g.run(ctx, "cont", nil, nil) }

// Quit pulls the plug, and returns when the machine's state is Off.
func (g *Guest) Quit(ctx context.Context) error {
	if err := g.run(ctx, "quit", nil, nil); err != nil {
		return err
	}
	return WaitEnd(ctx, g.dir)
}

// Screenshot writes the screen to a PNG file, whose path is absolute.
func (g *Guest) Screenshot(ctx context.Context, path string) error {
	return g.run(ctx, "screendump", map[string]any{"filename": path, "format": "png"}, nil)
}

// Keys presses and releases keys. A PS/2 keyboard remembers 16 bytes, which a guest may be long in reading where it shares its
// processor: the next key waits until the last one was taken. Those that are left when a key makes the machine end are dropped.
func (g *Guest) Keys(ctx context.Context, keys []Key) error {
	reads, pressed := true, false
	for _, k := range keys {
		event := map[string]any{"type": "key", "data": map[string]any{
			"down": k.Down, "key": map[string]any{"type": "number", "data": k.Code},
		}}
		err := g.run(ctx, "input-send-event", map[string]any{"events": []any{event}}, nil)
		if err == nil {
			pressed = true
			err = pause(ctx, KeyPause)
		}
		if err == nil && reads {
			reads, err = g.keyTaken(ctx)
		}
		if err != nil && pressed && ctx.Err() == nil && isEnding(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// keyTaken waits until the guest has read all keys: bit 0 of the keyboard controller's status (port 0x64 of the 8042) is clear
// then. It is false for a guest that does not.
func (g *Guest) keyTaken(ctx context.Context) (bool, error) {
	for deadline := time.Now().Add(keyPatience); time.Now().Before(deadline); {
		var answer string
		if err := g.run(ctx, "human-monitor-command", map[string]any{"command-line": "i /b 0x64"}, &answer); err != nil {
			return false, err
		}
		_, value, found := strings.Cut(answer, "= ")
		status, err := strconv.ParseUint(strings.TrimSpace(value), 0, 8)
		if !found || err != nil {
			return false, fmt.Errorf("QEMU says %q about port 0x64", answer)
		}
		if status&1 == 0 {
			return true, nil
		}
		if err := pause(ctx, pollEvery); err != nil {
			return false, err
		}
	}
	return false, nil
}

// isEnding tells if a command failed because the machine is about to be gone, or is.
func isEnding(err error) bool {
	refused := (*qmpError)(nil)
	return !errors.As(err, &refused) || refused.Desc == "VM not running"
}

// ChangeMedium puts a raw image into the CD or floppy drive with that ID, or empties it if path is empty. A guest that has
// locked its drive is not asked.
func (g *Guest) ChangeMedium(ctx context.Context, drive, path string) error {
	if path == "" {
		return g.run(ctx, "eject", map[string]any{"id": drive, "force": true}, nil)
	}
	return g.run(ctx, "blockdev-change-medium", map[string]any{"id": drive, "filename": path, "format": "raw", "force": true}, nil)
}

// AddForward opens a port of the host to a card's network, the first being 0.
func (g *Guest) AddForward(ctx context.Context, nic int, f Forward) error {
	return g.forward(ctx, fmt.Sprintf("hostfwd_add net%d %s", nic, f.rule()))
}

// RemoveForward closes it again; connections that are open stay.
func (g *Guest) RemoveForward(ctx context.Context, nic int, f Forward) error {
	return g.forward(ctx, fmt.Sprintf("hostfwd_remove net%d %s", nic, f.from()))
}

// forward gives a command of the monitor for people, which answers with nothing, or a sentence about what it did or could not.
func (g *Guest) forward(ctx context.Context, line string) error {
	var answer string
	if err := g.run(ctx, "human-monitor-command", map[string]any{"command-line": line}, &answer); err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "" && !strings.HasSuffix(answer, "removed") {
		return fmt.Errorf("%s: %s", line, answer)
	}
	return nil
}

// Link plugs the cable of a card in or out.
func (g *Guest) Link(ctx context.Context, nic int, up bool) error {
	return g.run(ctx, "set_link", map[string]any{"name": fmt.Sprintf("nic%d", nic), "up": up}, nil)
}

// SetVNCPassword gives viewers another password.
func (g *Guest) SetVNCPassword(ctx context.Context, password string) error {
	return g.run(ctx, "set_password", map[string]any{"protocol": "vnc", "password": password}, nil)
}
