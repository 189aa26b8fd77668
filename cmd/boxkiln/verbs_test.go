package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const unformatted = "variable \"a\" {\ntype=string\n  default    = \"x\"\n}\n"

func TestFmt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := b.write("one.pkr.hcl", unformatted)
	b.write("sub/two.pkrvars.hcl", "a=1\n")
	b.write("other.hcl", "a=1\n")

	b.run("fmt", "-check", b.dir).wants(t, exitUnformatted, file)
	b.run("fmt", "-check", "-diff", file).wants(t, exitUnformatted, "-type=string", "+  type    = string")
	b.run("fmt", "-write=false", file).wants(t, exitOK, file)
	if text, err := os.ReadFile(file); err != nil || string(text) != unformatted {
		t.Fatalf("-check, -diff or -write=false wrote: %q (%v)", text, err)
	}
	r := b.run("fmt", "-recursive", b.dir)
	r.wants(t, exitOK, file, "two.pkrvars.hcl")
	if strings.Contains(r.stdout, "other.hcl") {
		t.Error("it touched a file that is no template")
	}
	b.run("fmt", "-check", "-recursive", b.dir).wants(t, exitOK)
	b.run("fmt", b.write("bad.pkr.hcl", "a = \n")).wants(t, exitFailed, "bad.pkr.hcl")
	b.run("fmt", b.path("nowhere")).wants(t, exitFailed, "nowhere")
}

func TestInspect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.run("inspect", pairTemplate)
	r.wants(t, exitOK)
	golden(t, "inspect-pair", r.stdout)
	r = b.run("inspect", "-machine-readable", "../../examples/seeds/3-three-platforms/template.json")
	r.wants(t, exitOK, "Packer Inspect: JSON mode", "debian-aws", "debian-virtualbox", "debian-vmware")
}

// TestExamples: every template of examples/ is valid where it lies; those in JSON name their files from there.
func TestExamples(t *testing.T) {
	var templates []string
	for _, pattern := range []string{"../../examples/*/*.pkr.hcl", "../../examples/seeds/*/template.*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		templates = append(templates, found...)
	}
	if len(templates) < 6 {
		t.Fatalf("only %v", templates)
	}
	for _, template := range templates {
		t.Run(strings.TrimPrefix(template, "../../examples/"), func(t *testing.T) {
			t.Chdir(filepath.Dir(template))
			newBench(t).run("validate", filepath.Base(template)).wants(t, exitOK, "The configuration is valid.")
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("validate", pairTemplate).wants(t, exitOK, "The configuration is valid.")
	b.run("validate", "-syntax-only", pairTemplate).wants(t, exitOK, "Syntax-only check passed.")
	b.run("validate", "-var", "release=x", pairTemplate).wants(t, exitFailed, "The release consists of digits and dots")
	b.run("validate", "-var", "nobody=x", pairTemplate).wants(t, exitFailed, "nobody")
	vars := b.write("v.pkrvars.hcl", "release = \"y\"\n")
	b.run("validate", "-var-file="+vars, pairTemplate).wants(t, exitFailed, "The release consists of digits and dots")
	b.run("validate", "-var-file="+vars, "-var", "release=2", pairTemplate).wants(t, exitOK)
	b.env["PKR_VAR_release"] = "z"
	b.run("validate", pairTemplate).wants(t, exitFailed, "The release consists of digits and dots")
	if _, err := os.Stat(b.data); err == nil {
		t.Error("validate made a data directory")
	}
}

// TestDoctor checks the shape that scripts read.
func TestDoctor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.run("doctor", "--json")
	r.wants(t, exitOK)
	var d struct {
		Data    string
		Daemon  string
		Drivers map[string]struct {
			Available bool
			Version   string
			Notes     []string
		}
	}
	dec := json.NewDecoder(strings.NewReader(r.stdout))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Logf("%v: %s", err, r.stdout)
	}
	if d.Data != b.data || !strings.Contains(d.Daemon, "none runs") || !d.Drivers["libvirt"].Available {
		t.Errorf("%+v", d)
	}
	b.serve()
	b.run("doctor").wants(t, exitOK, "daemon          version dev over "+b.data, "libvirt: works")
}
