package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// inCloud makes the bench's template one whose machine becomes an image in each of two regions.
func (b *bench) inCloud(body string) string {
	b.t.Helper()
	return b.solo(map[string]string{"fake_regions": `["us-east-1", "eu-west-1"]`}, body)
}

// removeImages removes all images, which a build that succeeded leaves to its user.
func (b *bench) removeImages() {
	b.t.Helper()
	for _, id := range b.host.Images() {
		if err := b.host.RemoveImage(id); err != nil {
			b.t.Fatal(err)
		}
	}
}

// cloudManifest is what the manifest says of one artifact. A null for files is not an empty list.
type cloudManifest struct {
	Builds []struct {
		Files json.RawMessage `json:"files"`
		ID    string          `json:"artifact_id"`
	}
}

// TestImages: the ids of images go all the way: the summary, the manifest, the list of builds, the page.
func TestImages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.run("build", "-color=false", b.inCloud("  post-processor \"manifest\" {\n    output = "+literal(b.path("manifest.json"))+"\n  }\n"))
	ids := hypervisor.SortIDs(b.host.Images())
	if len(ids) != 2 {
		t.Fatalf("images %v:\n%s", ids, r.stdout)
	}
	made := "AMIs were created:\neu-west-1: " + ids[0].ID + "\nus-east-1: " + ids[1].ID
	r.wants(t, exitOK, "==> fake.solo: Making an image of the machine...", "--> fake.solo: "+made+"\n")
	if r.says("VM files") || b.exists("out") {
		t.Errorf("there are files:\n%s", r.stdout)
	}
	var m cloudManifest
	data, err := os.ReadFile(b.path("manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil || len(m.Builds) != 1 || string(m.Builds[0].Files) != "null" || m.Builds[0].ID != hypervisor.JoinIDs(ids) {
		t.Errorf("manifest: %v: %s", err, data)
	}
	d := b.serve()
	id := string(b.builds()[0].ID)
	b.run("builds", "show", id).wants(t, exitOK, "--> "+made)
	if page := d.text("/builds/" + id); !strings.Contains(page, ids[0].ID) || !strings.Contains(page, ids[1].ID) {
		t.Error("the page of the build does not list the images")
	}
	d.stop()
	b.removeImages()
	b.nothingLeft()
}

// TestImagesForPrograms: who reads lines for programs finds the ids as Packer tells them.
func TestImagesForPrograms(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.run("build", "-machine-readable", b.inCloud(""))
	ids := hypervisor.SortIDs(b.host.Images())
	if len(ids) != 2 {
		t.Fatalf("images %v:\n%s", ids, r.stdout)
	}
	r.wants(t, exitOK, ",fake.solo,artifact,0,id,"+ids[0].String()+"%!(PACKER_COMMA)"+ids[1].String()+"\n",
		`,fake.solo,artifact,0,string,AMIs were created:\neu-west-1: `+ids[0].ID)
}

// publishedImages are those that the only file of a box's newest version names.
func (s *served) publishedImages(box string) []boxfile.Image {
	s.b.t.Helper()
	file := s.fileOf(box)
	sum, err := boxfile.Inspect(s.b.t.Context(), strings.NewReader(s.text(file)), boxfile.Limits{})
	if err != nil || sum.Metadata.Provider != boxfile.AWS {
		s.b.t.Fatalf("%s: %v, %+v", file, err, sum.Metadata)
	}
	return sum.Images
}

func imagesOf(ids []hypervisor.RemoteID) []boxfile.Image {
	var images []boxfile.Image
	for _, id := range hypervisor.SortIDs(ids) {
		images = append(images, boxfile.Image{Region: id.Region, ID: id.ID})
	}
	return images
}

// TestImagesPublished: a build publishes its images as a box for aws, whether a post-processor packed it or nobody did; one
// whose artifact is kept publishes the same again, as long as the images are there.
func TestImagesPublished(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"by the build": "", "by the post-processor": "vagrant"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if body != "" {
				body = "  post-processor \"vagrant\" {\n    output = " + literal(b.path("{{.Provider}}.box")) + "\n  }\n"
			}
			template := b.inCloud(body)
			publish := func(version string) result {
				return b.run("build", "-color=false", "--box=acme/cloud", "--box-version="+version, template)
			}
			r := publish("1.0")
			r.wants(t, exitOK, "--> fake.solo: AMIs were created:", "Published and released: acme/cloud 1.0 (aws, amd64)")
			first := hypervisor.SortIDs(b.host.Images())
			if made := b.exists("aws.box"); made != (body != "") {
				t.Errorf("the box is there: %t", made)
			}
			publish("1.1").wants(t, exitOK, "Nothing changed", "--> fake.solo: AMIs were created:", "us-east-1: "+first[1].ID, "acme/cloud 1.1 (aws, amd64)")
			if err := b.host.RemoveImage(first[0]); err != nil {
				t.Fatal(err)
			}
			publish("1.2").wants(t, exitOK, "is not used: image "+first[0].String()+": there is no such image", "Making an image")
			d := b.serve()
			second := slices.DeleteFunc(b.host.Images(), func(id hypervisor.RemoteID) bool { return slices.Contains(first, id) })
			if diff := cmp.Diff(imagesOf(second), d.publishedImages("acme/cloud")); diff != "" || len(second) != 2 {
				t.Errorf("what there is and what the box names: %s", diff)
			}
			statement := d.text(filepath.Dir(d.fileOf("acme/cloud")) + "/provenance.json")
			for _, image := range d.publishedImages("acme/cloud") {
				if arn := "arn:aws:ec2:" + image.Region + "::image/" + image.ID; !strings.Contains(statement, arn) {
					t.Errorf("the provenance does not name %s: %s", arn, statement)
				}
			}
			if _, page := d.get("/acme/cloud", http.Header{"Accept": {"text/html"}}); !strings.Contains(page, d.publishedImages("acme/cloud")[0].ID) {
				t.Error("the page of the box does not show the images")
			}
			d.stop()
			b.removeImages()
			b.nothingLeft()
		})
	}
}

// TestVagrantAddsImages: the real client takes the box of a build in a cloud, and unpacks which image is in which region.
func TestVagrantAddsImages(t *testing.T) {
	t.Parallel()
	requireTool(t, "vagrant")
	b := newBench(t)
	b.run("build", "--box=acme/cloud", "--box-version=1.0", b.inCloud("")).wants(t, exitOK, "Published and released")
	d := b.serve()
	if got, want := boxfile.Images(d.vagrantAdd("acme/cloud", boxfile.AWS, "1.0")), imagesOf(b.host.Images()); !slices.Equal(got, want) {
		t.Errorf("installed %v, want %v", got, want)
	}
}

// TestImagesAreNoFiles: what is about files says that there are none, and what to do.
func TestImagesAreNoFiles(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"compress", "checksum"} {
		b := newBench(t)
		b.run("build", b.inCloud("  post-processor \""+typ+"\" {}\n")).wants(t, exitFailed,
			"post-processor "+typ+": the artifact is eu-west-1:ami-", "no file of this host: leave this build out with only or except")
	}
	b := newBench(t)
	b.run("build", b.inCloud("  post-processor \"vagrant\" {\n    provider_override = \"libvirt\"\n  }\n")).wants(t, exitFailed,
		"the artifact has no disk to make anything of: it is eu-west-1:ami-")
}

// TestImagesResumed: images of an attempt that failed go with it, and the one that goes on tells of its own alone.
func TestImagesResumed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	r := b.run("build", "-color=false", b.inCloud("  post-processor \"shell-local\" {\n    inline = [\"test -e "+b.path("ready")+"\"]\n  }\n"))
	r.wants(t, exitFailed, "shell-local", "Some builds didn't complete successfully")
	if left := b.host.Images(); len(left) > 0 {
		t.Errorf("the build failed, and %v are left", left)
	}
	b.write("ready", "")
	id := string(b.builds()[0].ID)
	b.run("resume", "-color=false", id).wants(t, exitOK, "Thawing the machine", "--> fake.solo: AMIs were created:")
	var reply wire.BuildReply
	if err := json.Unmarshal([]byte(b.run("builds", "show", "--json", id).stdout), &reply); err != nil {
		t.Fatal(err)
	}
	if there := hypervisor.SortIDs(b.host.Images()); len(reply.Made) != 1 || !slices.Equal(reply.Made[0].IDs, there) || len(there) != 2 {
		t.Errorf("made %+v, and there are %v", reply.Made, there)
	}
	d.stop()
	b.removeImages()
	b.nothingHeld()
}

// TestImagesWithoutLogin: a guest in a cloud has no installer that ends, so the build stops it when nobody logs in.
func TestImagesWithoutLogin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.solo(map[string]string{"fake_regions": `["us-east-1"]`, "communicator": `"none"`, "ssh_username": "", "shutdown_command": ""}, "")
	b.run("build", "-color=false", template).wants(t, exitOK, "Stopping the instance...", "--> fake.solo: AMIs were created:\nus-east-1: ami-")
	b.removeImages()
	b.nothingLeft()
}
