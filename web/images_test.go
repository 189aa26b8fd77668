package web

import (
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/browsertest"
)

// cloudBundle is a site with a box of images in two regions, and the build b5 that made them, beside the samples.
func cloudBundle(t *testing.T) *bundle {
	t.Helper()
	b := liveBundle(t)
	images := []boxfile.Image{{Region: "eu-west-1", ID: "ami-0b5d55aea7c152aec"}, {Region: "us-east-1", ID: "ami-0a243cfc850e7a1d2"}}
	made := build.Made{Text: "AMIs were created:\neu-west-1: ami-0b5d55aea7c152aec\nus-east-1: ami-0a243cfc850e7a1d2"}
	for _, i := range images {
		made.IDs = append(made.IDs, hypervisor.RemoteID(i))
	}
	f := file("aws", "amd64", 1_034)
	b.boxes.boxes = append(b.boxes.boxes, boxregistry.Box{Name: must(boxregistry.ParseName("ops/web-ami")), ShortDescription: "Web servers in two regions",
		Updated: noon.Add(-time.Hour), Releases: []boxregistry.Release{release("1.4.0", boxregistry.Released, f, file("libvirt", "amd64", 412_000_000))}})
	b.boxes.known[f.Digest] = boxfile.Summary{Compression: "gzip", Images: images, Files: []boxfile.Entry{{Name: "metadata.json", Size: 60}, {Name: "Vagrantfile", Size: 300}}}
	b.builds.alter("b5", func(x *Build) { x.Made = []build.Made{{Text: "VM files in directory: output-debian"}, made} })
	return b
}

const cloudVersion = "/boxes/ops/web-ami/versions/1.4.0"

// TestImagesOnPages: the pages of a box, of its version and of the build say which image is in which region; those of other
// boxes say nothing of the kind.
func TestImagesOnPages(t *testing.T) {
	t.Parallel()
	b := cloudBundle(t)
	for _, path := range []string{"/ops/web-ami", cloudVersion, "/builds/b5"} {
		says(t, b.page(path), `<th scope="row">us-east-1</th><td><code class="copy">ami-0a243cfc850e7a1d2</code></td>`, `<th scope="row">eu-west-1</th>`)
	}
	says(t, b.page("/builds/b5"), "What it made", "<p>VM files in directory: output-debian</p>")
	for _, path := range []string{"/ops/debian12", versionPage, "/builds/b6"} {
		if page := b.page(path); strings.Contains(page, "Region</th>") || strings.Contains(page, "What it made") {
			t.Errorf("%s speaks of images", path)
		}
	}
}

// TestImagesInABrowser looks at those pages as TestInABrowser does at all others.
func TestImagesInABrowser(t *testing.T) {
	b := cloudBundle(t)
	tab := tab{browsertest.Open(t, browsertest.Options{Pictures: "web", Limit: time.Hour}), serve(t, b)}
	look(t, tab, browsertest.NewAxe(t), map[string]string{"cloud-box": "/ops/web-ami", "cloud-version": cloudVersion, "cloud-build": "/builds/b5"})
}
