package ami_test

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

const home = "us-east-1"

// rig is a cloud with an instance in it, and somebody who makes images.
type rig struct {
	*testing.T
	cloud    *cloud.Cloud
	server   *httptest.Server
	maker    *ami.Maker
	instance string
	before   map[string]int // objects that are none of the maker's

	mu     sync.Mutex
	events []ami.Event
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(disk, bytes.Repeat([]byte("disk"), 1024), 0o600); err != nil {
		t.Fatal(err)
	}
	c := cloud.New(cloud.Config{Dir: dir, Pace: time.Millisecond})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	source, err := c.AddImage(t.Context(), home, "base", disk)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, cloud: c}
	r.connect()
	t.Cleanup(func() { r.server.Close() })
	r.run(source)
	r.before = c.Count()
	return r
}

// connect makes a maker that knows nothing of what was before, but whose it was.
func (r *rig) connect() {
	r.Helper()
	r.server = httptest.NewServer(r.cloud)
	acc, err := account.Open(r.Context(), account.Access{
		Region: home, Endpoint: r.server.URL, Keys: account.NewKeys("key", "secret", "", ""), SkipMetadata: true,
		MaxPause: time.Millisecond, Polling: account.Polling{Delay: time.Millisecond},
	})
	if err != nil {
		r.Fatal(err)
	}
	r.maker = &ami.Maker{In: acc.In, Home: home, Owner: hypervisor.Tag{Install: "i", Build: "b", Attempt: 1}, Tell: r.hear}
}

// client makes calls that only tests make.
func (r *rig) client(region string) *ec2.Client {
	return ec2.New(ec2.Options{Region: region, BaseEndpoint: &r.server.URL, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
}

// restart is what happens after a crash: what was on its way has arrived, and nobody heard of it.
func (r *rig) restart() {
	r.Helper()
	r.server.Close() // waits for calls that have arrived
	r.connect()
}

// run starts the instance.
func (r *rig) run(source string) {
	r.Helper()
	one := int32(1)
	calls := r.maker.In(home)
	out, err := calls.EC2.RunInstances(r.Context(), &ec2.RunInstancesInput{ImageId: &source, InstanceType: types.InstanceTypeT3Micro, MinCount: &one, MaxCount: &one})
	if err != nil {
		r.Fatal(err)
	}
	r.instance = *out.Instances[0].InstanceId
	if err := calls.Poll.UntilSeen(r.Context(), "the instance", func(ctx context.Context) (bool, error) {
		out, err := calls.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{r.instance}})
		return err == nil && out.Reservations[0].Instances[0].State.Name == types.InstanceStateNameRunning, err
	}); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) hear(e ami.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// told tells whether an event of a region begins so.
func (r *rig) told(region, text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.events, func(e ami.Event) bool { return e.Region == region && strings.HasPrefix(e.Text, text) })
}

// fromInstance makes images of the instance.
func (r *rig) fromInstance(ctx context.Context, w ami.Wanted) ([]ami.Image, error) {
	return r.maker.FromInstance(ctx, ami.Instance{ID: r.instance, Stopped: true}, w)
}

// snapshot makes a snapshot with tags, as whoever writes one through EBS direct does.
func (r *rig) snapshot(tags []types.Tag) string {
	r.Helper()
	calls := r.maker.In(home)
	out, err := calls.EC2.DescribeVolumes(r.Context(), &ec2.DescribeVolumesInput{Filters: []types.Filter{account.Filter("attachment.instance-id", r.instance)}})
	if err != nil || len(out.Volumes) != 1 {
		r.Fatalf("volumes %v: %v", out, err)
	}
	made, err := r.client(home).CreateSnapshot(r.Context(), &ec2.CreateSnapshotInput{
		VolumeId: out.Volumes[0].VolumeId, TagSpecifications: []types.TagSpecification{account.Specification(types.ResourceTypeSnapshot, tags)},
	})
	if err != nil {
		r.Fatal(err)
	}
	return *made.SnapshotId
}

// ours makes a snapshot that belongs to the maker.
func (r *rig) ours() string { return r.snapshot(account.Tags(r.maker.Owner, "disk", nil)) }

// hardware is that of a machine with one disk.
func hardware() ami.Hardware {
	return ami.Hardware{Architecture: types.ArchitectureValuesX8664, RootDevice: "/dev/xvda", BootMode: types.BootModeValuesUefi, TPM: types.TpmSupportValuesV20, ENA: true}
}

// device is a disk made of a snapshot.
func device(name, snapshot string) types.BlockDeviceMapping {
	return types.BlockDeviceMapping{DeviceName: &name, Ebs: &types.EbsBlockDevice{SnapshotId: &snapshot, VolumeType: types.VolumeTypeGp3}}
}

// image looks at an image.
func (r *rig) image(im ami.Image) types.Image {
	r.Helper()
	out, err := r.maker.In(im.Region).EC2.DescribeImages(r.Context(), &ec2.DescribeImagesInput{ImageIds: []string{im.ID}})
	if err != nil || len(out.Images) != 1 {
		r.Fatalf("the image %s in %s: %v, %v", im.ID, im.Region, out, err)
	}
	return out.Images[0]
}

// snapshots looks at the snapshots of an image.
func (r *rig) snapshots(im ami.Image) []types.Snapshot {
	r.Helper()
	out, err := r.maker.In(im.Region).EC2.DescribeSnapshots(r.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: im.Snapshots})
	if err != nil || len(out.Snapshots) != len(im.Snapshots) {
		r.Fatalf("the snapshots %v in %s: %v, %v", im.Snapshots, im.Region, out, err)
	}
	return out.Snapshots
}

// tagged turns tags into a map.
func tagged(tags []types.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

// left fails the test if there are other objects than in the beginning, and those that more says.
func (r *rig) left(more map[string]int) {
	r.Helper()
	want := maps.Clone(r.before)
	for kind, n := range more {
		want[kind] += n
	}
	if got := r.cloud.Count(); !maps.Equal(got, want) {
		r.Errorf("there are %v, want %v", got, want)
	}
}

// losing has the answer of the n-th call from now on lost: it has its effect, then the connection breaks, and onLoss is called. The
// result tells whether it came to that.
func (r *rig) losing(n int64, onLoss func()) (lost *atomic.Bool) {
	var seen atomic.Int64
	lost = &atomic.Bool{}
	r.cloud.AfterCalls(func(cloud.Request) {
		if seen.Add(1) == n {
			lost.Store(true)
			onLoss()
			panic(http.ErrAbortHandler) // net/http's way to close a connection without an answer
		}
	})
	return lost
}
