package virtualbox

import (
	"context"
	"encoding/hex"
	"fmt"
	"image"
	"image/png"
	"os"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// longestCall is how many scan codes one call takes. Packer has never tried more.
const longestCall = 25

// chunk is what one call types.
type chunk struct {
	codes  []string // hexadecimal
	events int
}

// chunks turns events into calls. The bytes of one key stay together.
func chunks(keys []hypervisor.KeyEvent) ([]chunk, error) {
	var all []chunk
	for i, key := range keys {
		scan, ok := bootcmd.Scancode(key)
		if !ok {
			return nil, fmt.Errorf("key %q (event %d): a PC keyboard has none of that name", key.Key, i+1)
		}
		if len(all) == 0 || len(all[len(all)-1].codes)+len(scan) > longestCall {
			all = append(all, chunk{})
		}
		last := &all[len(all)-1]
		for _, b := range scan {
			last.codes = append(last.codes, hex.EncodeToString([]byte{b}))
		}
		last.events++
	}
	return all, nil
}

// Type plays the events, as many in one call as VBoxManage takes: a process for each would be slower than any pace. Between
// calls passes the time that pace gives to all events of the last one; within one VirtualBox's keyboard hands the codes over
// as the guest reads them.
func (m *Machine) Type(ctx context.Context, keys []hypervisor.KeyEvent, pace time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	calls, err := chunks(keys)
	if err != nil {
		return err
	}
	pace = max(pace, DefaultKeyPace)
	for _, c := range calls {
		if _, err := m.driver.vbox.run(ctx, append([]string{"controlvm", m.uuid, "keyboardputscancode"}, c.codes...)...); err != nil {
			return err
		}
		if err := netx.Pause(ctx, max(pace*time.Duration(c.events), m.record.Settings.Run.GroupInterval)); err != nil {
			return err
		}
	}
	return nil
}

// Capture implements hypervisor.Screen.
func (m *Machine) Capture(ctx context.Context) (image.Image, error) {
	f, err := os.CreateTemp("", "boxkiln-screen-*.png")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := m.driver.vbox.run(ctx, "controlvm", m.uuid, "screenshotpng", f.Name()); err != nil {
		return nil, err
	}
	whole, err := os.Open(f.Name()) // VirtualBox may have put another file there
	if err != nil {
		return nil, err
	}
	defer whole.Close()
	img, err := png.Decode(whole)
	if err != nil {
		return nil, fmt.Errorf("the picture of machine %q: %w", m.record.Name, err)
	}
	return img, nil
}
