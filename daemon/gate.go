package daemon

import (
	"context"
	"sync"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/store"
)

// gate decides which build of a run releases the version they publish into together: the last one. It implements
// steps.ReleaseGate. What it remembers in memory are builds that have published and not ended yet; a daemon that dies
// interrupts those.
type gate struct {
	store *store.Store

	mu        sync.Mutex
	published map[build.ID]bool
}

// runLimit is more builds than one command ever starts.
const runLimit = 1000

// Published implements steps.ReleaseGate.
func (g *gate) Published(ctx context.Context, s *build.Session) (all bool, waiting []string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.published[s.Build] = true
	builds, err := g.store.List(ctx, store.Filter{Run: s.Plan.RunUUID, Box: s.Plan.Publish.Box, Limit: runLimit})
	if err != nil {
		return false, nil, err
	}
	for _, b := range builds {
		if b.Version == s.Plan.Publish.Version && b.State != build.Succeeded && !g.published[b.ID] {
			waiting = append(waiting, b.Label)
		}
	}
	return len(waiting) == 0, waiting, nil
}

// ended forgets a build.
func (g *gate) ended(id build.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.published, id)
}
