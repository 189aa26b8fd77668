package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/schema"
)

func TestPrintPlans(t *testing.T) {
	t.Parallel()
	stage := func(name string, cached bool, why string) build.StageStatus {
		s := build.StageStatus{Stage: build.Stage{Name: name, Fingerprint: "0123456789abcdef"}, Cached: cached, Why: why}
		if cached {
			s.Made = build.Stamp(now().Add(-3*time.Hour - time.Minute))
		}
		return s
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	err = printPlans(&environment{stdout: out}, []wire.Explanation{
		{Label: "qemu.a", Stages: []build.StageStatus{stage("installed", false, ""), stage("provision[1] shell", true, ""),
			stage("provision[2] shell", false, "`scripts/web.sh` changed"), stage("artifact", false, "")}},
		{Label: "qemu.b", Stages: []build.StageStatus{stage("artifact", false, "never built")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := `==> qemu.a:
    installed           0123456789ab  not kept, and not needed
    provision[1] shell  0123456789ab  cached, made 3 h ago
    provision[2] shell  0123456789ab  to run: ` + "`scripts/web.sh`" + ` changed
    artifact            0123456789ab  to run
==> qemu.b:
    artifact  0123456789ab  to run: never built
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

func TestCacheSwitchesAreRead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args []string
		want build.Options
	}{
		{nil, build.Options{}},
		{[]string{"-no-cache"}, build.Options{NoCache: []string{"*"}}},
		{[]string{"--no-cache=web", "-no-cache=shell"}, build.Options{NoCache: []string{"web", "shell"}}},
		{[]string{"-fresh", "-cache-max-age", "1h30m"}, build.Options{Fresh: true, CacheMaxAge: 90 * time.Minute}},
	}
	for _, tt := range tests {
		o := &cacheOptions{}
		var rest []string
		root := &cobra.Command{Use: "boxkiln"}
		cmd := &cobra.Command{Use: "build", Run: func(_ *cobra.Command, args []string) { rest = args }}
		o.addFlags(cmd)
		root.AddCommand(cmd)
		root.SetArgs(normalize(root, append(append([]string{"build"}, tt.args...), "x.pkr.hcl")))
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		var got build.Options
		if err := o.set(&got); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(tt.want, got); d != "" || len(rest) != 1 || rest[0] != "x.pkr.hcl" {
			t.Errorf("%v: %v %s", tt.args, rest, d)
		}
	}
	if err := (&cacheOptions{maxAge: -1}).set(&build.Options{}); err == nil {
		t.Error("a negative age was taken")
	}
}

// TestEveryArgumentSaysHowFarItReaches fails for an argument of a new kind that nobody has declared to reach the guest or
// not: add guest:"yes", "artifact" or "no" to its field.
func TestEveryArgumentSaysHowFarItReaches(t *testing.T) {
	t.Parallel()
	parts := newParts()
	check := func(kind string, b *schema.Block) {
		if b == nil {
			return
		}
		for _, a := range b.Args {
			switch a.Guest {
			case schema.ReachesGuest, schema.ReachesArtifact, schema.StaysOutside:
			default:
				t.Errorf("%s: %s reaches %q", kind, a.Name, a.Guest)
			}
		}
	}
	for name, k := range parts.Sources {
		check("source "+name, k.Schema)
	}
	for name, k := range parts.Provisioners {
		check("provisioner "+name, k.Schema)
	}
	for name, k := range parts.PostProcessors {
		check("post-processor "+name, k.Schema)
	}
}
