package ebsdirect_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ebsdirect"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const blockSize = ebsdirect.BlockSize

// world is a simulated region.
type world struct {
	*testing.T
	cloud  *cloud.Cloud
	dir    string // of the cloud's disks
	region *account.Region
}

func newWorld(t *testing.T) world {
	t.Helper()
	dir := t.TempDir()
	c := cloud.New(cloud.Config{Dir: dir, Pace: time.Millisecond})
	s := httptest.NewServer(c)
	t.Cleanup(func() {
		s.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := account.Open(t.Context(), account.Access{Region: "us-east-1", Endpoint: s.URL, Keys: account.NewKeys("test", "test", "", ""), SkipMetadata: true,
		Tries: 1, Polling: account.Polling{Delay: time.Millisecond, Grace: 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	return world{t, c, dir, a.In("")}
}

// impatient sends without waiting.
func impatient(o ebsdirect.Options) ebsdirect.Options {
	o.FirstPause, o.LastPause = time.Millisecond, 4*time.Millisecond
	return o
}

// newDisk makes a raw image of size bytes with random bytes at some places.
func newDisk(t *testing.T, size int64, filled map[int64]int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	source := rand.NewChaCha8([32]byte{1})
	for at, n := range filled {
		data := make([]byte, n)
		_, _ = source.Read(data) // never fails
		data[0] |= 1             // not all zeros
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// scattered is a disk of 64 blocks in all.
func scattered(t *testing.T) string {
	filled := map[int64]int{}
	for i := range int64(64) {
		filled[i*3*blockSize+i] = 4096
	}
	return newDisk(t, 256*blockSize, filled)
}

// same sees that a snapshot has the bytes of a disk.
func (w world) same(path, snapshot string) {
	w.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
			w.Fatal(err)
		}
		w.Skip(err)
	}
	ok, err := disk.Tool{}.Compare(w.Context(), disk.Image{Path: path, Format: disk.Raw}, disk.Image{Path: filepath.Join(w.dir, "snap-"+snapshot+".raw"), Format: disk.Raw})
	if err != nil || !ok {
		w.Errorf("the snapshot has the bytes of the disk: %v, %v", ok, err)
	}
}

// left sees what there is in the account.
func (w world) left(want map[string]int) {
	w.Helper()
	if d := cmp.Diff(want, w.cloud.Count()); d != "" {
		w.Error("what is in the account:", d)
	}
}

var nothing, one = map[string]int{}, map[string]int{"snapshots": 1}

// TestBytes: the bytes of the disk arrive, and no block is sent that has none.
func TestBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const size = 1<<30 + 3*blockSize + 100<<10 // neither whole GiB nor whole blocks
	path := newDisk(t, size, map[int64]int{0: 512, 5 * blockSize: 2*blockSize + 1, 100*blockSize - 1: 2, 1 << 30: 7, size - 9: 9})
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 3*blockSize), 20*blockSize); err != nil { // zeros that are no hole
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var done, total int64
	tags := account.Tags(hypervisor.Tag{Install: "i", Build: "b", Attempt: 1}, "name", nil)
	s, err := ebsdirect.Write(t.Context(), w.region, path, ebsdirect.Options{Description: "a disk", Tags: tags, Progress: func(d, of int64) { done, total = d, of }})
	if err != nil {
		t.Fatal(err)
	}
	want := []int64{0, 5, 6, 7, 99, 100, 2048, 2051}
	if got, err := w.cloud.Blocks(s.ID); err != nil || !slices.Equal(got, want) {
		t.Errorf("blocks are %v, %v", got, err)
	}
	n := int64(len(want))
	if d := cmp.Diff(ebsdirect.Snapshot{ID: s.ID, GiB: 2, Blocks: n, Sent: n, SentBytes: n * blockSize}, s); d != "" {
		t.Error(d)
	}
	if calls := w.cloud.Calls(); calls["PutSnapshotBlock"] != len(want) || calls["StartSnapshot"] != 1 || calls["CompleteSnapshot"] != 1 {
		t.Errorf("calls are %v", calls)
	}
	if done != total || done != (n+3)*blockSize {
		t.Errorf("progress ends at %d of %d", done, total)
	}
	w.same(path, s.ID)
	out, err := w.region.EC2.DescribeSnapshots(t.Context(), byTag("b"))
	if err != nil || len(out.Snapshots) != 1 || aws.ToString(out.Snapshots[0].Description) != "a disk" {
		t.Errorf("found by its tags: %+v, %v", out, err)
	}
}

// TestAnyLayout: whatever is where, exactly the blocks that hold something are sent.
func TestAnyLayout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		const size = 16 * blockSize
		starts := rapid.SliceOfN(rapid.Int64Range(0, size-blockSize-2), 0, 6).Draw(rt, "starts")
		filled, want := map[int64]int{}, map[int64]bool{}
		for _, at := range starts {
			n := rapid.IntRange(1, blockSize).Draw(rt, "length")
			filled[at] = n
		}
		path := newDisk(t, size+rapid.Int64Range(0, blockSize).Draw(rt, "tail"), filled)
		data, err := os.ReadFile(path)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range int64(len(data)+blockSize-1) / blockSize {
			piece := data[i*blockSize : min(int64(len(data)), (i+1)*blockSize)]
			if !bytes.Equal(piece, make([]byte, len(piece))) {
				want[i] = true
			}
		}
		before := w.cloud.Calls()["PutSnapshotBlock"]
		s, err := ebsdirect.Write(t.Context(), w.region, path, ebsdirect.Options{Parallel: rapid.IntRange(1, 9).Draw(rt, "parallel")})
		if err != nil {
			rt.Fatal(err)
		}
		if sent := w.cloud.Calls()["PutSnapshotBlock"] - before; sent != len(want) || s.Blocks != int64(len(want)) {
			rt.Errorf("%d blocks were sent and %d are told, of %d", sent, s.Blocks, len(want))
		}
		f, err := os.Open(filepath.Join(w.dir, "snap-"+s.ID+".raw"))
		if err != nil {
			rt.Fatal(err)
		}
		defer f.Close()
		got := make([]byte, len(data))
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
			rt.Errorf("the snapshot has the bytes of the disk: false, %v", err)
		}
	})
}

// TestThrottlingStorm is outlasted, with the blocks counted once.
func TestThrottlingStorm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := scattered(t)
	for _, action := range []string{"StartSnapshot", "CompleteSnapshot"} {
		w.cloud.Inject(cloud.Fault{Action: action, Code: "RequestLimitExceeded", Count: 3})
	}
	w.cloud.Inject(cloud.Fault{Action: "PutSnapshotBlock", Code: "RequestLimitExceeded", Count: 150})
	w.cloud.Inject(cloud.Fault{Action: "PutSnapshotBlock", Code: "InternalError", Count: 10})
	s, err := ebsdirect.Write(t.Context(), w.region, path, impatient(ebsdirect.Options{Tries: 200}))
	if err != nil {
		t.Fatal(err)
	}
	if s.Blocks != 64 || s.Sent != 64 || s.SentBytes != (64+160)*blockSize {
		t.Errorf("%+v", s)
	}
	w.same(path, s.ID)
	w.cloud.Inject(cloud.Fault{Action: "PutSnapshotBlock", Code: "RequestLimitExceeded"})
	_, err = ebsdirect.Write(t.Context(), w.region, path, impatient(ebsdirect.Options{Tries: 3}))
	if !account.IsThrottled(err) || !strings.Contains(err.Error(), "tried 3 times") {
		t.Errorf("a storm without end: %v", err)
	}
	w.left(one) // the first
}

// TestRefused: what the service refuses for good is told at once, and nothing is left.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault cloud.Fault
		spoil func(*account.Region)
		tries int // of PutSnapshotBlock at most
		want  string
	}{
		{"denied", cloud.Fault{Action: "StartSnapshot", Code: "UnauthorizedOperation"}, nil, 0, "the permission ebs:StartSnapshot is missing"},
		{"denied block", cloud.Fault{Action: "PutSnapshotBlock", Code: "UnauthorizedOperation"}, nil, 64, "the permission ebs:PutSnapshotBlock is missing"},
		{"expired", cloud.Fault{Action: "PutSnapshotBlock", Code: "ExpiredToken"}, nil, 64, "get new temporary credentials"},
		{"snapshot error", cloud.Fault{Action: "CompleteSnapshot", Code: cloud.SnapshotFails}, nil, 64, "could not complete the snapshot"},
		{"wrong bytes", cloud.Fault{}, func(r *account.Region) {
			put := r.EBS.PutSnapshotBlock
			r.EBS.PutSnapshotBlock = func(ctx context.Context, in *ebs.PutSnapshotBlockInput) (*ebs.PutSnapshotBlockOutput, error) {
				in.BlockData = bytes.NewReader(make([]byte, blockSize))
				return put(ctx, in)
			}
		}, 64, "checksum"},
		{"wrong sum", cloud.Fault{}, func(r *account.Region) {
			complete := r.EBS.CompleteSnapshot
			r.EBS.CompleteSnapshot = func(ctx context.Context, in *ebs.CompleteSnapshotInput) (*ebs.CompleteSnapshotOutput, error) {
				in.Checksum = aws.String("S9m5WENJsFtm4wJYL3gSfQRLmfyFPSuT1qMT7Uu5YXM=")
				return complete(ctx, in)
			}
		}, 64, "checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.fault.Action != "" {
				w.cloud.Inject(c.fault)
			}
			if c.spoil != nil {
				c.spoil(w.region)
			}
			journal := filepath.Join(t.TempDir(), "journal")
			for _, o := range []ebsdirect.Options{{}, {Journal: journal}} {
				_, err := ebsdirect.Write(t.Context(), w.region, scattered(t), impatient(o))
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error is %v", err)
				}
				if o.Journal != "" { // may be gone on with, or not
					if err := ebsdirect.Discard(t.Context(), w.region, journal); err != nil {
						t.Error(err)
					}
				}
				w.left(nothing)
			}
			if n := w.cloud.Calls()["PutSnapshotBlock"]; n > 2*c.tries {
				t.Errorf("a block was sent again: %d calls", n)
			}
		})
	}
}

// interrupt ends a Write with a journal after n blocks.
func (w world) interrupt(path, journal string, n int64) {
	w.Helper()
	ctx, cancel := context.WithCancelCause(w.Context())
	defer cancel(nil)
	stop := errors.New("enough")
	var sent atomic.Int64
	r := *w.region
	put := r.EBS.PutSnapshotBlock
	r.EBS.PutSnapshotBlock = func(ctx context.Context, in *ebs.PutSnapshotBlockInput) (*ebs.PutSnapshotBlockOutput, error) {
		if sent.Add(1) > n {
			cancel(stop)
			return nil, ctx.Err()
		}
		return put(ctx, in)
	}
	if _, err := ebsdirect.Write(ctx, &r, path, impatient(ebsdirect.Options{Journal: journal})); !errors.Is(err, stop) {
		w.Errorf("an interrupted Write: %v", err)
	}
}

// TestGoesOn: after an interruption no block is sent twice, and the snapshot is the same one.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path, journal := scattered(t), filepath.Join(t.TempDir(), "journal")
	w.interrupt(path, journal, 40)
	w.left(one)
	s, err := ebsdirect.Write(t.Context(), w.region, path, impatient(ebsdirect.Options{Journal: journal}))
	if err != nil {
		t.Fatal(err)
	}
	if s.Blocks != 64 || s.Sent+40 < 64 || s.Sent > 64 {
		t.Errorf("%+v after 40 blocks", s)
	}
	if calls := w.cloud.Calls(); calls["StartSnapshot"] != 1 || int64(calls["PutSnapshotBlock"]) < 64 || int64(calls["PutSnapshotBlock"]) > 40+s.Sent {
		t.Errorf("calls are %v", calls)
	}
	w.same(path, s.ID)
	again, err := ebsdirect.Write(t.Context(), w.region, path, impatient(ebsdirect.Options{Journal: journal}))
	if err != nil || again.ID != s.ID || again.Sent != 0 {
		t.Errorf("the snapshot is done: %+v, %v", again, err)
	}
	w.left(one)
	if err := ebsdirect.Forget(journal); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(journal); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a journal that is forgotten: %v", err)
	}
}

// TestLostAnswers: a call that was heard, and whose answer was not, makes nothing twice.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path, journal := scattered(t), filepath.Join(t.TempDir(), "journal")
	lost := errors.New("the process dies here")
	r := *w.region
	r.EBS.StartSnapshot = func(ctx context.Context, in *ebs.StartSnapshotInput) (*ebs.StartSnapshotOutput, error) {
		_, err := w.region.EBS.StartSnapshot(ctx, in)
		return nil, errors.Join(lost, err)
	}
	if _, err := ebsdirect.Write(t.Context(), &r, path, ebsdirect.Options{Journal: journal}); !errors.Is(err, lost) {
		t.Error(err)
	}
	r = *w.region
	r.EBS.CompleteSnapshot = func(ctx context.Context, in *ebs.CompleteSnapshotInput) (*ebs.CompleteSnapshotOutput, error) {
		_, err := w.region.EBS.CompleteSnapshot(ctx, in)
		return nil, errors.Join(lost, err)
	}
	if _, err := ebsdirect.Write(t.Context(), &r, path, ebsdirect.Options{Journal: journal}); !errors.Is(err, lost) {
		t.Error(err)
	}
	s, err := ebsdirect.Write(t.Context(), w.region, path, ebsdirect.Options{Journal: journal})
	if err != nil || s.Sent != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	w.same(path, s.ID)
	w.left(one)
}

// TestChangedDisk: a journal is not believed about the disk.
func TestChangedDisk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		data []byte
	}{{"other bytes", []byte("other")}, {"no bytes", make([]byte, 2*blockSize)}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			path, journal := scattered(t), filepath.Join(t.TempDir(), "journal")
			w.interrupt(path, journal, 60)
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i := range int64(64) { // one that was sent is among them
				if _, err := f.WriteAt(c.data, i*3*blockSize); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := ebsdirect.Write(t.Context(), w.region, path, impatient(ebsdirect.Options{Journal: journal})); !errors.Is(err, ebsdirect.ErrChanged) {
				t.Errorf("error is %v", err)
			}
			w.left(nothing)
			if _, err := os.Stat(journal); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the journal: %v", err)
			}
		})
	}
}

// TestDiscard removes what a journal knows of, and is content without.
func TestDiscard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path, journal := scattered(t), filepath.Join(t.TempDir(), "journal")
	w.interrupt(path, journal, 3)
	w.left(one)
	for range 2 {
		if err := ebsdirect.Discard(t.Context(), w.region, journal); err != nil {
			t.Error(err)
		}
		w.left(nothing)
	}
	w.interrupt(path, journal, 3)
	if _, err := ebsdirect.Write(t.Context(), w.region, newDisk(t, 3<<30, nil), ebsdirect.Options{Journal: journal}); err == nil || !strings.Contains(err.Error(), "3 GiB") {
		t.Errorf("the journal of another disk: %v", err)
	}
	if err := os.WriteFile(journal, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := ebsdirect.Write(t.Context(), w.region, path, ebsdirect.Options{Journal: journal}); err != nil || s.Sent != 64 {
		t.Errorf("a journal that is cut off: %+v, %v", s, err)
	}
}

// byTag asks for the snapshots of a build.
func byTag(build string) *ec2.DescribeSnapshotsInput {
	return &ec2.DescribeSnapshotsInput{Filters: []types.Filter{account.Filter("tag:"+account.TagBuild, build)}}
}
