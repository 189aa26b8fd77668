package ami

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// CheckName tells whether the names that w needs are free, in all regions that w names. Call it before a build does any work.
// An image that w replaces is none in the way, unless it is protected.
func (m *Maker) CheckName(ctx context.Context, w Wanted) error {
	return eachOf(ctx, w.targets(m.Home), func(ctx context.Context, region string) error {
		r := m.In(region)
		found, err := listImages(ctx, r, account.Filter("name", w.Name))
		if err != nil {
			return fmt.Errorf("look for images named %q in %s: %w", w.Name, region, err)
		}
		for _, im := range found {
			if !w.Replace.Image {
				return fmt.Errorf("the name %q is taken in %s by the image %s of %s: choose another ami_name, or set force_deregister = true",
					w.Name, region, aws.ToString(im.ImageId), aws.ToString(im.CreationDate))
			}
			if protected(im) {
				return fmt.Errorf("force_deregister: the image %s in %s is protected: take its protection off first (aws ec2 disable-image-deregistration-protection)",
					aws.ToString(im.ImageId), region)
			}
		}
		return nil
	})
}

// makeRoom removes the images that w replaces in a region, and waits until their name is free.
func (m *Maker) makeRoom(ctx context.Context, r *account.Region, w Wanted) error {
	if !w.Replace.Image {
		return nil
	}
	return r.Poll.Until(ctx, fmt.Sprintf("the name %q to be free in %s", w.Name, r.Name), func(ctx context.Context) (bool, error) {
		found, err := listImages(ctx, r, account.Filter("name", w.Name))
		if err != nil {
			return false, fmt.Errorf("look for images named %q in %s: %w", w.Name, r.Name, err)
		}
		for _, im := range found {
			id := aws.ToString(im.ImageId)
			gone, err := r.Deregister(ctx, id)
			if err != nil {
				return false, fmt.Errorf("force_deregister: %w", err) // a protected image stays: it is not ours
			}
			if gone {
				continue // and shown for a while
			}
			m.tell(r.Name, NoPercent, "Deregistered AMI %s, which was named %s", id, w.Name)
			if w.Replace.Snapshots {
				if err := r.DeleteUnused(ctx, mapped(im)); err != nil {
					return false, fmt.Errorf("force_delete_snapshot: %w", err)
				}
			}
		}
		return len(found) == 0, nil
	})
}

// Remove deregisters an image of the owner, lifting its protection, and deletes the snapshots that were made for it. What is gone is
// no error.
func (m *Maker) Remove(ctx context.Context, im Image) error {
	r := m.In(im.Region)
	if _, err := remove(ctx, r, Object{Region: im.Region, Kind: KindImage, ID: im.ID, Owner: m.Owner}); err != nil {
		return err
	}
	if err := r.DeleteUnused(ctx, im.Snapshots); err != nil {
		return err
	}
	m.tell(r.Name, NoPercent, "Removed AMI %s and its snapshots", im.ID)
	return nil
}

// Sweep removes all images and snapshots that carry the owner's tags in some regions: those that were handed over too. It asks until
// nothing has come to light for some seconds, because EC2 may still be making what a call before a crash asked for.
func (m *Maker) Sweep(ctx context.Context, regions []string) error {
	errs := make([]error, len(regions))
	// One region that cannot be reached shall not keep the others from being swept.
	err := eachOf(ctx, indices(regions), func(ctx context.Context, i int) error {
		errs[i] = m.sweep(ctx, m.In(regions[i]))
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// calm is how long nothing must have come to light before a sweep ends.
func calm(p account.Poll) time.Duration {
	const questions, most = 5, 15 * time.Second
	return min(questions*p.First, p.Grace, most)
}

func (m *Maker) sweep(ctx context.Context, r *account.Region) error {
	seen, progress := time.Now(), time.Now()
	for {
		found, err := Find(ctx, r, m.Owner)
		if err != nil {
			return err
		}
		gone, inUse, err := removeAll(ctx, r, found)
		if err != nil {
			return errors.Join(err, inUse)
		}
		if len(found) > 0 {
			seen = time.Now()
		}
		if gone > 0 {
			progress = time.Now()
			m.tell(r.Name, NoPercent, "Removed %d images and snapshots", gone)
		}
		switch {
		case len(found) == 0 && time.Since(seen) >= calm(r.Poll):
			return nil
		case len(found) > 0 && time.Since(progress) >= r.Poll.Grace:
			return inUse // nil if all is gone and EC2 still lists it
		}
		if err := netx.Pause(ctx, r.Poll.First); err != nil {
			return err
		}
	}
}

// RemoveObjects removes what Find has found, in the right order, and goes on after an error.
func RemoveObjects(ctx context.Context, r *account.Region, list []Object) error {
	return r.Poll.Settle(ctx, account.IsInUse, func(ctx context.Context) error {
		_, inUse, err := removeAll(ctx, r, list)
		return errors.Join(err, inUse)
	})
}

// removeAll removes objects, images first, and counts what was still there. What something else uses is told by inUse.
func removeAll(ctx context.Context, r *account.Region, list []Object) (n int, inUse, err error) {
	for _, kind := range []Kind{KindImage, KindSnapshot} {
		for _, o := range list {
			if o.Kind != kind {
				continue
			}
			switch gone, failed := remove(ctx, r, o); {
			case account.IsInUse(failed):
				inUse = errors.Join(inUse, failed)
			case failed != nil:
				err = errors.Join(err, failed)
			case !gone:
				n++
			}
		}
	}
	return n, inUse, err
}

// remove removes one object of ours, and tells whether it was gone already. Protection is lifted when EC2 refuses, not when a list
// tells of it: a call that was on its way may have put it on since.
func remove(ctx context.Context, r *account.Region, o Object) (gone bool, err error) {
	if o.Kind == KindSnapshot {
		return r.DeleteSnapshot(ctx, o.ID)
	}
	if gone, err = r.Deregister(ctx, o.ID); !isProtected(err) {
		return gone, err
	}
	if _, err := r.EC2.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: &o.ID}); err != nil && !account.IsNotFound(err) {
		return false, fmt.Errorf("take the protection off the image %s in %s: %w", o.ID, r.Name, err)
	}
	if gone, err = r.Deregister(ctx, o.ID); isProtected(err) {
		return false, fmt.Errorf("%w; its protection was taken off and stays for a day: boxkiln aws orphans removes it then", err)
	}
	return gone, err
}

// isProtected tells that an image cannot be deregistered because it is protected, or was less than a day ago.
func isProtected(err error) bool { return account.Code(err) == "OperationNotPermitted" }
