package ami

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// Kind is what an Object is, in EC2's word.
type Kind string

// The kinds, in the order in which they can be removed.
const (
	KindImage    Kind = "image"
	KindSnapshot Kind = "snapshot"
)

// Object is an image or a snapshot that carries our tags.
type Object struct {
	Region string         `json:"region"`
	Kind   Kind           `json:"kind"`
	ID     string         `json:"id"`
	Name   string         `json:"name,omitempty"`
	Owner  hypervisor.Tag `json:"owner"`
	// Artifact says that it belongs to the user.
	Artifact bool `json:"artifact,omitempty"`
	// Protected says that it cannot be deregistered before its protection is taken off.
	Protected bool      `json:"protected,omitempty"`
	Made      time.Time `json:"made"`
	GiB       int32     `json:"gib,omitempty"` // of a snapshot
}

// Find lists the images and snapshots that an attempt of a build made in a region; without a build, those of the installation.
// Images come first. EC2 may show an object some seconds after it was made.
func Find(ctx context.Context, r *account.Region, owner hypervisor.Tag) ([]Object, error) {
	filters := account.Filters(owner)
	imgs, err := listImages(ctx, r, filters...)
	if err != nil {
		return nil, fmt.Errorf("list the images in %s: %w", r.Name, err)
	}
	snaps, err := listSnapshots(ctx, r, filters...)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots in %s: %w", r.Name, err)
	}
	var all []Object
	for _, im := range imgs {
		o := object(r.Name, KindImage, im.ImageId, im.Tags)
		o.Name, o.Protected = cmp.Or(aws.ToString(im.Name), o.Name), protected(im)
		o.Made, _ = time.Parse(time.RFC3339, aws.ToString(im.CreationDate)) // a time that cannot be read is none
		all = append(all, o)
	}
	for _, s := range snaps {
		o := object(r.Name, KindSnapshot, s.SnapshotId, s.Tags)
		o.Made, o.GiB = aws.ToTime(s.StartTime), aws.ToInt32(s.VolumeSize)
		all = append(all, o)
	}
	return all, nil
}

func object(region string, kind Kind, id *string, tags []types.Tag) Object {
	o := Object{Region: region, Kind: kind, ID: aws.ToString(id)}
	o.Owner, _ = account.OwnerOf(tags)
	for _, t := range tags {
		switch aws.ToString(t.Key) {
		case account.TagName:
			o.Name = aws.ToString(t.Value)
		case TagArtifact:
			o.Artifact = true
		}
	}
	return o
}

// protected tells whether an image cannot be deregistered. The values are disabled, enabled-with-cooldown and
// enabled-without-cooldown.
func protected(im types.Image) bool {
	state := aws.ToString(im.DeregistrationProtection)
	return state != "" && state != "disabled"
}

// Remains returns nil if an image that was made long ago is there and can be used. Otherwise the error wraps
// hypervisor.ErrImageNotFound, or says why nobody could look.
func Remains(ctx context.Context, r *account.Region, id string) error {
	im, err := describe(ctx, r, id)
	switch {
	case account.IsNotFound(err):
		return fmt.Errorf("the image %s in %s: %w", id, r.Name, hypervisor.ErrImageNotFound)
	case err != nil:
		return fmt.Errorf("look at the image %s in %s: %w", id, r.Name, err)
	case im.State != types.ImageStateAvailable:
		return fmt.Errorf("the image %s in %s is %s: %w", id, r.Name, im.State, hypervisor.ErrImageNotFound)
	}
	return nil
}
