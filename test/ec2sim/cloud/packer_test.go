package cloud

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// template makes an image of an image, and copies it: the endpoint, the source and a region.
const template = `{
  "builders": [{
    "type": "amazon-ebs", "region": "us-east-1", "custom_endpoint_ec2": %[1]q,
    "access_key": "test", "secret_key": "test",
    "skip_region_validation": true, "skip_credential_validation": true, "skip_metadata_api_check": true,
    "source_ami_filter": {"filters": {"name": "bas*", "root-device-type": "ebs"}, "owners": ["self"], "most_recent": true},
    "instance_type": "t3.micro", "communicator": "none",
    "ami_name": "packed", "ami_description": "made by Packer", "ami_users": ["111122223333"],
    "tags": {"made": "by Packer"}, "run_tags": {"for": "a while"}
  }]
}`

// TestPacker has Debian's Packer build with its amazon-ebs, without logging in.
func TestPacker(t *testing.T) {
	t.Parallel()
	needTool(t, "packer")
	a := newAccount(t, Config{})
	packer(t, fmt.Sprintf(template, a.url))
	if n := a.cloud.Count(); n["images"] != 1 || n["snapshots"] != 1 || len(n) != 2 {
		t.Errorf("there are %v", n)
	}
	calls := a.cloud.Calls()
	for _, name := range []string{"CreateKeyPair", "CreateSecurityGroup", "RunInstances", "StopInstances", "CreateImage", "ModifyImageAttribute", "CreateTags", "TerminateInstances", "DeleteSecurityGroup", "DeleteKeyPair"} {
		if calls[name] == 0 {
			t.Errorf("%s was never called: %v", name, calls)
		}
	}
}

// packer has Packer build a template to its good end.
func packer(t *testing.T, template string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "template.json")
	if err := os.WriteFile(file, []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "packer", "build", "-color=false", "-timestamp-ui", file)
	cmd.Env = append(os.Environ(), "HOME="+dir, "CHECKPOINT_DISABLE=1", "PACKER_CACHE_DIR="+dir, "AWS_POLL_DELAY_SECONDS=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--> amazon-ebs: AMIs were created:") {
		t.Fatalf("packer: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}
