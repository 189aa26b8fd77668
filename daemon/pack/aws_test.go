package pack

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// TestAWSBox: a box of ids holds the map of regions and nothing else, and the user's lines come after ours.
func TestAWSBox(t *testing.T) {
	t.Parallel()
	a := hypervisor.Artifact{Builder: "amazon-ebs", Driver: "aws", Arch: "arm64", IDs: []hypervisor.RemoteID{{Region: "us-east-1", ID: "ami-123"}, {Region: "eu-west-1", ID: "ami-456"}}}
	var box bytes.Buffer
	wrote, err := Box(t.Context(), a, Options{Vagrantfile: "# mine"}, &box)
	if err != nil {
		t.Fatal(err)
	}
	read, err := boxfile.Inspect(t.Context(), &box, boxfile.Limits{})
	if diff := cmp.Diff(wrote, read); diff != "" || err != nil {
		t.Errorf("written and read: %s; %v", diff, err)
	}
	if m := read.Metadata; m.Provider != "aws" || m.Architecture != "arm64" || len(read.Files) != 2 {
		t.Errorf("%+v", read)
	}
	want := []boxfile.Image{{Region: "eu-west-1", ID: "ami-456"}, {Region: "us-east-1", ID: "ami-123"}}
	if diff := cmp.Diff(want, read.Images); diff != "" {
		t.Error(diff)
	}
	ours := strings.Index(read.Vagrantfile, `    aws.region_config "us-east-1", ami: "ami-123"`+"\n")
	if mine := strings.Index(read.Vagrantfile, "# mine"); ours < 0 || mine < ours {
		t.Errorf("the Vagrantfile is\n%s", read.Vagrantfile)
	}
}

// TestNoAWSBox: what cannot be told by region is refused, with what is there instead.
func TestNoAWSBox(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		artifact hypervisor.Artifact
		says     string
	}{
		"files":       {hypervisor.Artifact{Files: []hypervisor.File{{Path: "x", Role: hypervisor.RoleDisk}}}, "has one file"},
		"other cloud": {hypervisor.Artifact{IDs: []hypervisor.RemoteID{{Region: "eu", ID: "img-1"}}}, "has eu:img-1"},
		"no region":   {hypervisor.Artifact{IDs: []hypervisor.RemoteID{{ID: "ami-1"}}}, "nobody knows the region"},
		"two of one":  {hypervisor.Artifact{IDs: []hypervisor.RemoteID{{Region: "r", ID: "ami-1"}, {Region: "r", ID: "ami-2"}}}, "r has ami-1 and ami-2"},
	} {
		_, err := Box(t.Context(), c.artifact, Options{Provider: boxfile.AWS}, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := Box(t.Context(), hypervisor.Artifact{IDs: []hypervisor.RemoteID{{Region: "eu", ID: "img-1"}}}, Options{}, &bytes.Buffer{}); !errors.Is(err, ErrNoLayout) {
		t.Errorf("a cloud that Vagrant does not know: %v", err)
	}
}
