//go:build !nolibvirt

package libvirt

import (
	"context"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// qmp is a command of QEMU's machine protocol.
type qmp struct {
	Execute   string     `json:"execute"`
	Arguments sendEvents `json:"arguments"`
}

// The arguments of input-send-event (QEMU qapi/ui.json).
type sendEvents struct {
	Events []inputEvent `json:"events"`
}

type inputEvent struct {
	Type string  `json:"type"`
	Data keyData `json:"data"`
}

type keyData struct {
	Down bool     `json:"down"`
	Key  keyValue `json:"key"`
}

type keyValue struct {
	Type string         `json:"type"`
	Data hypervisor.Key `json:"data"`
}

func keyCommand(e hypervisor.KeyEvent) qmp {
	return qmp{Execute: "input-send-event", Arguments: sendEvents{Events: []inputEvent{{
		Type: "key", Data: keyData{Down: e.Down, Key: keyValue{Type: "qcode", Data: e.Key}},
	}}}}
}

// Type plays the events one monitor call at a time: QEMU's PS/2 keyboard keeps 16 bytes and drops what does not fit, so
// events must not come faster than the guest reads. virDomainSendKey will not do, it presses all keys of a call together
// and cannot hold one. A pace below DefaultKeyPace is raised to it.
func (m *Machine) Type(ctx context.Context, keys []hypervisor.KeyEvent, pace time.Duration) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	// A timer that starts when an event was accepted, not a ticker: after a slow call that would fire at once.
	pause := time.NewTimer(0)
	defer pause.Stop()
	// One look-up serves all events; the call ends with ctx, which the loop sees at its next event.
	return m.with(ctx, func(_ *libvirt.Connect, dom *libvirt.Domain) error {
		for i, key := range keys {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-pause.C:
			}
			if err := monitor(dom, keyCommand(key)); err != nil {
				return fmt.Errorf("key %q (event %d): %w", key.Key, i+1, err)
			}
			pause.Reset(max(pace, DefaultKeyPace))
		}
		return nil
	})
}
