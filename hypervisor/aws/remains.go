package aws

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

var _ hypervisor.Keeper = (*Driver)(nil)

// Remains implements hypervisor.Keeper.
func (d *Driver) Remains(ctx context.Context, spec hypervisor.Spec, ids []hypervisor.RemoteID) error {
	set, err := decodeSettings(spec.Options)
	if err != nil {
		return err
	}
	acc, err := d.account(ctx, set.URI)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, id := range ids {
		g.Go(func() error { return ami.Remains(ctx, acc.In(id.Region), id.ID) })
	}
	return g.Wait()
}
