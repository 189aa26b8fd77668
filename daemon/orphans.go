package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// Orphans lists what the clouds of a driver hold of this installation and no attempt of a build accounts for: the ledger has no row
// of that attempt any more. A machine that was left on purpose is among that.
func (b *Builds) Orphans(ctx context.Context, driver string, regions []string) ([]hypervisor.Keepsake, error) {
	hoarder, err := b.hoarder(driver)
	if err != nil {
		return nil, err
	}
	all, err := hoarder.Holds(ctx, regions)
	if err != nil {
		return nil, wire.Errorf(wire.CodeConflict, "%w", err) // the account is at fault, and an admin asks
	}
	// After the look: what is made later has its row before.
	held, err := b.store.Held(ctx, "")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(k hypervisor.Keepsake) bool {
		return slices.ContainsFunc(held, func(r build.Resource) bool { return string(r.Build) == k.Tag.Build && r.Attempt == k.Tag.Attempt })
	}), nil
}

// RemoveOrphans removes those of the orphans that are named, by their ids, and returns them.
func (b *Builds) RemoveOrphans(ctx context.Context, driver string, regions, ids []string) ([]hypervisor.Keepsake, error) {
	list, err := b.Orphans(ctx, driver, regions)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(k hypervisor.Keepsake) bool { return !slices.Contains(ids, k.ID) })
	hoarder, err := b.hoarder(driver)
	if err != nil {
		return nil, err
	}
	if err := hoarder.Discard(ctx, list); err != nil {
		return nil, wire.Errorf(wire.CodeConflict, "%w", err)
	}
	b.log.Info("orphans removed", "driver", driver, "count", len(list))
	return list, nil
}

func (b *Builds) hoarder(driver string) (hypervisor.Hoarder, error) {
	d, ok := b.drivers[driver]
	if !ok {
		return nil, wire.Errorf(wire.CodeNotFound, "there is no driver %q: it is one of %q", driver, slices.Sorted(maps.Keys(b.drivers)))
	}
	hoarder, ok := d.(hypervisor.Hoarder)
	if !ok {
		return nil, wire.Errorf(wire.CodeBadRequest, "%w", errors.Join(fmt.Errorf("driver %s holds nothing in a cloud", driver), hypervisor.ErrUnsupported))
	}
	return hoarder, nil
}
