package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		args, want []string
	}{
		{"nothing", nil, []string{}},
		{"one dash", []string{"build", "-force", "t.json"}, []string{"build", "--force", "t.json"}},
		{"two dashes", []string{"build", "--force", "t.json"}, []string{"build", "--force", "t.json"}},
		{"value after it", []string{"build", "-var", "a=b=c", "t.json"}, []string{"build", "--var", "a=b=c", "t.json"}},
		{"value within it", []string{"build", "-var=a=-b", "t.json"}, []string{"build", "--var=a=-b", "t.json"}},
		{"value with a dash", []string{"build", "-var", "-odd=-1", "t.json"}, []string{"build", "--var", "-odd=-1", "t.json"}},
		{"value like a switch", []string{"build", "--only", "-force", "t"}, []string{"build", "--only", "-force", "t"}},
		{"a letter stays", []string{"fmt", "-h"}, []string{"fmt", "-h"}},
		{"standard input stays", []string{"fmt", "-check", "-"}, []string{"fmt", "--check", "-"}},
		{"after two dashes", []string{"build", "--", "-odd.json"}, []string{"build", "--", "-odd.json"}},
		{"a switch of the root", []string{"build", "-data", "-dir", "-debug", "t"}, []string{"build", "--data", "-dir", "--debug", "t"}},
		{"before the verb", []string{"-data", "d", "build", "-force", "t"}, []string{"--data", "d", "build", "--force", "t"}},
		{"before the verb, with a value like a switch", []string{"-data=d", "build", "-var", "-x=1", "t"}, []string{"--data=d", "build", "--var", "-x=1", "t"}},
		{"a switch without value", []string{"build", "-color=false", "-debug", "-force", "t"}, []string{"build", "--color=false", "--debug", "--force", "t"}},
		{"a switch at the end", []string{"build", "t", "-var"}, []string{"build", "t", "--var"}},
		{"an unknown switch", []string{"build", "-nope", "t"}, []string{"build", "--nope", "t"}},
		{"a negative number", []string{"build", "-5"}, []string{"build", "-5"}},
		{"a verb of a verb", []string{"token", "create", "-scope", "admin", "me"}, []string{"token", "create", "--scope", "admin", "me"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, normalize(newRoot(&environment{}), test.args)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestPackerArguments parses argument lists as they stand in makefiles and pipelines, and looks at what they mean.
func TestPackerArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args  []string
		want  map[string]string // switch to value
		paths []string
	}{
		{[]string{"build", "-color=false", "-on-error=cleanup", "-parallel-builds=1", "-var-file=a.pkrvars.hcl", "-var", "iso=x", "."},
			map[string]string{"color": "false", "on-error": "cleanup", "parallel-builds": "1", "var-file": "[a.pkrvars.hcl]", "var": "[iso=x]"}, []string{"."}},
		{[]string{"build", "-var", "a=b=c", "-var", "list=[\"x\",\"y\"]", "-var=d=", "t.json"},
			map[string]string{"var": `[a=b=c,"list=[""x"",""y""]",d=]`}, []string{"t.json"}},
		{[]string{"build", "-only=qemu.debian,virtualbox-iso.debian", "-only", "qemu.*", "-except=b", "t"},
			map[string]string{"only": "[qemu.debian,virtualbox-iso.debian,qemu.*]", "except": "[b]"}, []string{"t"}},
		{[]string{"build", "-force", "-timestamp-ui", "-machine-readable", "-debug", "-on-error", "ask", "t"},
			map[string]string{"force": "true", "timestamp-ui": "true", "machine-readable": "true", "debug": "true", "on-error": "ask"}, []string{"t"}},
		{[]string{"build", "-force=false", "-on-error=run-cleanup-provisioner", "-warn-on-undeclared-var", "t"},
			map[string]string{"force": "false", "on-error": "run-cleanup-provisioner", "warn-on-undeclared-var": "true"}, []string{"t"}},
		{[]string{"validate", "-syntax-only", "-evaluate-datasources", "-no-warn-undeclared-var", "-var-file", "v.json", "t.json"},
			map[string]string{"syntax-only": "true", "var-file": "[v.json]"}, []string{"t.json"}},
		{[]string{"inspect", "-machine-readable", "-var", "k=v", "t"}, map[string]string{"machine-readable": "true", "var": "[k=v]"}, []string{"t"}},
		{[]string{"fmt", "-check", "-diff", "-recursive", "-write=false", "dir"},
			map[string]string{"check": "true", "diff": "true", "recursive": "true", "write": "false"}, []string{"dir"}},
		{[]string{"init", "-upgrade", "."}, map[string]string{"upgrade": "true"}, []string{"."}},
	} {
		cmd, paths := parsed(t, test.args)
		if diff := cmp.Diff(test.paths, paths); diff != "" {
			t.Errorf("%v: %s", test.args, diff)
		}
		for name, want := range test.want {
			if got := cmd.Flags().Lookup(name).Value.String(); got != want {
				t.Errorf("%v: %s is %s, want %s", test.args, name, got, want)
			}
		}
	}
}

// parsed finds the verb of a command line and has it read its switches.
func parsed(t *testing.T, args []string) (*cobra.Command, []string) {
	t.Helper()
	root := newRoot(&environment{})
	cmd, rest, err := root.Find(normalize(root, args))
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return cmd, cmd.Flags().Args()
}

// TestArgumentMistakes: what is wrong with a command line is said, with status 1.
func TestArgumentMistakes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ami := b.write("ami.json", `{"builders": [{"type": "amazon-ebsvolume", "region": "eu-west-1", "instance_type": "t3.micro",
		"source_ami": "ami-1", "ssh_username": "admin"}]}`)
	for want, args := range map[string][]string{
		"unknown flag: --onerror":                          {"build", "-onerror=ask", "t"},
		"-on-error=never: use cleanup, abort, ask":         {"build", "-on-error=never", "t"},
		"-parallel-builds=-1: use 0 or more":               {"build", "-parallel-builds=-1", "t"},
		"accepts 1 arg(s), received 2":                     {"build", "a", "b"},
		`unknown command "bild"`:                           {"bild", "t"},
		"flag needs an argument: --var":                    {"build", "t", "-var"},
		"nowhere.pkr.hcl":                                  {"build", "nowhere.pkr.hcl"},
		`invalid argument "maybe" for "--color"`:           {"build", "-color=maybe", "t"},
		"box_version and smoke need a box to publish":      b.pair("-box-version=1"),
		`box "acme/x" has no version`:                      b.pair("-box", "acme/x"),
		"nothing of this template can be built":            {"build", ami},
		`-var "novalue"`:                                   b.pair("-var", "novalue"),
		"The release consists of digits and dots":          b.pair("-var", "release=x"),
		"-only=nothing.* matches nothing in this template": b.pair("-only=nothing.*"),
	} {
		b.run(args...).wants(t, exitFailed, want)
	}
}

// TestHelp: every verb has help that names the exit statuses or its switches.
func TestHelp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, args := range [][]string{{"--help"}, {"build", "-help"}, {"serve", "-h"}, {"token", "create", "--help"}} {
		b.run(args...).wants(t, exitOK, "Usage:", "--data")
	}
	b.run("version").wants(t, exitOK, "boxkiln dev\n")
	b.run("init", "-upgrade", ".").wants(t, exitOK, "Nothing to fetch")
	if r := b.run(); r.code != exitOK || !bytes.Contains([]byte(r.stdout), []byte("Available Commands")) {
		t.Errorf("%+v", r)
	}
}
