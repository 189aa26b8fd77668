package steps

import (
	"context"
	"encoding/json"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
)

const (
	// commitDelay is how long the writing of a memory is put off: it takes all processors for seconds, and short scripts, the
	// shutdown and the packing are quicker without.
	commitDelay = 10 * time.Second
	// commitsWaiting is how many memories may wait, uncompressed.
	commitsWaiting = 2
)

// commit is a checkpoint that is to be written.
type commit struct {
	draft *checkpoint.Draft
	meta  checkpoint.Meta
	start chan struct{} // closed when it must not wait any longer; guarded by kept.mu
}

// commit writes a checkpoint while the build goes on: an artifact at once, a machine when there is time.
func (k *kept) commit(ctx context.Context, s *build.Session, draft *checkpoint.Draft, m checkpoint.Meta) {
	key, err := json.Marshal(s.Key)
	if err != nil {
		k.stop(s, "%v", err)
		return
	}
	// A build that fails or is cancelled a moment later still leaves this checkpoint.
	ctx = context.WithoutCancel(ctx)
	c := &commit{draft: draft, meta: m, start: make(chan struct{})}
	k.enqueue(c)
	k.commits.Go(func() {
		if m.Artifact == nil {
			c.wait()
		}
		k.write(ctx, s, c, string(key))
	})
}

// wait puts a commit off.
func (c *commit) wait() {
	timer := time.NewTimer(commitDelay)
	defer timer.Stop()
	select {
	case <-c.start:
	case <-timer.C:
	}
}

func (k *kept) enqueue(c *commit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all, k.waiting = append(k.all, c), append(k.waiting, c)
	for len(k.waiting) > commitsWaiting {
		close(k.waiting[0].start)
		k.waiting = k.waiting[1:]
	}
}

func (k *kept) write(ctx context.Context, s *build.Session, c *commit, key string) {
	e, err := c.draft.Commit(ctx, c.meta, key)
	if err != nil {
		k.lost(s, c, err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if e.Machine != nil {
		k.at[c.meta.Index] = e.ID
	}
	s.Debug.Info("checkpoint kept", "id", e.ID, "stage", c.meta.Stage, "bytes", e.Bytes)
}

// lost tells of a checkpoint that could not be written: to the user, or after the end of the build to the operator.
func (k *kept) lost(s *build.Session, c *commit, err error) {
	k.mu.Lock()
	detached := k.detached
	k.mu.Unlock()
	if detached {
		s.Debug.Warn("checkpoint not kept", "stage", c.meta.Stage, "err", err)
		return
	}
	k.stop(s, "%s: %v", c.meta.Stage, err)
}

// flush starts what waits.
func (k *kept) flush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.waiting {
		close(c.start)
	}
	k.waiting = nil
}

// detach lets a build end that has done well while its checkpoints are still being written. The daemon waits for them
// before it ends, and a build that looks for one waits for that.
func (k *kept) detach(ctx context.Context, s *build.Session) {
	k.mu.Lock()
	for _, c := range k.all {
		if err := c.draft.Detach(ctx, c.meta.Fingerprint); err != nil {
			s.Debug.Warn("a checkpoint ends with its build", "stage", c.meta.Stage, "err", err)
		}
	}
	k.detached = true
	k.mu.Unlock()
	k.flush()
}

// Close waits for the checkpoints that are being written: the one before a failed step is what the next attempt starts
// from.
func (k *kept) Close() error {
	k.flush()
	k.mu.Lock()
	detached := k.detached
	k.mu.Unlock()
	if !detached {
		k.commits.Wait()
	}
	return nil
}
