package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDebian installs the example, and one for UEFI, by Debian's installer and does with the boxes what their users do.
// BIOS and UEFI run side by side: an installer has much to wait for. Both use one daemon, and all that comes after starts
// from what was installed then: from the box that BIOS made, and from the checkpoints.
func TestDebian(t *testing.T) {
	need(t, "vagrant", "ssh-agent", "ssh-add")
	k := newKiln(t)
	box := ""
	t.Run("boxes", func(t *testing.T) {
		t.Run("bios", func(t *testing.T) {
			t.Parallel()
			k := k.in(t)
			box = k.resumeInstalled(k.bios("template"))
			k.newVagrant(box, "bios").boots("provisioned by debian12 for qemu")
			k.fromBox(box)
		})
		t.Run("uefi", func(t *testing.T) {
			t.Parallel()
			k := k.in(t)
			box, log := k.install("testdata/uefi", "uefi")
			if !strings.Contains(log, "from the seed CD") {
				t.Errorf("the guest did not see its second CD:\n%s", log)
			}
			k.newVagrant(box, "efi").boots("provisioned by debian12 for qemu")
		})
	})
	k.part("rebuild", func() { k.rebuild(k.bios("rebuild")) })
	k.part("clones under BIOS and a crash", func() {
		v := k.bios("bios-clones")
		before := k.prepared(v)
		all := k.together(v)
		k.clones(all)
		k.killed(v, all)
		k.unchanged(before)
	})
	k.part("clones under UEFI", func() {
		v := k.uefi("uefi-clones")
		before := k.prepared(v)
		all := k.together(v)
		k.clones(all)
		k.cancelled(all)
		k.unchanged(before)
	})
	k.part("crashes while thawing and freezing", func() {
		v := k.bios("crashes")
		k.prepared(v)
		k.killedAt(v, 1, "Thawing the machine", time.Second)
		k.killedAt(v, 2, `"step":"freeze provision[1] shell","phase":"began"`, time.Second)
		k.killedAt(v, 3, `"step":"freeze provision[1] shell","phase":"done"`, 2*time.Second) // it is written while the build goes on
	})
	k.part("NVMe", func() { k.nvme(box) })
	k.leftovers()
}

// in is the same daemon for a subtest that runs beside others.
func (k *kiln) in(t *testing.T) *kiln {
	sub := *k
	sub.t = t
	return &sub
}

// bios is a copy of the example to change.
func (k *kiln) bios(name string) variant {
	k.t.Helper()
	return k.vary(name, filepath.Join(root, "examples/debian12"), "bios")
}

// uefi is a copy of the template for UEFI to change.
func (k *kiln) uefi(name string) variant {
	k.t.Helper()
	v := k.vary(name, "testdata/uefi", "uefi")
	v.change("*.pkr.hcl", func(text string) string {
		return strings.Replace(text, "${path.root}/../../../..", absolute(k.t, root), 1)
	})
	return v
}

// part runs a subtest over the same daemon, which it may kill and start.
func (k *kiln) part(name string, fn func()) {
	whole := k.t
	whole.Run(name, func(t *testing.T) {
		k.t = t
		defer func() { k.t = whole }()
		began := time.Now()
		fn()
		progress(t, "%s took %.0f s", name, time.Since(began).Seconds())
	})
}

// publishing makes up a box that no other run has, and gives the switches that publish it.
func (k *kiln) publishing(name string) (box string, args []string) {
	box = filepath.Base(filepath.Dir(k.data)) + "/" + name
	return box, []string{"--box", box, "--box-version", "1.0.0", "--smoke"}
}

// passes waits until a build has said each of the texts.
func (k *kiln) passes(p *program, texts ...string) {
	k.t.Helper()
	for _, text := range texts {
		p.await(text, longest)
		progress(k.t, "%s", text)
	}
}

// install builds a template with all that a user can ask for, and returns the name of the box and the log.
func (k *kiln) install(template, name string) (box, log string) {
	k.t.Helper()
	box, args := k.publishing(name)
	p := k.buildInstaller(template, name, args...)
	k.passes(p, "Typing the boot command", "seed: GET /preseed.cfg: 200", "Connected to SSH", "Exporting", "Smoke test", "Published and released")
	log = p.succeed()
	boxes, err := filepath.Glob(k.path(name + "/*.box"))
	if err != nil || len(boxes) != 1 {
		k.t.Errorf("the template's own box: %v (%v)", boxes, err)
	}
	return box, log
}

// insecureKey is Vagrant's well-known key, in a file as ssh-add wants it.
func (k *kiln) insecureKey() string {
	k.t.Helper()
	private := k.path("insecure_key")
	data, err := os.ReadFile(absolute(k.t, filepath.Join(root, "daemon/steps/vagrant_insecure_key")))
	if err == nil {
		err = os.WriteFile(private, data, 0o600)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return private
}

// fromBox starts builds from a finished box: one logs in with a key file, one by the user's agent. Both run at once.
func (k *kiln) fromBox(box string) {
	k.t.Helper()
	private := k.insecureKey()
	socket := k.path("agent.sock")
	agent := launch(k.t, longest, nil, "ssh-agent", "-D", "-a", socket)
	k.await(socket)
	launch(k.t, startup, []string{"SSH_AUTH_SOCK=" + socket}, "ssh-add", private).succeed()

	template := k.write("image.pkr.hcl", []byte(fmt.Sprintf(imageTemplate, box, k.dir, private)))
	p := launch(k.t, longest, []string{"BOXKILN_DATA=" + k.data, "SSH_AUTH_SOCK=" + socket}, command(k.t), "build", "-color=false", template)
	out := p.succeed()
	for _, want := range []string{"qemu.file: on debian12: provisioned by debian12 for qemu", "qemu.agent: on debian12: provisioned by debian12 for qemu"} {
		if !strings.Contains(out, want) {
			k.t.Errorf("no %q in\n%s", want, out)
		}
	}
	progress(k.t, "two builds from the box are done")
	agent.end()
}

// await waits until a file is there.
func (k *kiln) await(path string) {
	k.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(startup)
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-timeout:
			k.t.Fatalf("%s does not appear", path)
		}
	}
}

// imageTemplate starts from a box: its name, the folder for outputs, a private key.
const imageTemplate = `source "qemu" "base" {
  iso_url          = "box://%[1]s?version=~>1.0"
  disk_image       = true
  accelerator      = "tcg"
  cpus             = 1
  memory           = 512
  ssh_username     = "vagrant"
  ssh_timeout      = "10m"
  shutdown_command = "sudo poweroff"
  skip_compaction  = true
}

build {
  source "qemu.base" {
    name                 = "file"
    ssh_private_key_file = "%[3]s"
    use_backing_file     = true
    output_directory     = "%[2]s/from-file"
  }

  source "qemu.base" {
    name             = "agent"
    ssh_agent_auth   = true
    output_directory = "%[2]s/from-agent"
  }

  provisioner "shell" {
    inline = ["echo on $(hostname): $(cat /etc/boxkiln-demo)"]
  }
}
`

// TestKill kills the daemon in the middle of an installation. libvirt ends the machine with it, and the next daemon
// removes what else there was.
func TestKill(t *testing.T) {
	need(t)
	k := newKiln(t)
	iso := installer(t)
	p := k.build("-var", "iso_url="+iso, "-var", "iso_checksum=file:"+iso+".sha256", "-var", "output_directory="+k.path("out"), filepath.Join(root, "examples/debian12"))
	p.await("seed: GET /preseed.cfg: 200", longest)
	progress(t, "the installer has its preseed; killing the daemon")
	k.kill()
	if code := p.wait(); code != 1 {
		t.Errorf("the client ended with %d", code)
	}
	if left, err := filepath.Glob(filepath.Join(k.data, "builds", "*", "attempt-*", "work")); err != nil || len(left) == 0 {
		t.Errorf("the machine's folder went with the daemon, so this shows nothing (%v)", err)
	}
	k.start()
	if b := k.builds(); len(b) != 1 || b[0].State != "interrupted" {
		t.Errorf("%+v", b)
	}
	k.leftovers()
	k.noFiles(k.path("out/*"))
	k.stop()
	if got := run(t, command(t), "builds", "ls", "--data", k.data); !strings.Contains(got, "interrupted") {
		t.Errorf("builds ls: %s", got)
	}
}
