package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
)

// repository is where the installer CD and the examples are.
const repository = "../../.."

// needPacker skips a test where there is no Packer, or where no mount name space can be made.
func needPacker(t *testing.T) {
	t.Helper()
	needTool(t, "packer")
	needTool(t, "qemu-system-x86_64")
	if os.Getuid() != 0 {
		t.Skip("Packer looks for VMware in fixed places: only root can put it there, test/sim/vmware/host.sh")
	}
}

// packer runs Packer where VMware seems to be installed, and returns what it says.
func (r *rig) packer(timeout time.Duration, args ...string) string {
	r.t.Helper()
	script, err := filepath.Abs("host.sh")
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, script, append([]string{"packer", "build", "-color=false"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // Packer stops its machine
	cmd.WaitDelay = time.Minute
	cmd.Env = append(r.env, "PATH="+r.bin+":"+os.Getenv("PATH"), "CHECKPOINT_DISABLE=1", "HOME="+r.home.Dir,
		"PACKER_CACHE_DIR="+filepath.Join(r.home.Dir, "packer"), host.EnvPorts+"=22")
	var out bytes.Buffer
	both := io.MultiWriter(&out, r.t.Output())
	cmd.Stdout, cmd.Stderr = both, both
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("packer: %v\n%s", err, out.String())
	}
	return out.String()
}

// TestPackerSector is Packer's vmware-vmx with a machine of one sector: clone, screen, keys, power-off, locks, compaction,
// the clean VMX, and the package that it has ovftool make.
func TestPackerSector(t *testing.T) {
	t.Parallel()
	needPacker(t)
	for _, linked := range []string{"false", "true"} {
		r := newRig(t)
		r.machine("msg.autoAnswer = \"TRUE\"\n")
		out := r.path("out")
		text := r.packer(3*time.Minute, "-var", "source="+r.path("x.vmx"), "-var", "output="+out, "-var", "linked="+linked, "testdata/sector.pkr.hcl")
		if !strings.Contains(text, "Typing the boot command over VNC") {
			t.Errorf("linked=%s: nothing was typed:\n%s", linked, text)
		}
		if text := r.read("out/made.vmx"); !strings.Contains(text, "remotedisplay.vnc.enabled = \"FALSE\"") || !strings.Contains(text, "cleanshutdown = \"TRUE\"") {
			t.Errorf("linked=%s: the VMX is\n%s", linked, text)
		}
		if names := members(t, r.path("out/made.ova")); strings.Join(names, " ") != "made.ovf made.mf made-disk1.vmdk made-file1.nvram" {
			t.Errorf("linked=%s: the OVA holds %v", linked, names)
		}
	}
}

// TestPackerDebian is Packer's vmware-iso: it types the boot command, serves the preseed file, finds the guest by its lease and
// logs in; and its vmware-vmx, which boots the result and logs in again.
func TestPackerDebian(t *testing.T) {
	if os.Getenv("BOXKILN_E2E") != "1" {
		t.Skip("installs Debian: set BOXKILN_E2E=1")
	}
	needPacker(t)
	iso := os.Getenv("BOXKILN_ISO")
	if iso == "" {
		iso = filepath.Join(repository, "build/iso/debian12-mini.iso")
	}
	var paths [2]string
	for i, p := range []string{iso, filepath.Join(repository, "examples/debian12")} {
		abs, err := filepath.Abs(p)
		if _, missing := os.Stat(p); missing != nil || err != nil {
			t.Fatal(errors.Join(missing, err, errors.New("make iso makes the CD")))
		}
		paths[i] = abs
	}
	r := newRig(t)
	args := []string{"-var", "iso_url=" + paths[0], "-var", "examples=" + paths[1], "-var", "output=" + r.dir, "testdata/debian12.pkr.hcl"}
	began := time.Now()
	r.packer(25*time.Minute, append([]string{"-only=vmware-iso.debian12"}, args...)...)
	t.Logf("vmware-iso took %v", time.Since(began).Round(time.Second))
	began = time.Now()
	text := r.packer(15*time.Minute, append([]string{"-only=vmware-vmx.debian12"}, args...)...)
	t.Logf("vmware-vmx took %v", time.Since(began).Round(time.Second))
	for _, want := range []string{"provisioned by debian12 for vmware-iso", "DMI: VMware, Inc. VMware Virtual Platform"} {
		if !strings.Contains(text, want) {
			t.Errorf("the machine does not say %q", want)
		}
	}
	if r.exists("vmx/again.vmx.lck") || !r.exists("vmx/disk-cl1.vmdk") {
		t.Error("the result of vmware-vmx is not as it should be")
	}
}
