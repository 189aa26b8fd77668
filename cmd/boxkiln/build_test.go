package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor/fake"
)

// TestBuildPair builds a template of two sources through a whole daemon and looks at everything that a user sees of it.
func TestBuildPair(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.run(b.pair()...)
	r.wants(t, exitOK)
	log := b.normal(r.stdout)
	golden(t, "alpha-log", about(log, "pair.fake.alpha"))
	golden(t, "beta-log", about(log, "pair.fake.beta"))
	if r.stderr != "" {
		t.Errorf("stderr: %s", r.stderr)
	}
	b.nothingLeft()

	var files []string
	for _, pattern := range []string{"out/*", "out/*/*"} {
		found, err := filepath.Glob(b.path(pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for i, f := range files {
		files[i] = strings.TrimPrefix(f, b.dir+"/")
	}
	want := []string{"out/alpha", "out/beta", "out/fetched-alpha.sh", "out/fetched-beta.sh", "out/alpha/packer-alpha", "out/beta/golden"}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
	sent, err := os.ReadFile("testdata/pair/scripts/beta.sh")
	if err != nil {
		t.Fatal(err)
	}
	if came, err := os.ReadFile(b.path("out/fetched-beta.sh")); err != nil || string(came) != string(sent) {
		t.Errorf("%q came back (%v)", came, err)
	}
}

// TestBuildsList checks the fields that scripts rely on.
func TestBuildsList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(b.pair("-only=*.beta")...).wants(t, exitOK)
	r := b.run("builds", "ls", "--json")
	r.wants(t, exitOK)
	var fields map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &fields); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	if fields["state"] != "succeeded" || fields["template"] != pairTemplate || fields["label"] != "pair.fake.beta" {
		t.Errorf("%v", fields)
	}
	rfc3339 := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)
	for _, name := range []string{"started", "finished"} {
		if text, _ := fields[name].(string); !rfc3339.MatchString(text) {
			t.Errorf("%s is %q", name, fields[name])
		}
	}
	id, _ := fields["id"].(string)
	if !regexp.MustCompile(`^\d{8}-\d{6}-[0-9a-f]+$`).MatchString(id) {
		t.Errorf("id %q", id)
	}
	b.run("builds", "ls").wants(t, exitOK, id, "pair.fake.beta", "succeeded")
	b.run("builds", "ls", "--state", "failed", "--json").wants(t, exitOK)
	b.run("builds", "show", id).wants(t, exitNoDaemon, "start one with `boxkiln serve`")
}

// TestOutputStyles builds once in each style that scripts read.
func TestOutputStyles(t *testing.T) {
	t.Parallel()
	for _, style := range []struct {
		name string
		args []string
		keep string
	}{
		{"timestamps", []string{"-timestamp-ui"}, "pair.fake.alpha"},
		{"machine", []string{"-machine-readable"}, ""},
	} {
		t.Run(style.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.run(b.pair(append(style.args, "-only=pair.fake.alpha")...)...)
			r.wants(t, exitOK)
			golden(t, "style-"+style.name, about(b.normal(r.stdout), style.keep))
		})
	}
}

func TestOutputJSON(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.run(b.pair("--json", "-only=pair.fake.alpha")...)
	r.wants(t, exitOK)
	var last build.Event
	kinds := map[build.EventKind]int{}
	for line := range strings.Lines(r.stdout) {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&last); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		kinds[last.Kind]++
		if last.Label != "pair.fake.alpha" || last.Time.IsZero() {
			t.Errorf("event %s", line)
		}
	}
	if last.Kind != build.EventState || last.State != build.Succeeded {
		t.Errorf("the last event is %+v", last)
	}
	for _, kind := range []build.EventKind{build.EventSay, build.EventMessage, build.EventStep, build.EventSeed, build.EventArtifact} {
		if kinds[kind] == 0 {
			t.Errorf("no event of kind %s in %v", kind, kinds)
		}
	}
}

// TestRelativeOutputs builds with names relative to the current directory, where Packer puts them.
func TestRelativeOutputs(t *testing.T) {
	b := newBench(t)
	template, err := filepath.Abs(pairTemplate)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(b.dir)
	b.run("build", "-only=*.beta", template).wants(t, exitOK, "--> pair.fake.beta: VM files in directory: out/beta\n")
	for _, name := range []string{"out/beta/golden", "out/fetched-beta.sh"} {
		if !b.exists(name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestForce builds into a folder that exists.
func TestForce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	stale := b.write("out/alpha/stale", "of an earlier build")
	args := b.pair("-only=*.alpha")
	b.run(args...).wants(t, exitFailed, "exists already", "-force")
	if _, err := os.Stat(stale); err != nil {
		t.Fatalf("a build without -force removed it: %v", err)
	}
	b.run(append([]string{args[0], "-force"}, args[1:]...)...).wants(t, exitOK, "Deleting previous output directory...")
	if _, err := os.Stat(stale); err == nil {
		t.Error("it is still there after -force")
	}
}

// TestVariable: a value of the command line reaches the seed and a provisioner.
func TestVariable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(b.pair("-only=*.alpha", "-var", "greeting=hold")...).
		wants(t, exitOK, "seed: GET /ks.cfg: 200, 18 bytes", "hold from 1.0.0 in alpha")
}

// TestOneFails: the other build of a run ends well, the run does not.
func TestOneFails(t *testing.T) {
	t.Parallel()
	b := newBenchWith(t, fake.Options{Faults: fake.Faults{Export: 1}})
	r := b.run(b.pair()...)
	r.wants(t, exitFailed, "Some builds didn't complete successfully and had errors:", "planned failure",
		"Builds finished. The artifacts of successful builds are:")
	states := map[build.State]int{}
	for _, one := range b.builds() {
		states[one.State]++
	}
	if diff := cmp.Diff(map[build.State]int{build.Succeeded: 1, build.Errored: 1}, states); diff != "" {
		t.Error(diff)
	}
	b.nothingLeft()
}
