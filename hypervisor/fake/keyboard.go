package fake

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
)

// Type implements hypervisor.Keyboard. What is typed at a machine with nobody in it is lost.
func (m *Machine) Type(ctx context.Context, keys []hypervisor.KeyEvent, pace time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, k := range keys {
		if _, known := bootcmd.Scancode(k); !known {
			return fmt.Errorf("machine %q: there is no key %q", m.handle.Name, k.Key)
		}
	}
	if err := m.host.fault(fmt.Sprintf("type at machine %q", m.handle.Name), func(f *Faults) *int { return &f.Type }); err != nil {
		return err
	}
	for i, k := range keys {
		if i > 0 && pace > 0 {
			select {
			case <-m.host.opts.After(pace):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := m.press(k); err != nil {
			return err
		}
	}
	return m.flushTyped()
}

// press hands one event to the guest.
func (m *Machine) press(k hypervisor.KeyEvent) error {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return err
	}
	if r.State != hypervisor.Running {
		if !k.Down {
			return nil // the key before may have ended the machine, and its release comes too late to be missed
		}
		return fmt.Errorf("type at machine %q: the machine is %s", m.handle.Name, r.State)
	}
	if r.guest == nil {
		return nil
	}
	r.guest.keys.event(k, r)
	return nil
}

// flushTyped makes what was typed durable.
func (m *Machine) flushTyped() error {
	_, err := m.host.update(m.handle.Name, m.handle.UUID, func(*record) {})
	return err
}

// keyboard is the guest's side of the keys: it edits a line, as a boot loader does.
type keyboard struct {
	echo bootcmd.Echo
	ctrl bool
	line []rune
	urls chan string // of the lines that were submitted
}

// address is a URL in a boot command, as it ends for an installer: kernel arguments are separated by blanks.
var address = regexp.MustCompile(`https?://[^\s"']+`)

// event takes one key event. The caller holds the host's mu.
func (k *keyboard) event(ev hypervisor.KeyEvent, r *record) {
	if ev.Key == "ctrl" || ev.Key == "ctrl_r" {
		k.ctrl = ev.Down
	}
	submit := ev.Down && (ev.Key == "f10" || k.ctrl && ev.Key == "x") // GRUB's ways to boot an edited entry
	if c, typed := k.echo.Event(ev); typed && !submit {
		r.Typed += string(c)
		switch c {
		case '\n':
			submit = true
		case '\b':
			k.line = k.line[:max(0, len(k.line)-1)]
		default:
			k.line = append(k.line, c)
		}
	}
	if submit {
		k.submit()
	}
}

func (k *keyboard) submit() {
	for _, url := range address.FindAllString(string(k.line), -1) {
		select {
		case k.urls <- strings.TrimRight(url, `;,\`):
		default: // a guest that fetches nothing lets them go
		}
	}
	k.line = nil
}
