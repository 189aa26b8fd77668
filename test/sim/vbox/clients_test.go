package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Environment variables of the tests with other people's clients.
const (
	envRun = "BOXKILN_E2E"     // 1: run them
	envISO = "BOXKILN_ISO"     // the installer CD
	envBox = "BOXKILN_SIM_BOX" // a box from an earlier run, to be used instead of building one
)

// longest is what a client may take for one step.
const longest = 25 * time.Minute

// TestClients lets unmodified Packer build a box on the simulator, and unmodified Vagrant use it: one installation for all.
func TestClients(t *testing.T) {
	if os.Getenv(envRun) != "1" {
		t.Skipf("boots real guests for minutes: set %s=1", envRun)
	}
	needQEMU(t)
	box := os.Getenv(envBox)
	if box == "" {
		box = filepath.Join(t.TempDir(), "packed.box")
		if !t.Run("packer", func(t *testing.T) { packerBuilds(t, box) }) {
			return
		}
	}
	again := filepath.Join(t.TempDir(), "again.box")
	t.Run("vagrant on 6.1", func(t *testing.T) { vagrantUses(t, "6.1", box, again) })
	t.Run("vagrant on 7.0", func(t *testing.T) { vagrantUses(t, "7.0", again, "") })
}

// client is a program that calls VBoxManage.
type client struct {
	*rig
	dir string
	env []string
}

func newClient(t *testing.T, profile string, env ...string) *client {
	t.Helper()
	r := newRig(t, profile)
	c := &client{rig: r, dir: r.dir}
	c.env = append(env, "HOME="+r.path("user"), "CHECKPOINT_DISABLE=1", "PACKER_CACHE_DIR="+r.path("cache"), "BOXKILN_SIM_LINGER=1500ms",
		"VAGRANT_HOME="+r.path("vagrant"), "VAGRANT_NO_PLUGINS=1", "VAGRANT_CHECKPOINT_DISABLE=1")
	if err := os.Mkdir(r.path("user"), 0o700); err != nil {
		t.Fatal(err)
	}
	return c
}

// run runs the client to its good end and returns what it said.
func (c *client) run(name string, args ...string) string {
	c.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(c.t.Context(), longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = append(c.environ(), c.env...), c.dir
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	c.t.Logf("%s %s: %.0f s", name, args[0], time.Since(began).Seconds())
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// packerBuilds installs the demo guest with Packer's builder for VirtualBox and packs it as a box.
func packerBuilds(t *testing.T, box string) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	iso := os.Getenv(envISO)
	if iso == "" {
		iso = filepath.Join(root, "build/iso/debian12-mini.iso")
	}
	if _, err := os.Stat(iso); err != nil {
		t.Fatalf("%v: make iso makes it", err)
	}
	c := newClient(t, "6.1")
	c.dir = root // the template names files from there
	out := c.run("packer", "build", "-color=false", "-var", "iso_url="+iso, "-var", "output_directory="+c.path("out"),
		"test/sim/vbox/testdata/debian12-virtualbox.pkr.hcl")
	if !strings.Contains(out, "'virtualbox' provider box") {
		t.Errorf("Packer says:\n%s", out)
	}
	if left := c.ok("list", "vms") + c.ok("list", "hdds"); left != "" {
		t.Errorf("left registered: %s", left)
	}
	if err := os.Rename(c.path("out/debian12-virtualbox.box"), box); err != nil {
		t.Fatal(err)
	}
}

// vagrantUses boots a box, logs in, halts it, packs it again if asked to, and destroys it.
func vagrantUses(t *testing.T, profile, box, again string) {
	c := newClient(t, profile, "BOX=test/debian12")
	c.dir = c.path("project")
	file, err := os.ReadFile("testdata/Vagrantfile")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "Vagrantfile"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	c.run("vagrant", "box", "add", "--name", "test/debian12", box)
	c.run("vagrant", "up", "--provider", "virtualbox")
	if got := c.run("vagrant", "ssh", "-c", "cat /etc/boxkiln-demo; uname -r"); !strings.Contains(got, "virtualbox") {
		t.Errorf("the guest says %q", got)
	}
	reached := strings.Contains(c.run("vagrant", "ssh", "-c", reachHost(t)), "reached the host")
	if want := profile == "6.1"; reached != want {
		t.Errorf("the guest reaches the host's loopback: %t; want %t on %s", reached, want, profile)
	}
	c.run("vagrant", "halt")
	if again != "" {
		c.run("vagrant", "package", "--output", again)
	}
	c.run("vagrant", "destroy", "-f")
	if left := c.ok("list", "vms") + c.ok("list", "hdds"); left != "" {
		t.Errorf("left registered: %s", left)
	}
}

// reachHost is a command that looks from the guest for a port of the host's loopback.
func reachHost(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) // the kernel answers for it
	return fmt.Sprintf(`python3 -c 'import socket; socket.create_connection(("10.0.2.2", %d), 10)' 2>/dev/null && echo reached the host || echo cut off`,
		l.Addr().(*net.TCPAddr).Port)
}
