package boxfile

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// packerAWS is what Packer's post-processor writes for two regions.
const packerAWS = `
Vagrant.configure("2") do |config|
  config.vm.provider "aws" do |aws|
    
	aws.region_config "eu-west-1", ami: "ami-0b"
	
	aws.region_config "us-east-1", ami: "ami-0a"
	
  end
end
`

func TestImages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []Image
	}{
		"as Packer writes it": {packerAWS, []Image{{"eu-west-1", "ami-0b"}, {"us-east-1", "ami-0a"}}},
		"by hand": {"override.region_config('us-west-2', :ami => 'ami-1')\n  x.region_config \"af-south-1\",\n    ami: \"ami-2\", instance_type: 't3.small'\n",
			[]Image{{"af-south-1", "ami-2"}, {"us-west-2", "ami-1"}}},
		"said twice":   {"a.region_config \"r\", ami: \"ami-1\"\na.region_config \"r\", ami: \"ami-2\"\n", []Image{{"r", "ami-2"}}},
		"commented":    {"  # aws.region_config \"us-east-1\", ami: \"ami-0a\"\n", nil},
		"an attack":    {"a.region_config \"<script>\", ami: \"ami-1\"\na.region_config \"r\", ami: \"ami-\\\" onload\"\n", nil},
		"no region":    {"aws.ami = \"ami-1\"\n", nil},
		"out of code":  {"aws.region_config ENV[\"X\"], ami: \"ami-1\"\n", nil},
		"no AMI there": {"aws.region_config \"us-east-1\", instance_type: \"m1\"\n", nil},
	} {
		if diff := cmp.Diff(c.want, Images(c.text)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestAWSBox: what was written and what is read of it is the same, and a box without images is one still.
func TestAWSBox(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		vagrantfile string
		images      []Image
		warned      bool
	}{
		"with images":                  {packerAWS, []Image{{"eu-west-1", "ami-0b"}, {"us-east-1", "ami-0a"}}, false},
		"the dummy.box of vagrant-aws": {"Vagrant.configure('2') do |c|\nend\n", nil, true},
	} {
		var box bytes.Buffer
		wrote, err := Write(t.Context(), &box, Contents{Metadata: Metadata{Provider: AWS, Architecture: "amd64"}, Vagrantfile: c.vagrantfile}, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		read, err := Inspect(t.Context(), &box, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(wrote, read); diff != "" {
			t.Errorf("%s: written and read: %s", name, diff)
		}
		if diff := cmp.Diff(c.images, read.Images); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if warned := strings.Contains(strings.Join(read.Warnings, " "), "aws.ami"); warned != c.warned {
			t.Errorf("%s: warnings %q", name, read.Warnings)
		}
	}
}
