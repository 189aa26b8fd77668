package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vagrant is Debian's vagrant with a home of its own.
type vagrant struct {
	t   *testing.T
	env []string
	box string
}

// ovmfVars is an empty variable store.
const ovmfVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"

// newVagrant prepares the machine of test/vagrant/Vagrantfile for a box of the daemon. firmware is bios or efi.
func (k *kiln) newVagrant(box, firmware string) *vagrant {
	k.t.Helper()
	// The folder's name becomes part of the domain's.
	dir := k.path("v" + filepath.Base(filepath.Dir(k.data)) + "-" + firmware)
	file, err := os.ReadFile(filepath.Join(root, "test/vagrant/Vagrantfile"))
	if err != nil {
		k.t.Fatal(err)
	}
	rel, err := filepath.Rel(k.dir, dir)
	if err != nil {
		k.t.Fatal(err)
	}
	k.write(rel+"/Vagrantfile", file)
	empty, err := os.ReadFile(ovmfVars)
	if err != nil {
		k.t.Fatal(err)
	}
	vars := k.write(rel+"/vars.fd", empty)
	if err := os.Chmod(vars, 0o666); err != nil { // libvirt gives it to QEMU's account
		k.t.Fatal(err)
	}
	return &vagrant{k.t, []string{
		"VAGRANT_HOME=" + k.path("home-"+firmware), "VAGRANT_CWD=" + dir, "VAGRANT_SERVER_URL=" + k.url,
		"VAGRANT_CHECKPOINT_DISABLE=1", "BOX=" + box, "BOX_FIRMWARE=" + firmware, "BOX_NVRAM=" + vars,
	}, box}
}

// run runs a verb to its good end.
func (v *vagrant) run(args ...string) string {
	v.t.Helper()
	return launch(v.t, longest, v.env, "vagrant", args...).succeed()
}

// boots adds the box from the daemon's catalog, boots it, logs in, finds what the provisioner wrote, and takes all of it
// away again.
func (v *vagrant) boots(want string) {
	v.t.Helper()
	v.run("box", "add", v.box, "--provider", "libvirt")
	progress(v.t, "vagrant box add is done")
	defer v.remove()
	v.run("up", "--provider=libvirt")
	progress(v.t, "vagrant up is done")
	if got := v.run("ssh", "-c", "cat /etc/boxkiln-demo"); !strings.Contains(got, want) {
		v.t.Errorf("/etc/boxkiln-demo says %q, not %q", got, want)
	}
	progress(v.t, "vagrant ssh is done")
}

// remove destroys the machine, the box and its copy in libvirt's pool, which Vagrant leaves.
func (v *vagrant) remove() {
	v.t.Helper()
	v.run("destroy", "-f")
	v.run("box", "remove", "--force", "--all", v.box)
	volumes := run(v.t, "virsh", "-q", "-c", "qemu:///system", "vol-list", "default")
	for line := range strings.Lines(volumes) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, strings.ReplaceAll(v.box, "/", "-VAGRANTSLASH-")+"_vagrant_box_image_") {
			run(v.t, "virsh", "-q", "-c", "qemu:///system", "vol-delete", "--pool", "default", name)
		}
	}
	progress(v.t, "vagrant destroy is done")
}
