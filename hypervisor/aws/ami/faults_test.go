package ami_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// regions are those that tests make images in.
func regions() []string { return []string{home, "eu-west-1", "us-west-2"} }

// all is a Wanted that leads through everything but encryption.
func all() ami.Wanted {
	return ami.Wanted{
		Name: "golden", Tags: map[string]string{"Team": "ops"}, Regions: regions(), IMDSSupport: "v2.0", DeprecateAt: time.Now().Add(time.Hour),
		Sharing:    ami.Sharing{Users: []string{"111122223333"}, SnapshotUsers: []string{"111122223333"}},
		Protection: ami.Protection{Enabled: true},
	}
}

// sweep removes what is left of an attempt, which must be all.
func (r *rig) sweep() {
	r.Helper()
	if err := r.maker.Sweep(context.WithoutCancel(r.Context()), regions()); err != nil {
		r.Error(err)
	}
	r.left(nil)
}

// TestFaults breaks one call after the other: the error says what happened and where, and nothing is left.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault string
		want  []string
	}{
		{"CreateImage:SnapshotFails", []string{home, "is failed", "snap-", "the snapshot could not be made"}},
		{"CopyImage:SnapshotFails:1", []string{"is failed", "the snapshot could not be made"}},
		{"CreateImage:UnauthorizedOperation", []string{"permission ec2:CreateImage is missing", home}},
		{"eu-west-1/CopyImage:UnauthorizedOperation", []string{"permission ec2:CopyImage is missing", "eu-west-1"}},
		{"us-west-2/ModifyImageAttribute:UnauthorizedOperation", []string{"permission ec2:ModifyImageAttribute is missing", "us-west-2"}},
		{"ModifySnapshotAttribute:UnauthorizedOperation", []string{"permission ec2:ModifySnapshotAttribute is missing", "share its snapshot snap-"}},
		{"EnableImageDeprecation:UnauthorizedOperation", []string{"permission ec2:EnableImageDeprecation is missing"}},
		{"eu-west-1/EnableImageDeregistrationProtection:UnauthorizedOperation", []string{"permission ec2:EnableImageDeregistrationProtection is missing", "eu-west-1"}},
		{"DescribeImages:UnauthorizedOperation", []string{"permission ec2:DescribeImages is missing"}},
		{"CreateImage:ExpiredToken", []string{"new temporary credentials"}},
		{"eu-west-1/CopyImage:OptInRequired", []string{"OptInRequired", "eu-west-1"}},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			f, err := cloud.ParseFault(tt.fault)
			if err != nil {
				t.Fatal(err)
			}
			r.cloud.Inject(f)
			made, err := r.fromInstance(t.Context(), all())
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("made %v, %v; want %q in the error", made, err, want)
				}
			}
			r.cloud.Calm()
			r.restart()
			r.sweep()
		})
	}
}

// TestSnapshotThatFailed is told before anything is registered.
func TestSnapshotThatFailed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cloud.Inject(cloud.Fault{Action: "CreateSnapshot", Code: cloud.SnapshotFails})
	w := ami.Wanted{Name: "golden", Devices: []types.BlockDeviceMapping{device("/dev/xvda", r.ours())}}
	if _, err := r.maker.FromSnapshots(t.Context(), hardware(), w); err == nil || !strings.Contains(err.Error(), "snap-") || !strings.Contains(err.Error(), "failed") {
		t.Error(err)
	}
	if n := r.cloud.Calls()["RegisterImage"]; n != 0 {
		t.Errorf("RegisterImage was called %d times", n)
	}
	r.sweep()
}

// TestStorm makes an image while EC2 refuses most calls, and hides what it makes.
func TestStorm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, action := range []string{"CreateImage", "CopyImage", "DescribeImages", "ModifyImageAttribute", "EnableImageDeprecation"} {
		r.cloud.Inject(cloud.Fault{Action: action, Code: "RequestLimitExceeded", Count: 8})
	}
	for _, action := range []string{"CreateImage", "CopyImage"} {
		r.cloud.Inject(cloud.Fault{Action: action, Code: cloud.StaysHidden})
	}
	made, err := r.fromInstance(t.Context(), all())
	if err != nil || len(made) != 3 {
		t.Fatalf("made %v, %v", made, err)
	}
	r.left(map[string]int{"images": 3, "snapshots": 3})
}

// TestWrongRegion finds a region that there is not before the build starts.
func TestWrongRegion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	err := r.maker.CheckName(t.Context(), ami.Wanted{Name: "golden", Regions: []string{"eu-wset-1"}})
	if err == nil || !strings.Contains(err.Error(), "eu-wset-1") || account.Code(err) != "AuthFailure" {
		t.Error(err)
	}
}

// TestCancel ends a build in the middle of its copies, with the cause that it was cancelled for.
func TestCancel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the user has gone home")
	r.change(func(calls *account.Region) {
		copyImage := calls.EC2.CopyImage
		calls.EC2.CopyImage = func(ctx context.Context, in *ec2.CopyImageInput) (*ec2.CopyImageOutput, error) {
			out, err := copyImage(ctx, in)
			if calls.Name == "us-west-2" {
				cancel(stop)
			}
			return out, err
		}
	})
	if _, err := r.fromInstance(ctx, all()); !errors.Is(err, stop) {
		t.Errorf("the error is %v", err)
	}
	r.restart()
	r.sweep()
}

// TestImageThatNeverComes gives up when the template says so, and tells meanwhile how far its snapshots are.
func TestImageThatNeverComes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.change(func(calls *account.Region) {
		calls.Poll.Attempts = 3
		calls.EC2.DescribeImages = func(context.Context, *ec2.DescribeImagesInput) (*ec2.DescribeImagesOutput, error) {
			return &ec2.DescribeImagesOutput{Images: []types.Image{{State: types.ImageStatePending, BlockDeviceMappings: []types.BlockDeviceMapping{device("a", "snap-1"), device("b", "snap-2")}}}}, nil
		}
		calls.EC2.DescribeSnapshots = func(context.Context, *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error) {
			half, none := "50%", ""
			return &ec2.DescribeSnapshotsOutput{Snapshots: []types.Snapshot{{Progress: &half}, {Progress: &none}}}, nil
		}
	})
	if _, err := r.fromInstance(t.Context(), ami.Wanted{Name: "golden"}); err == nil || !strings.Contains(err.Error(), "aws_polling") || !strings.Contains(err.Error(), home) {
		t.Error(err)
	}
	if last := r.events[len(r.events)-1]; !strings.HasPrefix(last.Text, "Waiting for AMI ami-") || last.Percent != 25 {
		t.Errorf("the last event is %+v", last)
	}
	r.restart()
	r.sweep()
}
