package vmware

import (
	"context"
	"fmt"
	"image"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
	"github.com/boxkiln/boxkiln/internal/netx"
	"github.com/boxkiln/boxkiln/internal/rfb"
)

// Type plays the events through the machine's VNC server, and returns when that has taken the last one. A pace below DefaultKeyPace
// is raised to it.
func (m *Machine) Type(ctx context.Context, keys []hypervisor.KeyEvent, pace time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	conn, err := m.dial(ctx)
	if err != nil {
		return fmt.Errorf("type at %q: %w", m.Name, err)
	}
	defer conn.Close()
	k := keyboard{conn: conn, down: map[hypervisor.Key]uint32{}}
	for i, key := range keys {
		if i > 0 {
			if err := netx.Pause(ctx, max(pace, DefaultKeyPace)); err != nil {
				return err
			}
		}
		if err := k.press(ctx, key); err != nil {
			return fmt.Errorf("type at %q: event %d: %w", m.Name, i+1, err)
		}
	}
	if err := conn.Sync(ctx); err != nil {
		return fmt.Errorf("type at %q: %w", m.Name, err)
	}
	return nil
}

// keyboard turns key events into those of VNC, where a key is what it types: "A" and not "a" while shift is held.
type keyboard struct {
	conn *rfb.Conn
	down map[hypervisor.Key]uint32 // what was sent when the key went down: it comes up as the same
}

func (k keyboard) press(ctx context.Context, e hypervisor.KeyEvent) error {
	_, left := k.down["shift"]
	_, right := k.down["shift_r"]
	keysym, known := bootcmd.Keysym(e.Key, left || right)
	if !known {
		return fmt.Errorf("the key %q is not known", e.Key)
	}
	if e.Down {
		k.down[e.Key] = keysym
		return k.conn.Key(ctx, keysym, true)
	}
	if pressed, ok := k.down[e.Key]; ok {
		keysym = pressed
	}
	delete(k.down, e.Key)
	return k.conn.Key(ctx, keysym, false)
}

// Capture takes a picture of the screen.
func (m *Machine) Capture(ctx context.Context) (image.Image, error) {
	conn, err := m.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("take a picture of %q: %w", m.Name, err)
	}
	defer conn.Close()
	img, err := conn.Screen(ctx)
	if err != nil {
		return nil, fmt.Errorf("take a picture of %q: %w", m.Name, err)
	}
	return img, nil
}
