package archtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/archtest"
)

// TestImports reads the imports of the whole module.
func TestImports(t *testing.T) {
	t.Parallel()
	packages := goList(t)
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages only", len(packages))
	}
	for _, problem := range archtest.Design().Check(packages) {
		t.Error(problem)
	}
}

func goList(t *testing.T) []archtest.Package {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	// -e: a package that does not compile is the compiler's business.
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-json=ImportPath,Imports", archtest.Module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var packages []archtest.Package
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p archtest.Package
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// TestRulesForbid tries edges that must never appear, and some that must be possible.
func TestRulesForbid(t *testing.T) {
	t.Parallel()
	const gin = "github.com/gin-gonic/gin"
	ours := func(pkg string) string { return archtest.Module + "/" + pkg }
	tests := []struct {
		from, to string
		want     bool // allowed
	}{
		{"daemon/steps", ours("hypervisor"), true},
		{"daemon/steps", ours("hypervisor/libvirt"), false},
		{"daemon/steps", ours("provisioners/sshguest"), false},
		{"daemon/steps", ours("iso/seedhttp"), true},
		{"daemon", ours("hypervisor/fake"), false},
		{"daemon", ours("daemon/store"), true},
		{"daemon/api", ours("provisioners/shell"), false},
		{"daemon/build", ours("iso"), true},
		{"daemon/build", ours("daemon/store"), false},
		{"daemon/queue", ours("daemon/store"), false},
		{"hypervisor/libvirt", ours("hypervisor/fake"), false},
		{"hypervisor/libvirt", ours("hypervisor/disk"), true},
		{"hypervisor/disk", ours("hypervisor/bootcmd"), false},
		{"hypervisor", ours("daemon/build"), false},
		{"hypervisor", ours("iso"), false},
		{"provisioners/shell", ours("provisioners/file"), false},
		{"provisioners/shell", ours("internal/shellquote"), true},
		{"template", ours("template/functions"), true},
		{"template/functions", ours("iso"), false},
		{"boxregistry/vagrantapi", ours("boxregistry/store"), false},
		{"boxregistry/store", ours("boxregistry/blob"), true},
		{"boxregistry", ours("boxregistry/store"), false},
		{"web", ours("daemon/store"), false},
		{"web", ours("boxregistry"), true},
		{"internal/fsx", ours("hypervisor"), false},
		{"cmd/boxkiln", ours("hypervisor/libvirt"), true},
		{"daemon/api", gin, true},
		{"daemon", gin, false},
		{"daemon/steps", gin + "/binding", false},
		{"hypervisor/libvirt", "libvirt.org/go/libvirt", true},
		{"daemon/steps", "libvirt.org/go/libvirtxml", false},
		{"daemon/steps", "testing", false},
		{"examples/driver", ours("hypervisor/disk"), true},
		{"examples/driver", ours("hypervisor/libvirt"), false},
		{"cmd/boxkiln", ours("examples/driver"), false},
		{"brand/new", "fmt", false},
	}
	table := archtest.Design()
	table.Exceptions = nil
	for _, tt := range tests {
		p := []archtest.Package{{ImportPath: ours(tt.from), Imports: []string{tt.to}}}
		problems := table.Check(p)
		if (len(problems) == 0) != tt.want {
			t.Errorf("%s -> %s: %v", tt.from, tt.to, problems)
		}
	}
}

func TestCheckTells(t *testing.T) {
	t.Parallel()
	table := archtest.Table{
		Rules:      []archtest.Rule{{Of: []string{"a/..."}, May: []string{"b/*"}, Why: "because"}},
		Exceptions: []archtest.Exception{{Of: "a/x", Import: "d"}, {Of: "a/x", Import: "fmt"}, {Of: "a/y", Import: "b/y/z"}},
	}
	packages := []archtest.Package{
		{ImportPath: archtest.Module + "/a/x", Imports: []string{"fmt", archtest.Module + "/b/y", archtest.Module + "/b/y/z", archtest.Module, archtest.Module + "/d"}},
		{ImportPath: archtest.Module + "/c"},
		{ImportPath: "example.org/other", Imports: []string{archtest.Module + "/a"}},
	}
	want := []string{
		"a/x imports ., which it may not: because",
		"a/x imports b/y/z, which it may not: because",
		"c has no place in the table of packages: give it a rule",
	}
	if diff := cmp.Diff(want, table.Check(packages)); diff != "" {
		t.Error(diff)
	}
}
