package ami

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// available waits until an image that was just made can be used. others are snapshots that were not made for it.
func (m *Maker) available(ctx context.Context, r *account.Region, id string, others []string) (Image, error) {
	var im types.Image
	err := r.Poll.UntilSeen(ctx, fmt.Sprintf("the image %s in %s to be available", id, r.Name), func(ctx context.Context) (bool, error) {
		var err error
		if im, err = describe(ctx, r, id); err != nil {
			return false, fmt.Errorf("look at the image %s in %s: %w", id, r.Name, err)
		}
		switch im.State {
		case types.ImageStateAvailable:
			return true, nil
		case types.ImageStatePending, types.ImageStateTransient:
			snapshots, _ := snapshotsOf(ctx, r, mapped(im)) // may be hidden yet, or forbidden: no reason to stop waiting
			m.tell(r.Name, percent(snapshots), "Waiting for AMI %s", id)
			return false, nil
		}
		return false, fmt.Errorf("the image %s in %s is %s: %s", id, r.Name, im.State, why(ctx, r, im))
	})
	if err != nil {
		return Image{}, err
	}
	m.tell(r.Name, NoPercent, "AMI %s is available", id)
	made := Image{Region: r.Name, ID: id, Name: aws.ToString(im.Name)}
	for _, s := range mapped(im) {
		if !slices.Contains(others, s) {
			made.Snapshots = append(made.Snapshots, s)
		}
	}
	return made, nil
}

// why is the reason for which an image came to nothing, as far as EC2 knows it.
func why(ctx context.Context, r *account.Region, im types.Image) string {
	reasons := []string{"EC2 tells no reason"}
	if s := im.StateReason; s != nil {
		reasons = []string{strings.Trim(aws.ToString(s.Code)+": "+aws.ToString(s.Message), ": ")}
	}
	snapshots, err := snapshotsOf(ctx, r, mapped(im))
	if err != nil {
		return strings.Join(append(reasons, "and its snapshots cannot be looked at: "+err.Error()), ", ")
	}
	for _, s := range snapshots {
		if s.State == types.SnapshotStateError {
			reasons = append(reasons, fmt.Sprintf("the snapshot %s failed: %s", aws.ToString(s.SnapshotId), aws.ToString(s.StateMessage)))
		}
	}
	return strings.Join(reasons, ", ")
}

// percent is how far snapshots are on average; NoPercent if that cannot be told.
func percent(snapshots []types.Snapshot) int {
	if len(snapshots) == 0 {
		return NoPercent
	}
	sum := 0
	for _, s := range snapshots {
		n, _ := strconv.Atoi(strings.TrimSuffix(aws.ToString(s.Progress), "%")) // "" before it begins
		sum += n
	}
	return sum / len(snapshots)
}

// completed waits for snapshots and returns them.
func (m *Maker) completed(ctx context.Context, r *account.Region, ids []string) (snapshots []types.Snapshot, err error) {
	what := fmt.Sprintf("the snapshots %s in %s to be completed", strings.Join(ids, ", "), r.Name)
	return snapshots, r.Poll.UntilSeen(ctx, what, func(ctx context.Context) (bool, error) {
		if snapshots, err = snapshotsOf(ctx, r, ids); err != nil {
			return false, fmt.Errorf("look at the snapshots %s in %s: %w", strings.Join(ids, ", "), r.Name, err)
		}
		done := len(snapshots) >= len(ids)
		for _, s := range snapshots {
			switch s.State {
			case types.SnapshotStateCompleted:
			case types.SnapshotStateError:
				return false, fmt.Errorf("the snapshot %s in %s failed: %s", aws.ToString(s.SnapshotId), r.Name, aws.ToString(s.StateMessage))
			default:
				m.tell(r.Name, percent(snapshots), "Waiting for snapshot %s", aws.ToString(s.SnapshotId))
				done = false
			}
		}
		return done, nil
	})
}

// describe looks at one image. An answer without it is an error of the kind that account.IsNotFound knows.
func describe(ctx context.Context, r *account.Region, id string) (types.Image, error) {
	out, err := r.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		return types.Image{}, err
	}
	if len(out.Images) == 0 {
		return types.Image{}, &smithy.GenericAPIError{Code: "InvalidAMIID.NotFound", Message: "EC2 does not list the image"}
	}
	return out.Images[0], nil
}

// List lists the images of which in asks.
func List(ctx context.Context, r *account.Region, in *ec2.DescribeImagesInput) (all []types.Image, err error) {
	err = account.Pages(ctx, r.EC2.DescribeImages, in, &in.NextToken, func(out *ec2.DescribeImagesOutput) *string {
		all = append(all, out.Images...)
		return out.NextToken
	})
	return all, err
}

// listImages lists those of the account that pass all filters.
func listImages(ctx context.Context, r *account.Region, filters ...types.Filter) ([]types.Image, error) {
	return List(ctx, r, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: filters})
}

// listSnapshots lists those of the account that pass all filters.
func listSnapshots(ctx context.Context, r *account.Region, filters ...types.Filter) (all []types.Snapshot, err error) {
	in := &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: filters}
	err = account.Pages(ctx, r.EC2.DescribeSnapshots, in, &in.NextToken, func(out *ec2.DescribeSnapshotsOutput) *string {
		all = append(all, out.Snapshots...)
		return out.NextToken
	})
	return all, err
}

// snapshotsOf looks at snapshots by their ids; without ids there are none.
func snapshotsOf(ctx context.Context, r *account.Region, ids []string) ([]types.Snapshot, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := r.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: ids})
	if err != nil {
		return nil, err
	}
	return out.Snapshots, nil
}

// mapped are the snapshots of an image's disks.
func mapped(im types.Image) []string { return given(im.BlockDeviceMappings) }
