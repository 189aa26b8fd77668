package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-cmp/cmp"
)

// rebuild builds a template again: unchanged, no machine is made; with its last script changed, only that script runs.
func (k *kiln) rebuild(v variant) {
	k.t.Helper()
	v.made() // installs, unless that was done
	box := k.boxSum(v.out)
	seen := launch(k.t, longest, nil, "virsh", "-c", "qemu:///system", "event", "--event", "lifecycle", "--loop")

	h := v.made()
	unchanged := k.newest()
	k.expectInstalled(h, 0)
	if h.count("Nothing changed: taking the artifact") != 1 || len(h.ran("create-machine")) > 0 || len(h.ran("provision")) > 0 {
		k.t.Errorf("an unchanged template was not only published: %+v", h)
	}
	if k.boxSum(v.out) != box {
		k.t.Error("the box of an unchanged template is another one")
	}
	progress(k.t, "unchanged is done")

	v.extend("scripts/demo.sh", "echo changed | sudo tee -a /etc/boxkiln-demo")
	h = v.made()
	changed := k.newest()
	k.expectInstalled(h, 0)
	if d := cmp.Diff([]string{"provision[2] shell"}, h.ran("provision")); d != "" {
		k.t.Errorf("provisioners that ran (-want +got):\n%s", d)
	}
	if h.count("Thawing the machine from the checkpoint of provision[1] shell") != 1 || h.count("changed") == 0 {
		k.t.Errorf("the changed script did not run on a thawed machine: %+v", h)
	}
	if k.boxSum(v.out) == box {
		k.t.Error("the box of a changed template is the old one")
	}
	progress(k.t, "last script changed is done")

	seen.signal(syscall.SIGINT)
	seen.wait()
	if events := seen.out.text(); strings.Contains(events, unchanged) || !strings.Contains(events, changed) {
		k.t.Errorf("of machines of %s and %s, libvirt saw:\n%s", unchanged, changed, events)
	}
}

// boxSum is the digest of the box in an output folder.
func (k *kiln) boxSum(out string) [sha256.Size]byte {
	k.t.Helper()
	boxes, err := filepath.Glob(k.path(out + "/*.box"))
	if err != nil || len(boxes) != 1 {
		k.t.Fatalf("boxes in %s: %v (%v)", out, boxes, err)
	}
	data, err := os.ReadFile(boxes[0])
	if err != nil {
		k.t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// resumeInstalled installs a template whose last script fails, mends the script and resumes. It returns the name of the
// box, which is that of the template as it should be.
func (k *kiln) resumeInstalled(v variant) (box string) {
	k.t.Helper()
	const script = "scripts/demo.sh"
	var good string
	v.change(script, func(text string) string { good = text; return text + "exit 3\n" })
	box, args := k.publishing(v.out)
	p := v.build(v.out, args...)
	k.passes(p, "Typing the boot command", "seed: GET /preseed.cfg: 200", "Connected to SSH", "exit status 3")
	if code := p.wait(); code != 1 {
		k.t.Errorf("exit status %d", code)
	}
	id := k.newestOf(v.dir)
	if d := k.domain(id); d != "" {
		k.t.Errorf("domain %s of a failed build is left", d)
	}

	v.change(script, func(string) string { return good })
	p = k.resume(id)
	k.passes(p, "Thawing the machine", "Connected to SSH", "Exporting", "Smoke test", "Published and released")
	p.succeed()
	h := k.history(id)
	k.expectInstalled(h.attempt(1), 1)
	k.expectInstalled(h.attempt(2), 0)
	if d := cmp.Diff([]string{"provision[2] shell"}, h.attempt(2).ran("provision")); d != "" {
		k.t.Errorf("provisioners that ran in the second attempt (-want +got):\n%s", d)
	}
	return box
}

// nvmeTemplate starts from a box, on a machine that has an NVMe disk too: the name of the box, the output folder.
const nvmeTemplate = `source "qemu" "nvme" {
  iso_url              = "box://%[1]s?version=~>1.0"
  disk_image           = true
  accelerator          = "tcg"
  cpus                 = 2
  memory               = 512
  ssh_username         = "vagrant"
  ssh_private_key_file = "%[2]s"
  ssh_timeout          = "20m"
  shutdown_command     = "sudo poweroff"
  skip_compaction      = true
  output_directory     = "%[3]s"
  qemuargs = [
    ["-device", "nvme,serial=x,drive=data"],
    ["-drive", "if=none,id=data,file.driver=null-co,file.size=1M,format=raw"],
  ]
}

build {
  sources = ["source.qemu.nvme"]

  provisioner "shell" {
    inline = ["echo %[4]s since $(cut -d. -f1 /proc/uptime)"]
  }
}
`

// nvme builds on a machine whose memory QEMU cannot save: its disks are kept, and the log names the device to blame.
func (k *kiln) nvme(box string) {
	k.t.Helper()
	build := func(out, mark string) history {
		text := fmt.Sprintf(nvmeTemplate, box, k.insecureKey(), k.path(out), mark)
		k.build(k.write("nvme.pkr.hcl", []byte(text))).succeed()
		h := k.history(k.newest())
		if h.count(mark+" since") != 1 {
			k.t.Errorf("the provisioner did not run: %+v", h)
		}
		return h
	}
	h := build("nvme-1", "first")
	if said, _ := h.line("Shutting the guest down to keep its disks: "); !strings.Contains(said, "nvme (data)") {
		k.t.Errorf("the log does not blame the NVMe disk: %q in %+v", said, h)
	}
	progress(k.t, "a machine with an NVMe disk is built")
	h = build("nvme-2", "second")
	if h.count("Creating the machine") > 0 || h.count("Thawing the machine from the checkpoint of installed") != 1 {
		k.t.Errorf("the second build did not start from the disk that the first one kept: %+v", h)
	}
	progress(k.t, "and again from its checkpoint")
}
