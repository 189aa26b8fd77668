package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// origin loads a template in dir and finds out where it comes from; the digests are by the files' names.
func (b *bench) origin(path string, varFiles ...string) (build.Origin, map[string]string) {
	b.t.Helper()
	env := &environment{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: func() []string { return nil }, parts: fakeParts}
	t, err := env.load(path, templateOptions{varFiles: varFiles}, fakeParts())
	if err != nil {
		b.t.Fatal(err)
	}
	cwd, err := os.Getwd()
	if err != nil {
		b.t.Fatal(err)
	}
	o, err := readOrigin(b.t.Context(), t, cwd)
	if err != nil {
		b.t.Fatal(err)
	}
	digests := map[string]string{}
	for _, f := range o.Files {
		digests[filepath.Base(f.Path)] = f.Digest
	}
	return o, digests
}

// The digest of a file that holds the value of a sensitive variable would let others guess it.
func TestOriginKeepsSecrets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	path := b.solo(nil, "")
	declared := b.write("variables.pkr.hcl", `
variable "password" {
  type      = string
  sensitive = true
}
variable "plain" {
  type    = string
  default = "x"
}
`)
	secret, plain := b.write("secret.pkrvars.hcl", `password = "hunter2"`), b.write("plain.pkrvars.hcl", `plain = "y"`)
	_, digests := b.origin(filepath.Dir(path), plain, secret)
	for name, has := range map[string]bool{filepath.Base(path): true, "variables.pkr.hcl": true, "plain.pkrvars.hcl": true, "secret.pkrvars.hcl": false} {
		digest, there := digests[name]
		if !there || (len(digest) == 64) != has {
			t.Errorf("%s: %q (is there: %t), want a digest: %t", name, digest, there, has)
		}
	}
	b.tamper("variables.pkr.hcl", "sensitive = true", "sensitive = true\n  default = \"hunter3\"")
	if _, digests := b.origin(filepath.Dir(path), plain); digests[filepath.Base(declared)] != "" {
		t.Error("a file with the default of a sensitive variable has its digest told")
	}
}

func TestOriginInACheckout(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	b := newBench(t)
	path := b.solo(nil, "")
	if o, _ := b.origin(path); o.Checkout != nil {
		t.Errorf("without a checkout: %+v", o.Checkout)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "first"}} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", b.dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	if o, _ := b.origin(path); o.Checkout == nil || len(o.Checkout.Commit) != 40 || o.Checkout.Modified {
		t.Errorf("in a checkout: %+v", o.Checkout)
	}
}
