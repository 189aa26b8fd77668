package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

var _ hypervisor.Hoarder = (*Driver)(nil)

// Holds implements hypervisor.Hoarder, with the credentials of the environment.
func (d *Driver) Holds(ctx context.Context, regions []string) ([]hypervisor.Keepsake, error) {
	acc, err := d.account(ctx, "")
	if err != nil {
		return nil, err
	}
	if len(regions) == 0 {
		regions = []string{acc.Region()}
	}
	var all []hypervisor.Keepsake
	for _, name := range regions {
		found, err := d.holds(ctx, acc.In(name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func (d *Driver) holds(ctx context.Context, r *account.Region) ([]hypervisor.Keepsake, error) {
	owner := hypervisor.Tag{Install: d.install}
	found, err := find(ctx, r, owner, "")
	if err != nil {
		return nil, err
	}
	objects, err := ami.Find(ctx, r, owner)
	if err != nil {
		return nil, err
	}
	var all []hypervisor.Keepsake
	for _, t := range found {
		if !t.gone() {
			h := t.machine()
			all = append(all, hypervisor.Keepsake{Region: r.Name, Kind: string(t.kind), ID: t.id, Name: h.Name, Tag: h.Tag})
		}
	}
	for _, o := range objects {
		if !o.Artifact {
			all = append(all, hypervisor.Keepsake{Region: r.Name, Kind: string(o.Kind), ID: o.ID, Name: o.Name, Tag: o.Owner, Made: o.Made})
		}
	}
	return all, nil
}

// Discard implements hypervisor.Hoarder. It looks again before it removes: an id that does not carry our tag is left alone.
func (d *Driver) Discard(ctx context.Context, list []hypervisor.Keepsake) error {
	acc, err := d.account(ctx, "")
	if err != nil {
		return err
	}
	byRegion := map[string][]string{}
	for _, k := range list {
		byRegion[k.Region] = append(byRegion[k.Region], k.ID)
	}
	var errs []error
	for name, ids := range byRegion {
		errs = append(errs, d.discard(ctx, acc.In(name), ids))
	}
	return errors.Join(errs...)
}

func (d *Driver) discard(ctx context.Context, r *account.Region, ids []string) error {
	owner := hypervisor.Tag{Install: d.install}
	objects, err := ami.Find(ctx, r, owner)
	if err != nil {
		return err
	}
	objects = slices.DeleteFunc(objects, func(o ami.Object) bool { return o.Artifact || !slices.Contains(ids, o.ID) })
	found, err := find(ctx, r, owner, "")
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(t thing) bool { return !slices.Contains(ids, t.id) })
	return errors.Join(ami.RemoveObjects(ctx, r, objects), remove(ctx, r, found))
}
