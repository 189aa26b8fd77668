package queue_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/queue"
	"github.com/boxkiln/boxkiln/daemon/queue/queuetest"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// memory is a backlog that forgets with the process.
type memory struct {
	mu       sync.Mutex
	jobs     []queue.Job
	attempts map[build.ID]int
	claimed  []build.ID // in order
	onClaim  func(build.ID)
	fail     error // what the next call returns, once
}

func newMemory(jobs ...queue.Job) *memory {
	return &memory{jobs: jobs, attempts: map[build.ID]int{}, onClaim: func(build.ID) {}}
}

func (m *memory) enter(ctx context.Context) error {
	err := m.fail
	m.fail = nil
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func (m *memory) Waiting(ctx context.Context) ([]queue.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	return slices.Clone(m.jobs), nil
}

func (m *memory) Claim(ctx context.Context, id build.ID) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	if !m.remove(id) {
		return 0, build.ErrFenced
	}
	m.claimed = append(m.claimed, id)
	m.onClaim(id)
	m.attempts[id]++
	return m.attempts[id], nil
}

func (m *memory) remove(id build.ID) bool {
	before := len(m.jobs)
	m.jobs = slices.DeleteFunc(m.jobs, func(j queue.Job) bool { return j.ID == id })
	return len(m.jobs) < before
}

func (m *memory) Submit(_ context.Context, job queue.Job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs = append(m.jobs, job)
	return nil
}

func (m *memory) Cancel(_ context.Context, id build.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(id)
	return nil
}

func (m *memory) failOnce(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func TestMemoryIsABacklog(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(*testing.T) queuetest.Backlog { return newMemory() })
}
