package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// TestResumeCanceled: a build that was cancelled goes on from its last checkpoint.
func TestResumeCanceled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	c := b.start("build", "-color=false", b.scripted(nil, b.script("base.sh", "base runs"), b.gated("web")))
	c.stdout.await("web is here")
	id := string(b.builds()[0].ID)
	b.run("resume", id).wants(t, exitFailed, id, "running", "only builds that ended without success")
	b.run("builds", "cancel", id).wants(t, exitOK)
	c.wait().wants(t, exitFailed, "cancelled")
	b.script("web.sh", "web runs")
	b.resumes(id)
	d.stop()
	b.nothingHeld()
}

// resumes resumes a build that had come to its last script.
func (b *bench) resumes(id string) {
	b.t.Helper()
	r := b.run("resume", "-color=false", id)
	r.wants(b.t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell", "web runs", "solo.box")
	if r.says("Creating the machine") || r.says("base runs") {
		b.t.Errorf("more ran than had to:\n%s", r.stdout)
	}
}

// TestResumeInterrupted: a build whose daemon was killed goes on from its last checkpoint.
func TestResumeInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.spawnServe()
	c := b.start("build", "-color=false", b.scripted(nil, b.script("base.sh", "base runs"), b.gated("web")))
	c.stdout.await("web is here")
	b.awaitKept("provision[1] shell")
	p.signal(syscall.SIGKILL)
	p.wait()
	c.wait().wants(t, exitFailed)
	b.moveTo(hypervisor.Host{}) // which reads the dead one's records
	d := b.serve()
	if diff := cmp.Diff([]build.State{build.Interrupted}, b.states()); diff != "" {
		t.Error(diff)
	}
	b.script("web.sh", "web runs")
	b.resumes(string(b.builds()[0].ID))
	d.stop()
	b.nothingHeld()
}

// TestResumeTwice: of several requests at the same time one is granted.
func TestResumeTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	c := b.client()
	gate := b.barrier("gate")
	fails := b.write("web.sh", "#!/bin/sh\n[ -e "+b.path("mended")+" ] || exit 3\nread line < "+gate+"\n")
	b.run("build", b.scripted(nil, fails)).wants(t, exitFailed, "status 3")
	b.write("mended", "")
	id := b.builds()[0].ID
	const requests = 8
	ends := make(chan error, requests)
	for range requests {
		go func() {
			_, err := c.Resume(t.Context(), id, wire.ResumeRequest{})
			ends <- err
		}()
	}
	granted := 0
	for range requests {
		var refused *wire.Error
		switch err := <-ends; {
		case err == nil:
			granted++
		case !errors.As(err, &refused) || refused.Code != wire.CodeConflict:
			t.Error(err)
		}
	}
	if granted != 1 {
		t.Errorf("%d of %d requests were granted", granted, requests)
	}
	b.lift(gate)
	if state, log := b.ended(c, id); state != build.Succeeded {
		t.Errorf("%s:\n%s", state, log)
	}
	d.stop()
	b.nothingHeld()
}

// TestResumeWithoutItsFiles: a script that is gone is named, with what to do.
func TestResumeWithoutItsFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mended := b.path("mended")
	script := b.write("web.sh", "#!/bin/sh\n[ -e "+mended+" ] || exit 3\necho web runs\n")
	template := b.scripted(nil, b.script("base.sh", "base runs"), script)
	b.run("build", template).wants(t, exitFailed, "status 3")
	id := string(b.builds()[0].ID)
	remove(t, script)
	b.write("mended", "")
	b.run("resume", id).wants(t, exitFailed, script, "--as-it-was", id)
	remove(t, template) // which is not needed
	r := b.run("resume", "--as-it-was", id)
	r.wants(t, exitOK, "web runs", "Thawing the machine from the checkpoint of provision[1] shell")
	b.nothingHeld()
}

// TestResumeKeepsSecrets as long as a resume may want them, and no longer.
func TestResumeKeepsSecrets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const secret = "correct horse battery"
	fails := b.write("web.sh", "#!/bin/sh\necho length ${#TOKEN}\n[ -e "+b.path("mended")+" ] || exit 3\n")
	template := b.solo(nil, "  provisioner \"shell\" {\n    script = "+literal(fails)+"\n    environment_vars = [\"TOKEN=${var.token}\"]\n  }\n")
	text, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	b.write("solo.pkr.hcl", "variable \"token\" {\n  type = string\n  sensitive = true\n}\n"+string(text))
	b.run("build", "-var", "token="+secret, template).wants(t, exitFailed, "length 21", "status 3")
	id := string(b.builds()[0].ID)
	sealed := filepath.Join(b.data, "builds", id, "secrets")
	if _, err := os.Stat(sealed); err != nil {
		t.Error(err)
	}
	b.write("mended", "")
	b.run("resume", id).wants(t, exitOK, "length 21")
	if _, err := os.Stat(sealed); !os.IsNotExist(err) {
		t.Errorf("the secrets are still there: %v", err)
	}
	for path := range b.sums(b.data) {
		if data, err := os.ReadFile(path); err != nil || strings.Contains(string(data), secret) {
			t.Errorf("the secret is in %s (%v)", path, err)
		}
	}
	b.nothingHeld()
}

// TestResumeOfAnotherScope: who may only write must not have a plan resumed that reaches into the daemon's host.
func TestResumeOfAnotherScope(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	b.run("build", b.twoScripts(nil, "ends; exit 3")).wants(t, exitFailed) // its medium is a file of the host
	id := b.builds()[0].ID
	for scope, code := range map[string]wire.Code{"read": wire.CodeForbidden, "write": wire.CodeForbidden} {
		c, err := client.Remote(d.url, b.token(scope, scope))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var refused *wire.Error
		if _, err := c.Resume(t.Context(), id, wire.ResumeRequest{}); !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("%s: %v", scope, err)
		}
		if _, err := c.Retry(t.Context(), id); !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("retry, %s: %v", scope, err)
		}
	}
	if diff := cmp.Diff([]build.State{build.Failed}, b.states()); diff != "" {
		t.Error(diff)
	}
	c, err := client.Remote(d.url, b.token("admin", "admin"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Resume(t.Context(), id, wire.ResumeRequest{}); err != nil {
		t.Error(err)
	}
	b.ended(c, id)
	d.stop()
	b.nothingHeld()
}

// TestKeyIsPutBack: a script that writes authorized_keys anew does not lock out whoever thaws the machine.
func TestKeyIsPutBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const keys = "$HOME/.ssh/authorized_keys"
	body := inline("mkdir -p $HOME/.ssh && echo ssh-rsa AAAAother of-the-image > "+keys) + inline("echo lines: $(grep -c . "+keys+")")
	b.run("build", b.solo(nil, body)).wants(t, exitOK, "lines: 2")
	b.run("build", "-force", "--fresh", b.solo(map[string]string{"ssh_password": `"known"`}, body)).wants(t, exitOK, "lines: 1")
	b.nothingLeft()
}
