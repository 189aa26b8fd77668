package main

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/faultpoint"
)

// twoScripts is a template whose last script says what the argument is.
func (b *bench) twoScripts(args map[string]string, last string) string {
	b.t.Helper()
	return b.scripted(args, b.script("base.sh", "base runs"), b.script("web.sh", last))
}

// sound starts a daemon after one was killed, ends it again, and fails if anything is left or half a checkpoint is known.
// Then the next build has to succeed, and so does the one after it, with nothing left to run.
func (b *bench) sound() {
	b.t.Helper()
	d := b.spawnServe()
	for _, r := range b.rows() {
		if r.state == "draft" || r.state == "trash" {
			b.t.Errorf("after a start there is a %s: %+v", r.state, r)
		}
	}
	d.signal(syscall.SIGTERM)
	d.wait().wants(b.t, exitOK)
	b.nothingHeld()
	b.spawn(nil, "build", "-color=false", "-force", b.twoScripts(nil, "last runs")).wait().wants(b.t, exitOK)
	b.spawn(nil, "build", "-color=false", "-force", b.twoScripts(nil, "last runs")).wait().wants(b.t, exitOK, "Nothing changed")
	b.nothingHeld()
}

// TestKillWhileFreezing kills the daemon when a checkpoint is half frozen.
func TestKillWhileFreezing(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{build.StageInstalled, "provision[1] shell"} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			slow := map[string]string{"fake_freeze_time": `"1h"`}
			disks := filepath.Join(b.data, "checkpoints", "*", "disk-0.tar")
			if stage != build.StageInstalled { // which is there then
				b.spawn(nil, "build", b.scripted(nil)).wait().wants(t, exitOK)
			}
			before := len(b.glob(disks))
			p := b.spawn(nil, "build", "--json", "-force", b.twoScripts(slow, "last runs"))
			p.stdout.await(`"step":"freeze ` + stage + `","phase":"began"`)
			b.awaitFiles(disks, before+1)
			p.signal(syscall.SIGKILL)
			p.wait()
			b.sound()
		})
	}
}

// TestKillWhileThawing kills the daemon when a machine is half thawed.
func TestKillWhileThawing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.spawn(nil, "build", b.twoScripts(nil, "first runs")).wait().wants(t, exitOK)
	before := b.sums(filepath.Join(b.data, "checkpoints"))
	p := b.spawn(nil, "build", "-force", b.twoScripts(map[string]string{"fake_thaw_time": `"1h"`}, "last runs"))
	b.awaitFiles(filepath.Join(b.data, "builds", "*", "attempt-*", "work", "memory.json"), 1)
	b.awaitFiles(filepath.Join(b.root, "*.machine.json"), 1)
	p.signal(syscall.SIGKILL)
	p.wait()
	if diff := cmp.Diff(before, b.sums(filepath.Join(b.data, "checkpoints"))); diff != "" {
		t.Error("the checkpoints have changed:", diff)
	}
	b.sound()
}

// TestKillOfTheStore kills the daemon between steps of keeping, reading and evicting checkpoints; the store's own tests try
// every one.
func TestKillOfTheStore(t *testing.T) {
	t.Parallel()
	for _, point := range []string{
		"draft.dir", "commit.memory", "commit.manifest", "commit.row", "verify.read", "strip.one", "bury.renamed", "bury.removed",
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.spawn(nil, "build", b.scripted(nil, b.script("base.sh", "base runs"))).wait().wants(t, exitOK)
			d := b.spawn([]string{faultpoint.Env + "=" + point + "=kill"}, "serve", "--listen", "127.0.0.1:0")
			d.stdout.await(" on http://")
			b.submit(b.client(), b.twoScripts(nil, "last runs"), func(p *build.Plan) {
				p.Options.Fresh = point != "verify.read" // and so what was kept before is evicted
			})
			if r := d.wait(); r.code != -1 {
				t.Fatalf("the daemon did not come to the point: %+v", r)
			}
			b.sound()
		})
	}
}
