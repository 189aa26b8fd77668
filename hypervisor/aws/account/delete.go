package account

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// Deregister deregisters an image and tells whether it was gone already.
func (r *Region) Deregister(ctx context.Context, id string) (gone bool, err error) {
	_, err = r.EC2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: &id})
	if err != nil && !IsNotFound(err) {
		return false, fmt.Errorf("deregister the image %s in %s: %w", id, r.Name, err)
	}
	return err != nil, nil
}

// DeleteSnapshot deletes a snapshot and tells whether it was gone already.
func (r *Region) DeleteSnapshot(ctx context.Context, id string) (gone bool, err error) {
	_, err = r.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &id})
	if err != nil && !IsNotFound(err) {
		return false, fmt.Errorf("delete the snapshot %s in %s: %w", id, r.Name, err)
	}
	return err != nil, nil
}

// DeleteUnused deletes snapshots of an image that was just deregistered, as soon as EC2 sees that nothing uses them.
func (r *Region) DeleteUnused(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := r.Poll.Settle(ctx, IsInUse, func(ctx context.Context) error {
			_, err := r.DeleteSnapshot(ctx, id)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
