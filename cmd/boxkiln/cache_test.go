package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scripted is a template with a provisioner for each script.
func (b *bench) scripted(args map[string]string, scripts ...string) string {
	b.t.Helper()
	var body strings.Builder
	for _, path := range scripts {
		body.WriteString("  provisioner \"shell\" {\n    script = " + literal(path) + "\n  }\n")
	}
	body.WriteString("  post-processor \"vagrant\" {\n    provider_override = \"libvirt\"\n    output = " + literal(b.path("solo.box")) + "\n  }\n")
	return b.solo(args, body.String())
}

// script writes a script that says what it is.
func (b *bench) script(name, says string) string {
	b.t.Helper()
	return b.write(name, "#!/bin/sh\necho "+says+"\n")
}

// TestNothingChanged: the second build of an unchanged template runs nothing and makes the same files.
func TestNothingChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.scripted(nil, b.script("base.sh", "base runs"), b.script("web.sh", "web runs"))
	b.run("build", template).wants(t, exitOK, "base runs", "web runs", "solo.box")
	first, err := os.ReadFile(b.path("solo.box"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.path("solo.box")); err != nil {
		t.Fatal(err)
	}
	r := b.run("build", "--box=acme/solo", "--box-version=1.0", template)
	r.wants(t, exitOK, "Nothing changed", "Published and released: acme/solo 1.0")
	if r.says("base runs") || r.says("Creating the machine") || r.says("Thawing") {
		t.Errorf("something ran:\n%s", r.stdout)
	}
	second, err := os.ReadFile(b.path("solo.box"))
	if err != nil || string(first) != string(second) {
		t.Errorf("the box of the second build is another one (%v)", err)
	}
	b.nothingLeft()
}

// TestLastScriptChanged: only the last script runs, on a machine thawed from before it.
func TestLastScriptChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.scripted(nil, b.script("base.sh", "base runs"), b.script("web.sh", "web runs"))
	b.run("build", template).wants(t, exitOK, "base runs", "web runs")
	b.script("web.sh", "new web runs")
	r := b.run("build", template)
	r.wants(t, exitOK, "new web runs", "Thawing the machine from the checkpoint of provision[1] shell", "provision[1] shell: cached, made")
	if r.says("base runs") || r.says("Creating the machine") {
		t.Errorf("the build began anew:\n%s", r.stdout)
	}
	b.script("base.sh", "new base runs")
	r = b.run("build", template)
	r.wants(t, exitOK, "new base runs", "new web runs", "Thawing the machine from the checkpoint of installed")
	b.nothingLeft()
}

// TestCacheSwitches: nothing old is taken where somebody says so.
func TestCacheSwitches(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.scripted(nil, b.script("base.sh", "base runs"))
	b.run("build", "--no-cache", template).wants(t, exitOK, "Creating the machine", "nothing is cached: --no-cache")
	b.run("build", template).wants(t, exitOK, "Creating the machine")
	b.run("build", "--fresh", template).wants(t, exitOK, "Creating the machine", "base runs")
	b.run("build", "--cache-max-age=1ns", template).wants(t, exitOK, "Creating the machine", "older than 1ns")
	b.run("build", "--no-cache=shell", template).wants(t, exitOK, "Thawing the machine from the checkpoint of installed", "base runs")
	b.run("build", template).wants(t, exitOK, "Nothing changed")
	b.nothingLeft()
}

// TestResume: a provisioner fails, its script is mended, and the next attempt goes on from before it.
func TestResume(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	broken := b.write("web.sh", "#!/bin/sh\necho web fails; exit 3\n")
	template := b.scripted(nil, b.script("base.sh", "base runs"), broken)
	b.run("build", template).wants(t, exitFailed, "base runs", "web fails", "status 3")
	b.nothingLeft()
	id := string(b.builds()[0].ID)

	b.run("resume", id).wants(t, exitFailed, "web fails")
	b.script("web.sh", "web runs")
	b.run("resume", "--as-it-was", id).wants(t, exitFailed, "web fails")
	r := b.run("resume", id)
	r.wants(t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell", "web runs", "solo.box")
	if r.says("base runs") || r.says("Creating the machine") || r.says("web fails") {
		t.Errorf("more ran than had to, or an earlier attempt is shown:\n%s", r.stdout)
	}
	log, err := os.ReadFile(filepath.Join(b.data, "builds", id, "log"))
	if n := strings.Count(string(log), "Creating the machine"); err != nil || n != 1 {
		t.Errorf("the log of the build tells of %d installations (%v)", n, err)
	}
	b.run("resume", id).wants(t, exitFailed, id, "succeeded", "only builds that ended without success")
	b.run("resume", "20200101-000000-0000").wants(t, exitFailed, "no such build")
	b.nothingLeft()
}
