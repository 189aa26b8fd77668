package pack

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// awsTemplate has the lines of Packer's post-processor (packer-plugin-vagrant post-processor/vagrant/aws.go): vagrant-aws takes
// the image of the region that the user asks for.
var awsTemplate = template.Must(template.New("").Parse(
	`# Written by Boxkiln. Your own Vagrantfile is read after this one and wins.
Vagrant.configure("2") do |config|
  config.vm.provider "aws" do |aws|
{{- range . }}
    aws.region_config "{{ .Region }}", ami: "{{ .ID }}"
{{- end }}
  end
end
`))

// aws lays out a box for vagrant-aws. It holds no disk: its Vagrantfile tells which image of EC2 to start in which region.
func (j *job) aws() (boxfile.Contents, error) {
	ids := hypervisor.SortIDs(j.artifact.IDs)
	if !hypervisor.AMIs(ids) {
		return boxfile.Contents{}, fmt.Errorf("%w: a box for aws names images of EC2, and the artifact has %s", ErrNoLayout, described(j.artifact))
	}
	for i, id := range ids {
		if id.Region == "" {
			return boxfile.Contents{}, fmt.Errorf("nobody knows the region of image %q, by which a box for aws has it", id.ID)
		}
		if i > 0 && ids[i-1].Region == id.Region {
			return boxfile.Contents{}, fmt.Errorf("a box for aws has one image for each region, and %s has %s and %s: publish them as versions of two boxes",
				id.Region, ids[i-1].ID, id.ID)
		}
	}
	var text strings.Builder
	if err := awsTemplate.Execute(&text, ids); err != nil {
		return boxfile.Contents{}, err
	}
	return boxfile.Contents{Vagrantfile: j.vagrantfile(text.String())}, nil
}

// described says what an artifact consists of.
func described(a hypervisor.Artifact) string {
	switch {
	case len(a.IDs) > 0:
		return hypervisor.JoinIDs(a.IDs)
	case len(a.Files) == 1:
		return "one file"
	}
	return fmt.Sprintf("%d files", len(a.Files))
}
