package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// shells are provisioners with arguments of their own, each of which says its name.
func shells(args ...string) string {
	var body string
	for i, more := range args {
		name := string(rune('a' + i))
		body += "  provisioner \"shell\" {\n    inline = [\"echo " + name + " runs\"]\n    " + more + "\n  }\n"
	}
	return body
}

// TestNeverCached: a provisioner with cache = false and all after it run in every build, and nothing of them is kept.
func TestNeverCached(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.solo(nil, shells("", "cache = false", ""))
	b.run("build", template).wants(t, exitOK, "Creating the machine", "a runs", "b runs", "c runs")
	if diff := cmp.Diff([]string{build.StageInstalled, "provision[1] shell"}, b.stagesKept()); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		r := b.run("build", "-force", template)
		r.wants(t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell", "b runs", "c runs")
		if r.says("a runs") {
			t.Errorf("more ran than had to:\n%s", r.stdout)
		}
	}
	b.nothingHeld()
}

// TestSourceNeverCached: nothing of a source with cache = false is kept.
func TestSourceNeverCached(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.solo(map[string]string{"cache": "false"}, shells(""))
	for range 2 {
		b.run("build", "-force", template).wants(t, exitOK, "Creating the machine", "nothing is cached: cache = false", "a runs")
	}
	if kept := b.rows(); len(kept) != 0 {
		t.Errorf("kept: %v", kept)
	}
	b.nothingHeld()
}

// TestOwnAge: what is older than a provisioner or a source allows is made again, and what it stands on is not.
func TestOwnAge(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := shells("", "cache_max_age = \"1ns\"", "")
	b.run("build", b.solo(nil, body)).wants(t, exitOK, "Creating the machine")
	r := b.run("build", "-color=false", "-force", b.solo(nil, body))
	r.wants(t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell", "older than 1ns", "b runs", "c runs")
	if r.says("a runs") {
		t.Errorf("more ran than had to:\n%s", r.stdout)
	}
	b.run("build", "-force", b.solo(map[string]string{"cache_max_age": `"1ns"`}, body)).wants(t, exitOK, "Creating the machine", "older than 1ns", "a runs")
	b.nothingHeld()
}

// TestServeAge: the daemon has an age of its own, for templates that say nothing.
func TestServeAge(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve("--cache-max-age=1ns")
	b.run("build", b.solo(nil, shells(""))).wants(t, exitOK, "Creating the machine")
	b.run("build", "-force", b.solo(nil, shells(""))).wants(t, exitOK, "Creating the machine", "older than 1ns")
	b.run("build", "-force", b.solo(map[string]string{"cache_max_age": `"1h"`}, shells(""))).wants(t, exitOK, "Nothing changed")
	d.stop()
	b.nothingHeld()
}
