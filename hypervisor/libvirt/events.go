//go:build !nolibvirt

package libvirt

import (
	"sync"

	"libvirt.org/go/libvirt"
)

// listeners are told when the state of a domain may have changed. A connection has one callback for all of them: libvirt
// refuses to take a function for the same domain twice, so that only the first who waits for a machine would hear of it. The zero
// value is ready for use.
type listeners struct {
	mu   sync.Mutex
	wake map[string]map[chan struct{}]bool // by UUID
}

// register has a new connection tell of its domains. Where there are no events, whoever waits has to ask.
func (l *listeners) register(conn *libvirt.Connect) (callback int) {
	id, err := conn.DomainEventLifecycleRegister(nil, func(_ *libvirt.Connect, dom *libvirt.Domain, _ *libvirt.DomainEventLifecycle) {
		if uuid, err := dom.GetUUIDString(); err == nil {
			l.tell(uuid)
		}
	})
	if err != nil {
		return noCallback
	}
	return id
}

// listen returns a channel that gets a value when the state of a domain may have changed, until stop is called.
func (l *listeners) listen(uuid string) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wake == nil {
		l.wake = map[string]map[chan struct{}]bool{}
	}
	if l.wake[uuid] == nil {
		l.wake[uuid] = map[chan struct{}]bool{}
	}
	l.wake[uuid][c] = true
	return c, func() { l.leave(uuid, c) }
}

func (l *listeners) leave(uuid string, c chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.wake[uuid], c)
	if len(l.wake[uuid]) == 0 {
		delete(l.wake, uuid)
	}
}

// tell never waits: whoever was told and has not looked yet will look.
func (l *listeners) tell(uuid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.wake[uuid] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
