package cloud

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// uploads are files that hold the disk of an account, by the formats that imports take: how they are made of disk $1 as $2.
var uploads = map[string]string{
	"raw":  `cp "$1" "$2"`,
	"vmdk": `qemu-img convert -q -O vmdk -o subformat=streamOptimized "$1" "$2"`,
	"vhd":  `qemu-img convert -q -O vpc -o force_size=on "$1" "$2"`,
	"vhdx": `qemu-img convert -q -O vhdx "$1" "$2"`,
	"ova":  `cd "${2%/*}"; echo '<Envelope/>' >d.ovf; qemu-img convert -q -O vmdk -o subformat=streamOptimized "$1" d.vmdk; tar --format=ustar -cf "$2" d.ovf d.vmdk`,
}

// upload puts the disk of an account into its bucket.
func (a account) upload(format string) {
	a.Helper()
	needTool(a.T, "qemu-img")
	file := filepath.Join(a.TempDir(), "disk."+format)
	if out, err := exec.CommandContext(a.Context(), "sh", "-ec", uploads[format], "sh", a.disk, file).CombinedOutput(); err != nil {
		a.Fatalf("%s: %v\n%s", format, err, out)
	}
	a.ok("s3", "cp", "--quiet", file, "s3://disks/disk."+format)
}

// importImage imports what was uploaded, and returns the task and how it ended: its state and message.
func (a account) importImage(format, key string, more ...string) (id, end string) {
	a.Helper()
	id = a.ok(append([]string{"ec2", "import-image", "--disk-containers", "Format=" + format + ",UserBucket={S3Bucket=disks,S3Key=" + key + "}", "--query", "ImportTaskId"}, more...)...)
	a.cloud.work.Wait()
	return id, a.ok("ec2", "describe-import-image-tasks", "--import-task-ids", id, "--query", "ImportImageTasks[].[Status,StatusMessage]")
}

// TestFormats: the image of an import has the bytes of the disk that was uploaded, in whatever format.
func TestFormats(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{Hidden: -1})
	want, err := os.ReadFile(a.disk)
	if err != nil {
		t.Fatal(err)
	}
	for format := range uploads {
		a.upload(format)
		id, end := a.importImage(format, "disk."+format)
		if end != "completed\tNone" {
			t.Errorf("%s is %s", format, end)
			continue
		}
		snapshot := a.ok("ec2", "describe-import-image-tasks", "--import-task-ids", id, "--query", "ImportImageTasks[].SnapshotDetails[].SnapshotId")
		got := make([]byte, len(want)+BlockSize)
		f, err := os.Open(a.cloud.snapshotFile(snapshot))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read(got); err != nil {
			t.Error(err)
		}
		f.Close()
		if !bytes.Equal(got, append(slices.Clone(want), make([]byte, BlockSize)...)) {
			t.Errorf("%s is imported as other bytes", format)
		}
	}
}

// TestStages: an import goes through the stages of the real service, and can be cancelled in any.
func TestStages(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{Hidden: -1, Pace: 40 * time.Millisecond})
	a.upload("raw")
	seen := make(chan []string)
	go func() {
		var all []string
		for state := "active"; state != "completed"; {
			time.Sleep(time.Millisecond)
			a.cloud.mu.Lock()
			for _, task := range a.cloud.region("us-east-1").tasks {
				var at stage
				if state, at = task.shown(); at.message != "" && !slices.Contains(all, at.message+" "+at.progress) {
					all = append(all, at.message+" "+at.progress)
				}
			}
			a.cloud.mu.Unlock()
		}
		seen <- all
	}()
	a.importImage("raw", "disk.raw")
	const want = "pending 2, validating 5, validated 19, converting 28, updating 58, booting 76, preparing ami 86"
	if got := strings.Join(<-seen, ", "); got != want {
		t.Errorf("the stages are %s", got)
	}
	id := a.ok("ec2", "import-snapshot", "--disk-container", "Format=raw,Url=s3://disks/disk.raw", "--query", "ImportTaskId")
	if n := a.cloud.Count()["import tasks"]; n != 1 {
		t.Errorf("%d tasks are under way", n)
	}
	if got := a.ok("ec2", "cancel-import-task", "--import-task-id", id, "--query", "[PreviousState,State]"); got != "active\tdeleting" {
		t.Errorf("it goes from %s", got)
	}
	a.until("deleted\t"+errCancelled.Error(), "ec2", "describe-import-snapshot-tasks", "--import-task-ids", id, "--query", "ImportSnapshotTasks[].SnapshotTaskDetail.[Status,StatusMessage]")
}

// TestRefusedImports have the texts of the real service.
func TestRefusedImports(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{Hidden: -1, Inspect: true})
	a.upload("raw")
	for _, c := range []struct{ format, key, want string }{
		{"raw", "another", "Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]"},
		{"raw", "disk.raw", "No valid partitions. Not a valid volume."},
		{"ova", "disk.raw", "Disk validation failed [Unsupported OVA format]"},
		{"vmdk", "disk.raw", "Disk validation failed [Unsupported VMDK format"},
	} {
		if _, end := a.importImage(c.format, c.key); !strings.HasPrefix(end, "delet") || !strings.Contains(end, "ClientError: "+c.want) {
			t.Errorf("%s as %s is %s", c.key, c.format, end)
		}
	}
	a.refused("InvalidParameter", "ec2", "import-image", "--role-name", "other", "--disk-containers", "Format=raw,Url=s3://disks/disk.raw")
	a.refused("InvalidParameter", "ec2", "import-image", "--region", "eu-west-1", "--disk-containers", "Format=raw,Url=s3://disks/disk.raw")
	a.refused("InvalidParameter", "ec2", "import-snapshot", "--disk-container", "Format=ova,Url=s3://disks/disk.raw")
	if n := a.cloud.Count(); n["s3 objects"] != 1 || len(n) != 1 {
		t.Errorf("there are %v", n)
	}
}

// TestHidden: what was just made is in no list either, for as long as it is hidden.
func TestHidden(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{HiddenFor: 400 * time.Millisecond})
	began := time.Now()
	a.ok("ec2", "create-security-group", "--group-name", "g", "--description", "d", "--tag-specifications", "ResourceType=security-group,Tags=[{Key=k,Value=v}]")
	list := []string{"ec2", "describe-security-groups", "--filters", "Name=tag:k,Values=v", "--query", "SecurityGroups[].GroupName"}
	got := a.ok(list...)
	if soon := time.Since(began) < 400*time.Millisecond; soon && got != "" {
		t.Errorf("%q is found at once", got)
	}
	a.until("g", list...)
	if time.Since(began) < 400*time.Millisecond {
		t.Error("it is found too soon")
	}
	a.refused("InvalidGroup.Duplicate", "ec2", "create-security-group", "--group-name", "g", "--description", "d")
}
