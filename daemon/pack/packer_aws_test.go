package pack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// packerTemplate makes an image, copies it, and packs a box of both.
const packerTemplate = `{
  "builders": [{
    "type": "amazon-ebs", "region": "us-east-1", "custom_endpoint_ec2": %[1]q, "access_key": "test", "secret_key": "test",
    "skip_region_validation": true, "skip_credential_validation": true, "skip_metadata_api_check": true,
    "source_ami_filter": {"filters": {"name": "bas*"}, "owners": ["self"], "most_recent": true},
    "instance_type": "t3.micro", "communicator": "none", "ami_name": "packed", "ami_regions": ["eu-west-1"]
  }],
  "post-processors": [{"type": "manifest", "output": "manifest.json"}, {"type": "vagrant", "output": "packer.box"}]
}`

// packedByPacker has Debian's Packer do so against a simulator, and returns what it said and the directory of its results.
func packedByPacker(t *testing.T) (said, dir string) {
	t.Helper()
	needTool(t, "packer")
	dir = t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(disk, bytes.Repeat([]byte("disk"), cloud.BlockSize), 0o600); err != nil {
		t.Fatal(err)
	}
	ec2 := cloud.New(cloud.Config{Dir: t.TempDir(), Pace: time.Millisecond})
	server := httptest.NewServer(ec2)
	t.Cleanup(func() {
		server.Close()
		if err := ec2.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := ec2.AddImage(t.Context(), "us-east-1", "base", disk); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "template.json"), fmt.Appendf(nil, packerTemplate, server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "packer", "build", "-color=false", "template.json")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "CHECKPOINT_DISABLE=1", "PACKER_CACHE_DIR="+dir, "AWS_POLL_DELAY_SECONDS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("packer: %v\n%s", err, out)
	}
	return string(out), dir
}

// TestPackersOwnBox compares what Packer makes of images with what is made here of the same: the box, the summary, the id of the
// artifact.
func TestPackersOwnBox(t *testing.T) {
	t.Parallel()
	said, dir := packedByPacker(t)
	box, err := os.Open(filepath.Join(dir, "packer.box"))
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	theirs, err := boxfile.Inspect(t.Context(), box, boxfile.Limits{})
	if err != nil || len(theirs.Images) != 2 || theirs.Metadata.Provider != boxfile.AWS {
		t.Fatalf("%v: %+v", err, theirs)
	}
	a := hypervisor.Artifact{Builder: "amazon-ebs"}
	for _, i := range theirs.Images {
		a.IDs = append(a.IDs, hypervisor.RemoteID(i))
	}
	ours, err := Box(t.Context(), a, Options{}, &bytes.Buffer{})
	if diff := cmp.Diff(theirs.Images, ours.Images); diff != "" || err != nil {
		t.Errorf("Packer's box and ours: %s; %v", diff, err)
	}
	if want := "--> amazon-ebs: " + hypervisor.DescribeIDs(a.IDs) + "\n"; !strings.Contains(said, want) {
		t.Errorf("Packer does not say %q, but\n%s", want, said)
	}
	var manifest struct {
		Builds []struct {
			Files json.RawMessage `json:"files"`
			ID    string          `json:"artifact_id"`
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &manifest)
	}
	if err != nil || len(manifest.Builds) != 1 || manifest.Builds[0].ID != hypervisor.JoinIDs(a.IDs) || string(manifest.Builds[0].Files) != "null" {
		t.Errorf("Packer's manifest is %s (%v); the id here is %s", data, err, hypervisor.JoinIDs(a.IDs))
	}
}
