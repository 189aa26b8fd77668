package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// envSim names the folder of the simulators, bin/sim.
const envSim = "BOXKILN_SIM"

// simulated is a host on which VirtualBox and VMware seem to be installed: simulators that boot real guests.
type simulated struct {
	dir string
	env []string // of whoever uses them
}

// newSimulated makes an empty such host. profile is VirtualBox's version.
func newSimulated(t *testing.T, profile string) simulated {
	t.Helper()
	bin := fromEnv(t, envSim, "bin/sim")
	for _, program := range []string{"VBoxManage", "vmrun", "vmware-vdiskmanager"} {
		if _, err := os.Stat(filepath.Join(bin, program)); err != nil {
			t.Fatalf("%v: make simulators makes it", err)
		}
	}
	dir, err := os.MkdirTemp("/var/tmp", "boxkiln-sim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	vmware := filepath.Join(dir, "vmware")
	s := simulated{dir, []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"),
		"VBOX_USER_HOME=" + filepath.Join(dir, "virtualbox"), "BOXKILN_SIM_VBOX_MACHINES=" + filepath.Join(dir, "VMs"), "BOXKILN_SIM_VBOX_PROFILE=" + profile,
		"BOXKILN_SIM_VMWARE=" + vmware, "BOXKILN_VMWARE_ETC=" + filepath.Join(vmware, "etc-vmware"), "BOXKILN_VMWARE_STATE=" + filepath.Join(dir, "state"),
	}}
	launch(t, startup, s.env, filepath.Join(bin, "vmrun"), "list").succeed() // makes its files
	return s
}

// TestEverywhere builds one template under libvirt and makes boxes, appliances and an image in EC2 of it, then builds it under
// libvirt, VirtualBox and VMware and in EC2, from that image, into four providers of one version, where only libvirt need not
// install again. What was made for the others is used by their own clients.
func TestEverywhere(t *testing.T) {
	need(t, "vagrant", "packer")
	s, e := newSimulated(t, "7.0"), newEC2(t, goldenHome)
	k := newKiln(t, append(s.env, e.env...)...)
	box := "" // of the one that is built once
	k.part("built once", func() { box = k.builtOnce() })
	image := e.published()
	k.part("natively", func() { k.everywhere(image.Name) })
	c := k.newCollection(s, box)
	k.part("the same disk in EC2", func() { c.compareImage(e, image) })
	k.part("the same disk in all of them", c.compare)
	golden := "" // the image in us-east-1
	// Side by side, each on a host of its own.
	t.Run("their users", func(t *testing.T) {
		c.user(t, "Vagrant boots the box under VirtualBox", (*collection).vagrantBoots)
		c.user(t, "Packer starts from the appliance", func(c *collection) { c.packerStarts("virtualbox-ovf", "6.1", nil) })
		c.user(t, "Packer starts from the VMX", func(c *collection) {
			c.packerStarts("vmware-vmx", "7.0", []string{absolute(t, filepath.Join(root, "test/sim/vmware/host.sh"))})
		})
		c.user(t, "the articles' template makes a golden image", func(c *collection) { golden = c.golden(image.Name) })
	})
	k.part("killed in EC2", func() { k.killedInEC2(e, golden) })
	if n := e.onlyImages(); n != 1+1+3 { // made of a disk, everywhere, golden
		t.Errorf("%d images are in the account: %+v", n, e.objects())
	}
	k.leftovers()
	for _, p := range processes(t, s.dir) {
		t.Errorf("a process of a simulator is left: %s", p)
	}
}

// everywhereTemplate is built natively by three hypervisors.
const everywhereTemplate = "examples/everywhere"

// everywhere builds all sources of the template at once, in EC2 from an image of that name.
func (k *kiln) everywhere(image string) {
	k.t.Helper()
	box, _ := k.publishing("everywhere")
	p := k.buildInstaller(filepath.Join(root, everywhereTemplate), "everywhere", "--box", box, "--box-version", "1.0.0",
		"-var", "aws_region="+goldenHome, "-var", "aws_image="+image, "-var", "aws_owner=self", "-var", "aws_user=vagrant", "-var", "aws_instance_type="+withoutENA)
	out := p.succeed()
	progress(k.t, "the native builds are done")
	for _, want := range []string{
		"Published and released: " + box + " 1.0.0",
		"virtualbox-iso.debian12: provisioned by debian12 for virtualbox-iso", "vmware-iso.debian12: provisioned by debian12 for vmware-iso",
		"amazon-ebs.debian12: provisioned by debian12 for amazon-ebs", "AMIs were created:\n" + goldenHome + ": ami-",
	} {
		if !strings.Contains(out, want) {
			k.t.Errorf("no %q in\n%s", want, out)
		}
	}
	if n := strings.Count(out, "Typing the boot command"); n != 2 {
		k.t.Errorf("%d machines were installed; libvirt's was installed before, and the others have to be:\n%s", n, out)
	}
	report := run(k.t, command(k.t), "box", "parity", box, "1.0.0", "--data", k.data)
	if !strings.Contains(report, " packages are the same in aws/amd64, libvirt/amd64, virtualbox/amd64, vmware_desktop/amd64, 0 differ") {
		k.t.Errorf("the parity report says:\n%s", report)
	}
}

// builtOnce makes everything of the machine that libvirt installs.
func (k *kiln) builtOnce() (box string) {
	k.t.Helper()
	box, _ = k.publishing("once")
	k.buildInstaller(filepath.Join(root, everywhereTemplate), "once", "-only=qemu.debian12", "--box", box, "--box-version", "1.0.0",
		"--package", "libvirt,virtualbox,vmware_desktop,ova,vmx,ami").succeed()
	return box
}

// collection is what was made of one machine, as its users have it.
type collection struct {
	*kiln
	s     simulated
	box   string
	home  string // Vagrant's
	boxes map[string]string
}

// newCollection fetches the boxes of all providers with Vagrant.
func (k *kiln) newCollection(s simulated, box string) *collection {
	k.t.Helper()
	c := &collection{kiln: k, s: s, box: box, home: k.path("collection"), boxes: map[string]string{}}
	for _, provider := range []string{"libvirt", "virtualbox", "vmware_desktop"} {
		c.vagrant("box", "add", box, "--provider", provider)
		found, err := filepath.Glob(filepath.Join(c.home, "boxes", strings.ReplaceAll(box, "/", "-VAGRANTSLASH-"), "1.0.0", provider))
		if err != nil || len(found) != 1 {
			k.t.Fatalf("the box for %s is at %v (%v)", provider, found, err)
		}
		c.boxes[provider] = found[0]
	}
	return c
}

// user runs a subtest over the collection beside others.
func (c *collection) user(t *testing.T, name string, fn func(*collection)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		own := *c
		own.kiln = c.in(t)
		fn(&own)
		progress(t, "%s", name)
	})
}

// vagrant runs Debian's client on the simulated host.
func (c *collection) vagrant(args ...string) string {
	c.t.Helper()
	env := append(c.s.env, "VAGRANT_HOME="+c.home, "VAGRANT_SERVER_URL="+c.url, "VAGRANT_CHECKPOINT_DISABLE=1", "VAGRANT_CWD="+c.path("project"), "HOME="+c.path("user"), "BOX="+c.box)
	for _, dir := range []string{c.path("project"), c.path("user")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			c.t.Fatal(err)
		}
	}
	return launch(c.t, longest, env, "vagrant", args...).succeed()
}

// one returns the only file that a pattern names.
func (c *collection) one(pattern ...string) string {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(found) != 1 {
		c.t.Fatalf("%s names %v (%v)", filepath.Join(pattern...), found, err)
	}
	return found[0]
}

// compare holds the disks of the boxes against each other, and every file in them.
func (c *collection) compare() {
	source := c.one(c.boxes["libvirt"], "box.img")
	want := c.tree(source, "qcow2")
	if len(want) < 1000 {
		c.t.Errorf("only %d files were found in the guest", len(want))
	}
	for _, provider := range []string{"virtualbox", "vmware_desktop"} {
		other := c.one(c.boxes[provider], "*.vmdk")
		if out := run(c.t, "qemu-img", "compare", "-f", "qcow2", "-F", "vmdk", source, other); !strings.Contains(out, "Images are identical") {
			c.t.Errorf("%s: %s", provider, out)
		}
		if d := cmp.Diff(want, c.tree(other, "vmdk")); d != "" {
			c.t.Errorf("the files of %s differ (-libvirt +%[1]s):\n%.2000s", provider, d)
		}
	}
	progress(c.t, "%d files are the same in all boxes", len(want))
}

// rootOffset is where the root file system of the demo guest begins, in bytes: test/iso/install.sh.
const rootOffset = (2048 + 16384) * 512

// tree describes every file of a guest's root file system: its mode, and its content by digest.
func (c *collection) tree(image, format string) map[string]string {
	c.t.Helper()
	raw, mounted := filepath.Join(c.t.TempDir(), "disk.raw"), c.t.TempDir()
	run(c.t, "qemu-img", "convert", "-f", format, "-O", "raw", image, raw)
	run(c.t, "mount", "-o", fmt.Sprintf("ro,noload,loop,offset=%d", rootOffset), raw, mounted)
	defer run(c.t, "umount", mounted)
	files := map[string]string{}
	err := filepath.WalkDir(mounted, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(mounted, path)
		if err == nil {
			files[name], err = describeFile(path, info)
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.Remove(raw); err != nil {
		c.t.Error(err)
	}
	return files
}

func describeFile(path string, info fs.FileInfo) (string, error) {
	switch {
	case info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return "", err
		}
		return info.Mode().String() + " " + hex.EncodeToString(h.Sum(nil)), nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return info.Mode().String() + " " + target, err
	}
	return info.Mode().String(), nil
}

// vagrantBoots has Vagrant import the converted box into VirtualBox, boot it and log in.
func (c *collection) vagrantBoots() {
	file, err := os.ReadFile(filepath.Join(root, "test/sim/vbox/testdata/Vagrantfile"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("project/Vagrantfile", file)
	c.vagrant("up", "--provider", "virtualbox")
	if got := c.vagrant("ssh", "-c", "cat /etc/boxkiln-demo; cat /sys/class/dmi/id/product_name"); !strings.Contains(got, "provisioned by debian12 for qemu") {
		c.t.Errorf("the guest says %q", got)
	}
	c.vagrant("destroy", "-f")
}

// packerStarts has Debian's Packer start a build from what was converted, and log in. within is a command to run it in.
func (c *collection) packerStarts(builder, profile string, within []string) {
	// The demo guest has no use for guest additions, and the simulated host no image of them.
	source, more := c.one(c.path("once"), "*", "*.ova"), `guest_additions_mode = "disable"`
	if builder == "vmware-vmx" {
		source, more = c.one(c.path("once"), "*", "*", "*.vmx"), ""
	}
	s := newSimulated(c.t, profile)
	template := c.write(builder+".pkr.hcl", []byte(fmt.Sprintf(`source "%[1]s" "converted" {
  source_path      = "%[2]s"
  headless         = true
  ssh_username     = "vagrant"
  ssh_password     = "vagrant"
  ssh_timeout      = "10m"
  shutdown_command = "sudo poweroff"
  output_directory = "%[3]s"
  %[4]s
}

build {
  sources = ["source.%[1]s.converted"]

  provisioner "shell" {
    inline = ["echo on $(hostname): $(cat /etc/boxkiln-demo)"]
  }
}
`, builder, source, c.path("packer-"+builder), more)))
	env := append(s.env, "CHECKPOINT_DISABLE=1", "PACKER_CACHE_DIR="+c.path("cache"), "HOME="+s.dir, "BOXKILN_SIM_VMWARE_PORTS=22")
	words := append(within, "packer", "build", "-color=false", template)
	if out := launch(c.t, longest, env, words[0], words[1:]...).succeed(); !strings.Contains(out, ": on debian12: provisioned by debian12 for qemu") {
		c.t.Errorf("Packer did not log in:\n%s", out)
	}
}
