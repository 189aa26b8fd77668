package libvirt

import (
	"context"
	"sync"
)

// turns lets one after the other have a machine: what a freeze reads of its disks must hold until it has changed them. The
// zero value is ready for use.
type turns struct {
	mu   sync.Mutex
	held map[string]chan struct{} // by the machine's UUID
}

// take waits for the turn, which ends with done.
func (t *turns) take(ctx context.Context, uuid string) (done func(), err error) {
	token := t.token(uuid)
	select {
	case token <- struct{}{}:
		return func() { <-token }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (t *turns) token(uuid string) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = map[string]chan struct{}{}
	}
	if t.held[uuid] == nil {
		t.held[uuid] = make(chan struct{}, 1)
	}
	return t.held[uuid]
}

// forget is for a machine that is gone.
func (t *turns) forget(uuid string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.held, uuid)
}
