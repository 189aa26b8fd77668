package boxfile

import (
	"regexp"
	"slices"
	"strings"
)

// Image is an image of EC2 that an aws box starts in a region.
type Image struct {
	Region string `json:"region"` // such as us-east-1
	ID     string `json:"id"`     // such as ami-0123
}

// regionConfig is the line that Packer's post-processor and ours write for a region (packer-plugin-vagrant
// post-processor/vagrant/aws.go), in the forms that people write it in by hand: other quotes, :ami =>, parentheses.
var regionConfig = regexp.MustCompile(
	`(?m)^\s*\w+\.region_config[ \t(]+["']([a-z0-9-]{1,64})["']\s*,\s*(?:ami:|:ami\s*=>)\s*["'](ami-[0-9a-f]{1,64})["']`)

// Images reads which image a Vagrantfile starts in which region, in the order of the regions. A Vagrantfile is a program, and
// this reads no program: what it says in another way is not found.
func Images(vagrantfile string) []Image {
	var images []Image
	for _, m := range regionConfig.FindAllStringSubmatch(vagrantfile, -1) {
		i := Image{Region: m[1], ID: m[2]}
		images = slices.DeleteFunc(images, func(j Image) bool { return j.Region == i.Region }) // the last one counts
		images = append(images, i)
	}
	slices.SortFunc(images, func(a, b Image) int { return strings.Compare(a.Region, b.Region) })
	return images
}
