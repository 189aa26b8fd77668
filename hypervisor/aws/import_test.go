package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// world is a simulated account with EC2, EBS direct and S3 behind one address.
type world struct {
	*testing.T
	cloud *cloud.Cloud
	dir   string
	url   string

	mu     sync.Mutex
	calls  int
	before func(n int, name string) // is told each call before it is answered; it may be nil
	after  func(n int)              // and after
}

const bucket = "imports"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	w.cloud = cloud.New(cloud.Config{Dir: w.dir, Pace: time.Millisecond})
	if err := w.cloud.AddBucket(region, bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n := w.count(r)
		w.cloud.ServeHTTP(rw, r)
		w.mu.Lock()
		after := w.after
		w.mu.Unlock()
		if after != nil {
			after(n)
		}
	}))
	w.url = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := w.cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) count(r *http.Request) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.before != nil {
		w.before(w.calls, r.Method+" "+r.URL.Path)
	}
	return w.calls
}

// args are arguments of an import into the world.
func (w *world) args(more map[string]any) json.RawMessage {
	data, err := json.Marshal(more)
	if err != nil {
		w.Fatal(err)
	}
	return data
}

// driver is one that does not wait. Its access is that of arguments that say nothing.
func (w *world) driver() *Driver { return driverAt(w.url) }

func driverAt(url string) *Driver {
	return New(Options{Install: install, Access: account.Access{Region: region, Endpoint: url, Keys: account.NewKeys("test", "test", "", ""), SkipMetadata: true,
		MaxPause: time.Millisecond, Polling: account.Polling{Delay: 20 * time.Millisecond, Grace: 3 * time.Second}}})
}

func (w *world) request(args json.RawMessage, files ...hypervisor.File) hypervisor.ImportRequest {
	return hypervisor.ImportRequest{
		ImportHandle: hypervisor.ImportHandle{Driver: Name, Name: "build-1-package", Tag: hypervisor.Tag{Install: install, Build: "build", Attempt: 1}, Args: args},
		Files:        files, Arch: "amd64", Title: "debian12", Journal: filepath.Join(w.TempDir(), "journal"),
	}
}

// newDisk makes a raw disk of 1 GiB with some blocks in it.
func newDisk(t *testing.T, blocks int) hypervisor.File { return diskOf(t, 1<<30-1<<20, blocks) }

// smallDisk is one that can be uploaded in whole.
func smallDisk(t *testing.T, blocks int) hypervisor.File { return diskOf(t, 20<<20, blocks) }

func diskOf(t *testing.T, size int64, blocks int) hypervisor.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	source, data := rand.NewChaCha8([32]byte{byte(blocks)}), make([]byte, 5000)
	for i := range blocks {
		_, _ = source.Read(data) // never fails
		if _, err := f.WriteAt(data, int64(i)<<21+512); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	return hypervisor.File{Path: path, Role: hypervisor.RoleDisk, Format: disk.Raw}
}

func (w *world) calling(name string) *account.Region {
	w.Helper()
	a, err := account.Open(w.Context(), account.Access{Region: name, Endpoint: w.url, Keys: account.NewKeys("test", "test", "", ""), SkipMetadata: true, Polling: account.Polling{Delay: time.Millisecond}})
	if err != nil {
		w.Fatal(err)
	}
	return a.In("")
}

// image describes an image that was made.
func (w *world) image(id hypervisor.RemoteID) types.Image {
	w.Helper()
	out, err := w.calling(id.Region).EC2.DescribeImages(w.Context(), &ec2.DescribeImagesInput{Filters: []types.Filter{account.Filter("image-id", id.ID)}})
	if err != nil || len(out.Images) != 1 {
		w.Fatalf("%v: %v, %v", id, out, err)
	}
	return out.Images[0]
}

// same sees that an image's i-th disk has the bytes of a file.
func (w *world) same(im types.Image, i int, f hypervisor.File) {
	w.Helper()
	needTool(w.T, "qemu-img")
	snapshot := filepath.Join(w.dir, "snap-"+*im.BlockDeviceMappings[i].Ebs.SnapshotId+".raw")
	ok, err := disk.Tool{}.Compare(w.Context(), disk.Image{Path: f.Path, Format: f.Format}, disk.Image{Path: snapshot, Format: disk.Raw})
	if err != nil || !ok {
		w.Errorf("disk %d of the image has the bytes of the disk: %v, %v", i, ok, err)
	}
}

func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
			t.Fatalf("%v: test/setup/packages.sh test installs it", err)
		}
		t.Skip(err)
	}
}

// left sees what there is in the account, with the objects of the bucket.
func (w *world) left(want map[string]int) {
	w.Helper()
	got := w.cloud.Count()
	if d := cmp.Diff(want, got); d != "" {
		w.Error("what is in the account:", d)
	}
}

var nothing = map[string]int{}

// TestImport: two disks become one image in two regions, with all that was asked for.
func TestImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, data := newDisk(t, 9), newDisk(t, 2)
	var log bytes.Buffer
	var done, total int64
	r := w.request(w.args(map[string]any{"ami_name": "golden", "ami_regions": []string{"eu-west-1"}, "ami_users": []string{"111122223333"},
		"tags": map[string]string{"team": "images"}, "imds_support": "v2.0", "tpm_support": "v2.0"}), root, data)
	r.UEFI, r.Log, r.Progress = true, &log, func(_ string, d, of int64) { done, total = d, of }
	a, err := w.driver().Import(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.IDs) != 2 || a.IDs[0].Region != "us-east-1" || a.IDs[1].Region != "eu-west-1" || a.Driver != "aws" {
		t.Fatalf("%+v", a)
	}
	for _, id := range a.IDs {
		im := w.image(id)
		if *im.Name != "golden" || im.BootMode != types.BootModeValuesUefi || !*im.EnaSupport || im.TpmSupport != types.TpmSupportValuesV20 || im.ImdsSupport != types.ImdsSupportValuesV20 ||
			im.Architecture != types.ArchitectureValuesX8664 || *im.RootDeviceName != "/dev/xvda" {
			t.Errorf("%s: %+v", id.Region, im)
		}
		if tags := text(im.Tags); !strings.Contains(tags, "team=images") || !strings.Contains(tags, "boxkiln:install="+install+"") || !strings.Contains(tags, "boxkiln:artifact=build") {
			t.Errorf("%s: tags are %s", id.Region, tags)
		}
		w.same(im, 0, root)
		w.same(im, 1, data)
	}
	if n := w.cloud.Calls()["PutSnapshotBlock"]; n != 11 {
		t.Errorf("%d blocks were sent", n)
	}
	if done != total || done == 0 || !strings.Contains(log.String(), "9 of its blocks hold something") {
		t.Errorf("progress ends at %d of %d; the log is\n%s", done, total, log.String())
	}
	w.left(map[string]int{"images": 2, "snapshots": 4})
	if found, err := filepath.Glob(r.Journal + "*"); err != nil || len(found) != 0 {
		t.Errorf("journals are left: %v, %v", found, err)
	}
	for range 2 {
		if err := w.driver().RemoveImport(t.Context(), r.ImportHandle); err != nil {
			t.Error(err)
		}
		w.left(nothing)
	}
}

func text(tags []types.Tag) string {
	var all []string
	for _, t := range tags {
		all = append(all, *t.Key+"="+*t.Value)
	}
	return strings.Join(all, " ")
}

// TestImportThroughBucket: both ways through a bucket end in the same image, and leave the bucket as it was.
func TestImportThroughBucket(t *testing.T) {
	t.Parallel()
	needTool(t, "qemu-img")
	for _, kind := range []string{"image", "snapshot"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			f := smallDisk(t, 4)
			more := map[string]any{"s3_bucket_name": bucket, "format": "raw", "s3_import": kind, "ami_name": "golden", "tags": map[string]string{"team": "images"}, "platform": "linux"}
			r := w.request(w.args(more), f)
			a, err := w.driver().Import(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			im := w.image(a.IDs[0])
			if *im.Name != "golden" || !strings.Contains(text(im.Tags), "team=images") {
				t.Errorf("%+v", im)
			}
			w.same(im, 0, f)
			w.left(map[string]int{"images": 1, "snapshots": 1})
			if err := w.driver().RemoveImport(t.Context(), r.ImportHandle); err != nil {
				t.Error(err)
			}
			w.left(nothing)
			more["skip_clean"], more["s3_key_name"] = true, "kept.raw"
			again := w.request(w.args(more), f)
			again.Tag.Attempt = 2
			if _, err := w.driver().Import(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			w.left(map[string]int{"images": 1, "snapshots": 1, "s3 objects": 1})
		})
	}
}

// TestImportFails: whatever goes wrong is told with what to do about it, and the clean-up leaves nothing.
func TestImportFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault cloud.Fault
		args  map[string]any
		want  []string
	}{
		{"denied", cloud.Fault{Action: "RegisterImage", Code: "UnauthorizedOperation"}, nil, []string{"the permission ec2:RegisterImage is missing", "policy"}},
		{"denied block", cloud.Fault{Action: "PutSnapshotBlock", Code: "UnauthorizedOperation"}, nil, []string{"the permission ebs:PutSnapshotBlock is missing"}},
		{"expired", cloud.Fault{Action: "PutSnapshotBlock", Code: "ExpiredToken"}, nil, []string{"ExpiredToken", "temporary credentials"}},
		{"snapshot error", cloud.Fault{Action: "CompleteSnapshot", Code: cloud.SnapshotFails}, nil, []string{"could not complete the snapshot"}},
		{"copy fails", cloud.Fault{Action: "CopyImage", Code: cloud.SnapshotFails}, map[string]any{"ami_regions": []string{"eu-west-1"}}, []string{"eu-west-1"}},
		{"no role", cloud.Fault{}, map[string]any{"s3_bucket_name": bucket, "format": "raw", "role_name": "other"}, []string{"service role other", "role_name", "without s3_bucket_name"}},
		{"no bucket", cloud.Fault{}, map[string]any{"s3_bucket_name": "nowhere", "format": "raw"}, []string{"NoSuchBucket", "make the bucket first"}},
		{"not a disk", cloud.Fault{}, map[string]any{"s3_bucket_name": bucket, "format": "vhdx"}, []string{"Disk validation failed", "see that format says what the file is"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.fault.Action != "" {
				w.cloud.Inject(c.fault)
			}
			r := w.request(w.args(c.args), smallDisk(t, 3))
			_, err := w.driver().Import(t.Context(), r)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error is %v, without %q", err, want)
				}
			}
			if err := w.driver().RemoveImport(t.Context(), r.ImportHandle); err != nil {
				t.Error(err)
			}
			w.left(nothing)
		})
	}
}

// TestImportIsRefusedEarly: what can be known before anything is sent is.
func TestImportIsRefusedEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.cloud.AddImage(t.Context(), "eu-west-1", "golden", newDisk(t, 1).Path); err != nil {
		t.Fatal(err)
	}
	before := w.cloud.Count()
	for _, c := range []struct {
		args map[string]any
		want string
	}{
		{map[string]any{"ami_name": "golden", "ami_regions": []string{"eu-west-1"}}, `"golden" is taken in eu-west-1`},
		{map[string]any{"ami_name": "a*"}, "ami_name"},
		{map[string]any{"boot_mode": "bios"}, "legacy-bios"},
		{map[string]any{"tpm_support": "v2.0"}, "UEFI"},
		{map[string]any{"s3_key_name": "key"}, "set s3_bucket_name"},
		{map[string]any{"ami_kms_key": "alias/x"}, "ami_encrypt"},
		{map[string]any{"s3_bucket_name": bucket, "s3_import": "snapshot"}, "takes one disk"},
		{map[string]any{"vault_aws_engine": map[string]string{"name": "x"}}, "asks no Vault"},
		{map[string]any{"deprecate_at": "tomorrow"}, "2027-01-31T00:00:00Z"},
	} {
		_, err := w.driver().Import(t.Context(), w.request(w.args(c.args), newDisk(t, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error is %v, without %q", c.args, err, c.want)
		}
	}
	w.left(before)
}

// TestEncryptedImport writes the snapshot encrypted, with no copy that is not needed.
func TestEncryptedImport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   map[string]any
		copies int
	}{{nil, 0}, {map[string]any{"ami_kms_key": "arn:aws:kms:us-east-1:123456789012:alias/mine"}, 0}, {map[string]any{"ami_kms_key": "alias/mine"}, 1}, {map[string]any{"ami_regions": []string{"eu-west-1"}}, 2}} {
		w := newWorld(t)
		args := map[string]any{"ami_encrypt": true}
		for k, v := range c.args {
			args[k] = v
		}
		a, err := w.driver().Import(t.Context(), w.request(w.args(args), newDisk(t, 3)))
		if err != nil {
			t.Fatal(err)
		}
		if n := w.cloud.Calls()["CopyImage"]; n != c.copies {
			t.Errorf("%v: %d copies", c.args, n)
		}
		n := len(a.IDs)
		w.left(map[string]int{"images": n, "snapshots": n})
	}
}

// TestCancelledImport: whoever cancels waits for nothing, and the clean-up leaves nothing.
func TestCancelledImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.request(w.args(map[string]any{"ami_regions": []string{"eu-west-1"}}), newDisk(t, 30))
	for _, at := range []int{3, 20, 36} {
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		w.mu.Lock()
		w.calls, w.before = 0, func(n int, _ string) {
			if n == at {
				cancel(stop)
			}
		}
		w.mu.Unlock()
		if _, err := w.driver().Import(ctx, r); !errors.Is(err, stop) {
			t.Errorf("cancelled at call %d: %v", at, err)
		}
		w.remove(r)
	}
}

// TestKilledImport kills a process in the middle of each call that an import makes, once before the service hears it and once after, and
// sees that whoever finds the handle in the ledger leaves nothing.
func TestKilledImport(t *testing.T) {
	t.Parallel()
	needTool(t, "qemu-img")
	for name, more := range map[string]map[string]any{
		"direct": {"ami_regions": []string{"eu-west-1"}},
		"image":  {"s3_bucket_name": bucket, "format": "raw"}, "snapshot": {"s3_bucket_name": bucket, "format": "raw", "s3_import": "snapshot"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.request(w.args(more), smallDisk(t, 3))
			calls := w.inChild(r, 0, false)
			if calls < 8 {
				t.Fatalf("an import of %d calls", calls)
			}
			w.remove(r)
			if testing.Short() {
				calls = 4
			}
			for n := 1; n <= calls; n++ {
				for _, heard := range []bool{false, true} {
					w.inChild(r, n, heard)
					w.remove(r)
					if t.Failed() {
						requests := w.cloud.Requests()
						t.Fatalf("killed at call %d of %d, heard: %t; the last requests were %v", n, calls, heard, requests[max(0, len(requests)-30):])
					}
				}
			}
		})
	}
}

func (w *world) remove(r hypervisor.ImportRequest) {
	w.Helper()
	w.mu.Lock()
	w.before, w.after = nil, nil
	w.mu.Unlock()
	if err := w.driver().RemoveImport(w.Context(), r.ImportHandle); err != nil {
		w.Error(err)
	}
	w.left(nothing)
	files, err := filepath.Glob(r.Journal + "*")
	for _, f := range files {
		err = errors.Join(err, os.Remove(f)) // as the directory of the attempt goes
	}
	if err != nil {
		w.Error(err)
	}
}

const childEnv = "BOXKILN_TEST_IMPORT"

// inChild imports in another process, which is killed at call n, before it is heard or after. It returns how many calls there were.
func (w *world) inChild(r hypervisor.ImportRequest, n int, heard bool) int {
	w.Helper()
	data, err := json.Marshal(struct {
		hypervisor.ImportHandle
		File    hypervisor.File
		Journal string
		URL     string
	}{r.ImportHandle, r.Files[0], r.Journal, w.url})
	if err != nil {
		w.Fatal(err)
	}
	cmd := exec.CommandContext(w.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(data))
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	kill := func() { _ = cmd.Process.Signal(syscall.SIGKILL) }
	w.mu.Lock()
	w.calls = 0
	w.before, w.after = nil, nil
	if n > 0 && !heard {
		w.before = func(i int, _ string) {
			if i == n {
				kill()
				panic(http.ErrAbortHandler) // it is not heard
			}
		}
	} else if n > 0 {
		w.after = func(i int) {
			if i == n {
				kill()
				panic(http.ErrAbortHandler)
			}
		}
	}
	err = cmd.Start() // while no call is counted: kill needs the process
	w.mu.Unlock()
	if err != nil {
		w.Fatal(err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled()
	if n == 0 && err != nil || err != nil && !killed {
		w.Fatalf("killed at %d: the child ended with %v: %s", n, err, out)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func TestMain(m *testing.M) {
	text := os.Getenv(childEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	var in struct {
		hypervisor.ImportHandle
		File    hypervisor.File
		Journal string
		URL     string
	}
	err := json.Unmarshal([]byte(text), &in)
	if err == nil {
		_, err = driverAt(in.URL).Import(context.Background(), hypervisor.ImportRequest{ImportHandle: in.ImportHandle, Files: []hypervisor.File{in.File}, Arch: "amd64", Title: "debian12", Journal: in.Journal})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
