package ami_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// change replaces calls of every region.
func (r *rig) change(replace func(*account.Region)) {
	in := r.maker.In
	r.maker.In = func(region string) *account.Region {
		calls := in(region)
		replace(calls)
		return calls
	}
}

// TestSweepSparesOthers removes what an attempt made, protected as it is, and nothing of another attempt.
func TestSweepSparesOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := all()
	if _, err := r.fromInstance(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	w.Name = "other"
	r.maker.Owner.Attempt = 2
	other, err := r.fromInstance(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	r.maker.Owner.Attempt = 1
	for range 2 { // the second time there is nothing
		if err := r.maker.Sweep(t.Context(), regions()); err != nil {
			t.Fatal(err)
		}
		r.left(map[string]int{"images": 3, "snapshots": 3})
	}
	for _, im := range other {
		r.image(im)
	}
	if !r.told(home, "Removed ") {
		t.Errorf("nobody heard of the removal: %v", r.events)
	}
}

// TestSweepAsksAgain finds what EC2 does not list at once.
func TestSweepAsksAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.fromInstance(t.Context(), ami.Wanted{Name: "golden"}); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	r.change(func(calls *account.Region) {
		calls.Poll.First = 20 * time.Millisecond
		describeImages, describeSnapshots := calls.EC2.DescribeImages, calls.EC2.DescribeSnapshots
		calls.EC2.DescribeImages = func(ctx context.Context, in *ec2.DescribeImagesInput) (*ec2.DescribeImagesOutput, error) {
			if asked.Add(1) <= 2 {
				return &ec2.DescribeImagesOutput{}, nil
			}
			return describeImages(ctx, in)
		}
		calls.EC2.DescribeSnapshots = func(ctx context.Context, in *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error) {
			if asked.Load() <= 2 {
				return &ec2.DescribeSnapshotsOutput{}, nil
			}
			return describeSnapshots(ctx, in)
		}
	})
	if err := r.maker.Sweep(t.Context(), []string{home}); err != nil {
		t.Error(err)
	}
	r.left(nil)
}

// TestSweepOfOneRegionThatFails sweeps the others all the same.
func TestSweepOfOneRegionThatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.fromInstance(t.Context(), all()); err != nil {
		t.Fatal(err)
	}
	r.cloud.Inject(cloud.Fault{Region: "eu-west-1", Action: "DeregisterImage", Code: "UnauthorizedOperation"})
	err := r.maker.Sweep(t.Context(), regions())
	if err == nil || !strings.Contains(err.Error(), "eu-west-1") || !strings.Contains(err.Error(), "permission ec2:DeregisterImage is missing") {
		t.Error(err)
	}
	r.left(map[string]int{"images": 1, "snapshots": 1})
	r.cloud.Calm()
	r.sweep()
}

// TestCooldown says when an image can be removed that cannot be removed today. The simulator has no days.
func TestCooldown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.fromInstance(t.Context(), ami.Wanted{Name: "golden", Protection: ami.Protection{Enabled: true, Cooldown: true}}); err != nil {
		t.Fatal(err)
	}
	r.change(func(calls *account.Region) {
		calls.EC2.DeregisterImage = func(context.Context, *ec2.DeregisterImageInput) (*ec2.DeregisterImageOutput, error) {
			return nil, &smithy.GenericAPIError{Code: "OperationNotPermitted", Message: "in cooldown"}
		}
	})
	if err := r.maker.Sweep(t.Context(), []string{home}); err == nil || !strings.Contains(err.Error(), "for a day") || !strings.Contains(err.Error(), "orphans") {
		t.Error(err)
	}
}

// TestFind lists what an installation has made, and tells the user's from what is left behind.
func TestFind(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made, err := r.fromInstance(t.Context(), ami.Wanted{Name: "golden", Protection: ami.Protection{Enabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.maker.HandOver(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	r.maker.Owner.Attempt = 2
	orphan := r.ours()
	r.snapshot(account.Tags(hypervisor.Tag{Install: "another", Build: "b", Attempt: 1}, "theirs", nil))
	calls := r.maker.In(home)
	var found []ami.Object
	if err := calls.Poll.Until(t.Context(), "all to be listed", func(ctx context.Context) (bool, error) {
		found, err = ami.Find(ctx, calls, hypervisor.Tag{Install: "i"})
		return len(found) == 3, err
	}); err != nil {
		t.Fatal(err)
	}
	var orphans []ami.Object
	for _, o := range found {
		if o.Region != home || o.Owner.Build != "b" || o.Made.IsZero() || o.Artifact != (o.Owner.Attempt == 1) || o.Protected != (o.Kind == ami.KindImage) {
			t.Errorf("found %+v", o)
		}
		if !o.Artifact {
			orphans = append(orphans, o)
		}
	}
	if found[0].Kind != ami.KindImage || found[0].Name != "golden" || len(orphans) != 1 || orphans[0].ID != orphan || orphans[0].GiB != 1 {
		t.Errorf("found %+v", found)
	}
	if err := ami.RemoveObjects(t.Context(), calls, orphans); err != nil {
		t.Error(err)
	}
	r.left(map[string]int{"images": 1, "snapshots": 2})
	if err := ami.RemoveObjects(t.Context(), calls, found); err != nil { // one is gone already
		t.Error(err)
	}
	r.left(map[string]int{"snapshots": 1})
}

// TestRemains tells an image that is there from others.
func TestRemains(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made, err := r.fromInstance(t.Context(), ami.Wanted{Name: "golden"})
	if err != nil {
		t.Fatal(err)
	}
	calls := r.maker.In(home)
	if err := ami.Remains(t.Context(), calls, made[0].ID); err != nil {
		t.Error(err)
	}
	r.cloud.Inject(cloud.Fault{Action: "DescribeImages", Code: "UnauthorizedOperation", Count: 1})
	if err := ami.Remains(t.Context(), calls, made[0].ID); err == nil || errors.Is(err, hypervisor.ErrImageNotFound) {
		t.Errorf("when nobody may look: %v", err)
	}
	if err := r.maker.Remove(t.Context(), made[0]); err != nil {
		t.Fatal(err)
	}
	if err := ami.Remains(t.Context(), calls, made[0].ID); !errors.Is(err, hypervisor.ErrImageNotFound) || !strings.Contains(err.Error(), made[0].ID) {
		t.Errorf("after it was removed: %v", err)
	}
	calls.EC2.DescribeImages = func(context.Context, *ec2.DescribeImagesInput) (*ec2.DescribeImagesOutput, error) {
		return &ec2.DescribeImagesOutput{Images: []types.Image{{State: types.ImageStateDisabled}}}, nil
	}
	if err := ami.Remains(t.Context(), calls, "ami-1"); !errors.Is(err, hypervisor.ErrImageNotFound) || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("when it is disabled: %v", err)
	}
}

// TestRemoveAwaitsEC2 deletes a snapshot that EC2 takes for used a while longer.
func TestRemoveAwaitsEC2(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made, err := r.fromInstance(t.Context(), ami.Wanted{Name: "golden"})
	if err != nil {
		t.Fatal(err)
	}
	r.cloud.Inject(cloud.Fault{Action: "DeleteSnapshot", Code: "InvalidSnapshot.InUse", Count: 3})
	for range 2 {
		if err := r.maker.Remove(t.Context(), made[0]); err != nil {
			t.Error(err)
		}
	}
	r.left(nil)
}

// TestPages follows lists that come in pieces.
func TestPages(t *testing.T) {
	t.Parallel()
	id := func(n int) *string { s := strings.Repeat("x", n); return &s }
	calls := &account.Region{Name: home}
	next := func(token *string) (n int, more *string) {
		if token == nil {
			return 1, id(1)
		}
		return 2, nil
	}
	calls.EC2.DescribeImages = func(_ context.Context, in *ec2.DescribeImagesInput) (*ec2.DescribeImagesOutput, error) {
		n, more := next(in.NextToken)
		return &ec2.DescribeImagesOutput{Images: []types.Image{{ImageId: id(n)}}, NextToken: more}, nil
	}
	calls.EC2.DescribeSnapshots = func(_ context.Context, in *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error) {
		n, more := next(in.NextToken)
		return &ec2.DescribeSnapshotsOutput{Snapshots: []types.Snapshot{{SnapshotId: id(n)}}, NextToken: more}, nil
	}
	found, err := ami.Find(t.Context(), calls, hypervisor.Tag{Install: "i"})
	if err != nil || len(found) != 4 || found[1].ID != "xx" || found[3].ID != "xx" {
		t.Errorf("found %+v, %v", found, err)
	}
}
