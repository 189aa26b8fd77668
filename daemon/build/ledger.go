package build

import (
	"context"
	"encoding/json"
	"fmt"
)

// ResourceKind says what a Resource is, and so which Reaper undoes it.
type ResourceKind string

// The kinds of resources.
const (
	// KindMachine is a virtual machine with all that its driver made; Data is a hypervisor.Handle, sealed by Plan.SealData.
	KindMachine ResourceKind = "machine"
	// KindDir is a directory of ours on this host; Name is its path.
	KindDir ResourceKind = "directory"
	// KindOutput is a file or directory where the template wanted it, not yet complete; Name is its path.
	KindOutput ResourceKind = "output"
	// KindImage is what the machine of a cloud becomes there; Data is the machine's hypervisor.Handle, sealed likewise.
	KindImage ResourceKind = "image"
	// KindImport is an image that a driver makes of disks built elsewhere, with what it needs on the way; Data is a
	// hypervisor.ImportHandle, sealed by Plan.SealData.
	KindImport ResourceKind = "import"
	// KindCheckpoint is all that a build uses or makes in the checkpoint store; Name is the build.
	KindCheckpoint ResourceKind = "checkpoint"
)

// Resource is an outside effect of an attempt: it exists, or may exist, until it is released.
type Resource struct {
	Build   ID              `json:"build"`
	Attempt int             `json:"attempt"`
	Kind    ResourceKind    `json:"kind"`
	Name    string          `json:"name"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Ledger remembers the outside effects of builds, durably.
type Ledger interface {
	// Intend records r before its effect: when it returns, the row survives a crash. Intending twice replaces the data.
	Intend(ctx context.Context, r Resource) error
	// Release forgets r after it was undone or handed over. Releasing what is not there is no error.
	Release(ctx context.Context, r Resource) error
	// Held lists what the attempts of a build hold, newest first; an empty build means all builds.
	Held(ctx context.Context, b ID) ([]Resource, error)
}

// Reaper undoes resources of one kind. It is idempotent, and content with a resource that never came to be.
type Reaper interface {
	Reap(ctx context.Context, r Resource) error
}

// ReaperFunc is a Reaper made of a function.
type ReaperFunc func(ctx context.Context, r Resource) error

// Reap calls f.
func (f ReaperFunc) Reap(ctx context.Context, r Resource) error { return f(ctx, r) }

// Reapers is the reaper of each kind.
type Reapers map[ResourceKind]Reaper

// ReapAll undoes and releases everything that a build holds (all builds, if b is empty), newest first. It goes on after
// an error, so that one stuck machine does not keep the rest, and reports each through failed.
func (rs Reapers) ReapAll(ctx context.Context, l Ledger, b ID, failed func(Resource, error)) error {
	held, err := l.Held(ctx, b)
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	for _, r := range held {
		if err := rs.reap(ctx, l, r); err != nil {
			failed(r, err)
		}
	}
	return nil
}

func (rs Reapers) reap(ctx context.Context, l Ledger, r Resource) error {
	reaper, ok := rs[r.Kind]
	if !ok {
		return fmt.Errorf("nothing knows how to remove a %s; was it made by a newer version?", r.Kind)
	}
	if err := protect("the reaper", func() error { return reaper.Reap(ctx, r) }); err != nil {
		return err
	}
	return l.Release(ctx, r)
}
