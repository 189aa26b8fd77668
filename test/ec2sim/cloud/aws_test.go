package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// account is a cloud with one image of a small disk, and somebody who uses it by awscli.
type account struct {
	*testing.T
	cloud *Cloud
	url   string
	image string
}

func newAccount(t *testing.T) account {
	t.Helper()
	if _, err := exec.LookPath("aws"); err != nil {
		if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
			t.Fatalf("%v: test/setup/packages.sh test installs it", err)
		}
		t.Skipf("%v", err)
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(disk, bytes.Repeat([]byte("disk"), BlockSize), 0o600); err != nil { // four blocks
		t.Fatal(err)
	}
	c := New(Config{Dir: dir, Pace: time.Millisecond})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	image, err := c.AddImage(t.Context(), "us-east-1", "base", disk)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return account{t, c, s.URL, image}
}

// call runs awscli and returns what it prints and how it ends.
func (a account) call(args ...string) (out string, err error) {
	ctx, cancel := context.WithTimeout(a.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "aws", append([]string{"--endpoint-url", a.url, "--region", "us-east-1", "--output", "text"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1", "AWS_CONFIG_FILE=/nonexistent", "AWS_EC2_METADATA_DISABLED=true")
	both, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(both)), err
}

// ok runs awscli to its good end.
func (a account) ok(args ...string) string {
	a.Helper()
	out, err := a.call(args...)
	if err != nil {
		a.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refused runs awscli to an error with a code.
func (a account) refused(code string, args ...string) {
	a.Helper()
	if out, err := a.call(args...); err == nil || !strings.Contains(out, "("+code+")") {
		a.Errorf("aws %s: %v, not %s:\n%s", strings.Join(args, " "), err, code, out)
	}
}

// TestImageOfAnInstance is the way of amazon-ebs, by awscli: key, group, instance, image, and everything away again.
func TestImageOfAnInstance(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	if got := a.ok("ec2", "describe-images", "--owners", "self", "--filters", "Name=name,Values=b?se", "--query", "Images[].ImageId"); got != a.image {
		a.Fatalf("the image is %s, not %q", a.image, got)
	}
	if key := a.ok("ec2", "create-key-pair", "--key-name", "k", "--key-type", "ed25519", "--query", "KeyMaterial"); !strings.HasPrefix(key, "-----BEGIN OPENSSH PRIVATE KEY-----") {
		a.Errorf("the key is\n%s", key)
	}
	group := a.ok("ec2", "create-security-group", "--group-name", "g", "--description", "d", "--query", "GroupId")
	a.ok("ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr", "127.0.0.1/32")
	run := []string{"ec2", "run-instances", "--image-id", a.image, "--instance-type", "t3.micro", "--key-name", "k", "--security-group-ids", group, "--client-token", "once",
		"--tag-specifications", "ResourceType=instance,Tags=[{Key=made,Value=by}]", "--query", "Instances[0].InstanceId"}
	instance := a.ok(run...)
	if again := a.ok(run...); again != instance {
		a.Errorf("one ClientToken started %s and %s", instance, again)
	}
	a.refused("InvalidInstanceID.NotFound", "ec2", "describe-instances", "--instance-ids", instance) // not yet
	a.ok("ec2", "wait", "instance-running", "--instance-ids", instance)
	a.refused("DependencyViolation", "ec2", "delete-security-group", "--group-id", group)
	made := a.ok("ec2", "create-image", "--instance-id", instance, "--name", "made", "--query", "ImageId")
	a.refused("InvalidAMIName.Duplicate", "ec2", "create-image", "--instance-id", instance, "--name", "made")
	a.refused("InvalidAMIID.NotFound", "ec2", "describe-images", "--image-ids", made) // not yet
	a.ok("ec2", "wait", "image-available", "--image-ids", made)
	a.ok("ec2", "terminate-instances", "--instance-ids", instance)
	a.ok("ec2", "wait", "instance-terminated", "--instance-ids", instance)
	a.ok("ec2", "delete-security-group", "--group-id", group) // awscli takes longer than the network interface
	a.ok("ec2", "delete-key-pair", "--key-name", "k")
	snapshot := a.ok("ec2", "describe-images", "--image-ids", made, "--query", "Images[0].BlockDeviceMappings[0].Ebs.SnapshotId")
	a.refused("InvalidSnapshot.InUse", "ec2", "delete-snapshot", "--snapshot-id", snapshot)
	a.ok("ec2", "deregister-image", "--image-id", made)
	a.ok("ec2", "delete-snapshot", "--snapshot-id", snapshot)
	if left := a.cloud.Objects(); len(left) != 0 {
		a.Errorf("left is %+v", left)
	}
}

// TestImageOfBlocks is the way of EBS direct: a snapshot written block by block, and an image of it.
func TestImageOfBlocks(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	snapshot := a.ok("ebs", "start-snapshot", "--volume-size", "1", "--client-token", "once", "--query", "SnapshotId")
	block := filepath.Join(t.TempDir(), "block")
	if err := os.WriteFile(block, bytes.Repeat([]byte{7}, BlockSize), 0o600); err != nil {
		t.Fatal(err)
	}
	const sum = "S9m5WENJsFtm4wJYL3gSfQRLmfyFPSuT1qMT7Uu5YXM=" // not that of the block
	put := []string{"ebs", "put-snapshot-block", "--snapshot-id", snapshot, "--block-index", "3", "--block-data", block, "--data-length", "524288", "--checksum-algorithm", "SHA256", "--checksum"}
	a.refused("ValidationException", append(put, sum)...)
	right, err := exec.CommandContext(t.Context(), "sh", "-c", `openssl dgst -sha256 -binary "$1" | base64`, "sh", block).Output()
	if err != nil {
		t.Fatal(err)
	}
	a.ok(append(put, strings.TrimSpace(string(right)))...)
	a.refused("ValidationException", "ebs", "complete-snapshot", "--snapshot-id", snapshot, "--changed-blocks-count", "2")
	a.ok("ebs", "complete-snapshot", "--snapshot-id", snapshot, "--changed-blocks-count", "1")
	if blocks, err := a.cloud.Blocks(snapshot); err != nil || len(blocks) != 1 || blocks[0] != 3 {
		a.Errorf("the blocks are %v (%v)", blocks, err)
	}
	_, _ = a.call("ec2", "describe-snapshots", "--snapshot-ids", snapshot) // it is not found the first time
	mapping, err := json.Marshal([]any{map[string]any{"DeviceName": "/dev/xvda", "Ebs": map[string]any{"SnapshotId": snapshot}}})
	if err != nil {
		t.Fatal(err)
	}
	image := a.ok("ec2", "register-image", "--name", "blocks", "--architecture", "x86_64", "--virtualization-type", "hvm", "--ena-support", "--boot-mode", "uefi",
		"--root-device-name", "/dev/xvda", "--block-device-mappings", string(mapping), "--query", "ImageId")
	if !strings.HasPrefix(image, "ami-") {
		a.Errorf("the image is %q", image)
	}
}

// TestFaults injects what goes wrong.
func TestFaults(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	for _, text := range []string{"DescribeRegions:RequestLimitExceeded:1", "RunInstances:InsufficientInstanceCapacity:1"} {
		f, err := ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		a.cloud.Inject(f)
	}
	a.refused("RequestLimitExceeded", "ec2", "describe-regions")
	a.ok("ec2", "describe-regions")
	a.refused("InsufficientInstanceCapacity", "ec2", "run-instances", "--image-id", a.image)
	for _, bad := range []string{"", "x", ":y", "a:b:0", "a:b:c:d"} {
		if f, err := ParseFault(bad); err == nil {
			t.Errorf("%q is %+v", bad, f)
		}
	}
}
