package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ec2 is the simulator of EC2, with real guests. It is the account of whoever runs with its environment.
type ec2 struct {
	t   *testing.T
	dir string
	url string
	env []string
}

// newEC2 starts it. home is the region that is meant unless somebody says another one.
func newEC2(t *testing.T, home string) *ec2 {
	t.Helper()
	bin := filepath.Join(fromEnv(t, envSim, "bin/sim"), "ec2sim")
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v: make simulators makes it", err)
	}
	dir, err := os.MkdirTemp("/var/tmp", "boxkiln-ec2-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p := launch(t, 2*time.Hour, nil, bin, "--listen", "127.0.0.1:0", "--data", dir)
	p.await("listens on http://", startup)
	t.Cleanup(func() { // before it is killed: it ends its guests
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			t.Errorf("ec2sim ended with %d:\n%s", code, p.out.text())
		}
	})
	url := listening.FindStringSubmatch(p.out.text())[1]
	return &ec2{t, dir, url, []string{
		"AWS_ENDPOINT_URL=" + url, "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=" + home, "AWS_EC2_METADATA_DISABLED=true",
	}}
}

// object is something in the account.
type object struct {
	Kind, Region, ID, Name string
	Tags                   map[string]string
}

// objects lists what is in the account, as kind and region.
func (e *ec2) objects() []object {
	e.t.Helper()
	r, err := http.Get(e.url + "/_objects")
	if err != nil {
		e.t.Fatal(err)
	}
	defer r.Body.Close()
	var all []object
	if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
		e.t.Fatal(err)
	}
	return all
}

// published is the only image in the account.
func (e *ec2) published() object {
	e.t.Helper()
	var found []object
	for _, o := range e.objects() {
		if o.Kind == "images" {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		e.t.Fatalf("the account has the images %+v, want one", found)
	}
	return found[0]
}

// onlyImages fails if there is anything but images and as many snapshots, and returns how many images there are.
func (e *ec2) onlyImages() int {
	e.t.Helper()
	count := map[string]int{}
	for _, o := range e.objects() {
		if count[o.Kind]++; o.Kind != "images" && o.Kind != "snapshots" {
			e.t.Errorf("left in the account: %+v", o)
		}
	}
	if count["images"] != count["snapshots"] {
		e.t.Errorf("%d images and %d snapshots are in the account", count["images"], count["snapshots"])
	}
	return count["images"]
}

// madeImage is a line of the summary of a build.
var madeImage = regexp.MustCompile(`(?m)^([a-z]+-[a-z]+-[0-9]): (ami-[0-9a-f]+)`)

// images are the ids in a build's summary, by region.
func images(log string) map[string]string {
	ids := map[string]string{}
	_, summary, _ := strings.Cut(log, "AMIs were created:")
	for _, found := range madeImage.FindAllStringSubmatch(summary, -1) {
		ids[found[1]] = found[2]
	}
	return ids
}

// goldenHome is the region that the articles' template builds in.
const goldenHome = "eu-west-1"

// goldenTemplate is one of the articles' templates. Its images are copied to three regions, tagged and shared.
const goldenTemplate = "examples/seeds/2-golden-ami"

// golden builds the articles' template in EC2, from an image of the account instead of Ubuntu's, whose root device and user have
// other names. The guest is on no network, so that nothing is installed from one. It returns the copy in us-east-1.
func (k *kiln) golden(base string) string {
	k.t.Helper()
	v := k.vary("golden", filepath.Join(root, goldenTemplate), "golden-out")
	v.change("template.json", func(text string) string {
		return strings.NewReplacer(
			"ubuntu/images/*ubuntu-trusty-14.04-amd64-server-*", base, `"099720109477"`, `"self"`, `"ssh_username": "ubuntu"`, `"ssh_username": "vagrant"`,
			"/var/lib/cloud/instance/boot-finished", "/etc/hostname", "/dev/sda1", "/dev/xvda",
		).Replace(text)
	})
	for _, script := range []string{"scripts/baseline.sh", "scripts/harden.sh"} {
		v.change(script, func(text string) string { return withoutLines(text, "apt-get ") })
	}
	out := k.buildIn(v.dir, "-var-file", filepath.Join(v.dir, "variables.json"), filepath.Join(v.dir, "template.json")).succeed()
	made := images(out)
	for _, region := range []string{"eu-west-1", "eu-central-1", "us-east-1"} {
		if made[region] == "" {
			k.t.Fatalf("no image in %s:\n%s", region, out)
		}
	}
	progress(k.t, "the golden image is in %d regions", len(made))
	return made["us-east-1"]
}

// killedInEC2 kills the daemon while an instance of the golden image is at work, after it has shown what the image's build
// changed. The next daemon removes all of it.
func (k *kiln) killedInEC2(e *ec2, golden string) {
	k.t.Helper()
	motd, err := os.ReadFile(filepath.Join(root, goldenTemplate, "files/motd"))
	if err != nil {
		k.t.Fatal(err)
	}
	before := len(e.objects())
	p := k.build(k.write("check.pkr.hcl", []byte(fmt.Sprintf(checkTemplate, "us-east-1", golden, withoutENA))))
	k.passes(p, "environment: staging", "message: "+strings.TrimSpace(string(motd)))
	if n := len(e.objects()); n <= before {
		k.t.Errorf("%d objects are in the account while the build runs, and %d were before", n, before)
	}
	k.kill()
	if code := p.wait(); code != 1 {
		k.t.Errorf("the client ended with %d", code)
	}
	k.start()
	if left := e.objects(); len(left) != before {
		k.t.Errorf("%d objects were in the account, and the next daemon left %+v", before, left)
	}
}

// withoutENA is a type of instance that an image need not have a driver of Amazon's network card for: the demo guest has none.
const withoutENA = "t2.small"

// checkTemplate boots an image, shows what is in it, and never ends: region, id, type of instance.
const checkTemplate = `source "amazon-ebs" "check" {
  region          = "%[1]s"
  source_ami      = "%[2]s"
  instance_type   = "%[3]s"
  ssh_username    = "vagrant"
  ssh_timeout     = "20m"
  ami_name        = "check"
  skip_create_ami = true
}

build {
  sources = ["source.amazon-ebs.check"]

  provisioner "shell" {
    inline = ["echo environment: $(cat /etc/environment-name)", "echo message: $(cat /etc/motd)", "sleep infinity"]
  }
}
`

// withoutLines drops the lines that contain a text.
func withoutLines(text, unwanted string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, unwanted) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// compareImage holds the disk of an image against that of the box that was made of the same machine.
func (c *collection) compareImage(e *ec2, image object) {
	c.t.Helper()
	var disks []string
	for _, o := range e.objects() {
		if o.Kind == "snapshots" && o.Region == image.Region && o.Tags["boxkiln:build"] == image.Tags["boxkiln:build"] {
			disks = append(disks, c.one(e.dir, "*"+o.ID+".raw"))
		}
	}
	if len(disks) != 1 {
		c.t.Fatalf("the image's build made the snapshots %v, want one", disks)
	}
	if out := run(c.t, "qemu-img", "compare", "-f", "qcow2", "-F", "raw", c.one(c.boxes["libvirt"], "box.img"), disks[0]); !strings.Contains(out, "Images are identical") {
		c.t.Errorf("%s: %s", disks[0], out)
	}
}
