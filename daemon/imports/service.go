package imports

import (
	"context"
	"math"
	"slices"

	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// List returns the imports that are remembered, newest first.
func (m *Manager) List(context.Context) ([]wire.Import, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]wire.Import, 0, len(m.all))
	for _, j := range slices.Backward(m.all) {
		list = append(list, j.status())
	}
	return list, nil
}

// Get returns one import. Errors are *wire.Error.
func (m *Manager) Get(_ context.Context, id string) (wire.Import, error) {
	j, err := m.find(id)
	if err != nil {
		return wire.Import{}, err
	}
	return j.status(), nil
}

// Cancel ends an import; one that has ended stays as it is. What has come stays here. Errors are *wire.Error.
func (m *Manager) Cancel(_ context.Context, id string) error {
	j, err := m.find(id)
	if err == nil {
		j.cancel(errCanceled)
	}
	return err
}

// Follow calls fn for each event from the given place on, until the import has ended; next is the place after it. Between
// events it tells the progress of files, at the place where it is. Errors are *wire.Error, fn's, or the cause of ctx.
func (m *Manager) Follow(ctx context.Context, id string, place int64, fn func(next int64, e upstream.Event) error) error {
	j, err := m.find(id)
	if err != nil {
		return err
	}
	return j.follow(ctx, place, fn)
}

// Retire waits until no import runs, and then takes no more: the daemon can end without breaking one off.
func (m *Manager) Retire(ctx context.Context) error {
	for {
		j := m.lastRunning()
		if j == nil {
			return nil
		}
		if err := j.follow(ctx, math.MaxInt64, func(int64, upstream.Event) error { return nil }); err != nil {
			return err
		}
	}
}

// lastRunning is an import that runs; when there is none, it takes no more.
func (m *Manager) lastRunning() *job {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range slices.Backward(m.all) {
		if j.status().State == wire.ImportRunning {
			return j
		}
	}
	m.stop(errStopping)
	return nil
}

func (m *Manager) find(id string) (*job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.all, func(j *job) bool { return j.status().ID == id })
	if i < 0 {
		return nil, wire.Errorf(wire.CodeNotFound, "no such import; the daemon remembers those since it was started")
	}
	return m.all[i], nil
}
