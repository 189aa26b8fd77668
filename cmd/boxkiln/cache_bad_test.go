package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/fake"
)

// TestFreezeFails: a checkpoint that cannot be made ends no build. Nothing further is kept, the user is told, and the next
// build makes up for it.
func TestFreezeFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults fake.Faults
		says   string
		kept   []string // before the failure
	}{
		"disk full":               {fake.Faults{FreezeDiskFull: 1}, "no space left on device", nil},
		"disk full at the second": {fake.Faults{FreezeDiskFull: 1, FreezeAfter: 1}, "no space left on device", []string{build.StageInstalled}},
		"the hypervisor refuses":  {fake.Faults{Freeze: 1}, "planned failure", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBenchWith(t, fake.Options{Faults: test.faults})
			r := b.run("build", b.twoScripts(nil, "last runs"))
			r.wants(t, exitOK, "No further checkpoint is kept of this build", test.says, "last runs", "solo.box")
			if diff := cmp.Diff(append(test.kept, build.StageArtifact), b.stagesKept()); diff != "" {
				t.Error(diff)
			}
			b.nothingHeld()
			b.run("build", b.twoScripts(nil, "last runs again")).wants(t, exitOK, "base runs", "last runs again")
			b.run("build", b.twoScripts(nil, "last runs once more")).wants(t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell")
			b.nothingHeld()
		})
	}
}

// TestCheckpointDiskFull: a file system that is really full.
func TestCheckpointDiskFull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.smallDisk("size=24m")
	d := b.serve("--disk-budget=100")
	fill := b.write("fill.sh", "#!/bin/sh\nhead -c 14000000 /dev/urandom > \"$HOME/large\"\necho filled\n")
	empty := b.write("empty.sh", "#!/bin/sh\nrm \"$HOME/large\"\necho emptied\n")
	r := b.run("build", "-color=false", b.scripted(nil, b.script("base.sh", "base runs"), fill, empty))
	r.wants(t, exitOK, "No further checkpoint is kept of this build", "no space left on device", "emptied", "solo.box")
	r = b.run("build", "-color=false", b.scripted(nil, b.script("base.sh", "base runs"), b.script("web.sh", "web runs")))
	r.wants(t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell", "web runs")
	d.stop()
	b.nothingHeld()
}

// TestDamage: a checkpoint whose files are not what they were is dropped, with a word about it, and made again.
func TestDamage(t *testing.T) {
	t.Parallel()
	const last = "provision[1] shell"
	flip := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { flipByte(t, filepath.Join(dir, name)) }
	}
	for name, test := range map[string]struct {
		damage func(t *testing.T, dir string)
		from   string // where the next build begins; empty for an installation
	}{
		"memory":           {flip("memory.zst"), build.StageInstalled},
		"disk":             {flip("disk-0.tar"), build.StageInstalled},
		"key":              {flip("key.sealed"), build.StageInstalled},
		"manifest":         {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, "manifest.json")) }, build.StageInstalled},
		"cut disk":         {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, "disk-0.tar")) }, build.StageInstalled},
		"everything":       {func(t *testing.T, dir string) { remove(t, dir) }, build.StageInstalled},
		"disk of a parent": {func(t *testing.T, dir string) { flipAll(t, filepath.Dir(dir), "disk-0.tar") }, ""},
	} {
		for _, restarted := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", next daemon"}[restarted], func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				d := b.serve("--log-level=warn")
				b.run("build", b.twoScripts(nil, "first runs")).wants(t, exitOK)
				if restarted {
					d.stop()
				}
				test.damage(t, b.keptAs(last))
				if restarted {
					d = b.serve("--log-level=warn")
				}
				r := b.run("build", "-color=false", b.twoScripts(nil, "last runs"))
				r.wants(t, exitOK, "base runs", "last runs")
				if test.from != "" && !r.says("Thawing the machine from the checkpoint of "+test.from) || test.from == "" && !r.says("Creating the machine") {
					t.Errorf("the build did not begin at %q:\n%s", test.from, r.stdout)
				}
				if !strings.Contains(d.stderr.text(), "damaged checkpoint") && !r.says("cannot be used") && !r.says("could not be thawed") {
					t.Errorf("nobody was told:\n%s%s", r.stdout, d.stderr.text())
				}
				b.run("build", "-color=false", b.twoScripts(nil, "other runs")).wants(t, exitOK, "Thawing the machine from the checkpoint of "+last, "other runs")
				d.stop()
				b.nothingHeld()
			})
		}
	}
}

// flipByte changes a byte in the middle of a file.
func flipByte(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func flipAll(t *testing.T, dir, name string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", name))
	if err != nil || len(paths) < 2 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		flipByte(t, path)
	}
}

func cut(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherHypervisor: memory that another version has frozen is not used, and the log says why.
func TestAnotherHypervisor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("build", b.twoScripts(nil, "first runs")).wants(t, exitOK)
	for _, host := range []hypervisor.Host{{Hypervisor: "fake 2"}, {CPU: "fake128"}} {
		b.moveTo(host)
		template := b.twoScripts(nil, "last runs on "+host.Hypervisor+host.CPU)
		b.run("plan", template).wants(t, exitOK, "it was frozen", "and this host has "+host.Hypervisor+host.CPU)
		b.run("build", "-color=false", "-force", template).wants(t, exitOK, "Creating the machine",
			"the checkpoint of provision[1] shell, made", "is not used: it was frozen", "and this host has "+host.Hypervisor+host.CPU)
	}
	b.nothingHeld()
}

// moveTo replaces the bench's hypervisor by another one.
func (b *bench) moveTo(is hypervisor.Host) {
	b.t.Helper()
	host, err := fake.NewHost(b.root, fake.Options{Host: is})
	if err != nil {
		b.t.Fatal(err)
	}
	b.host = host
	b.t.Cleanup(func() {
		if err := host.Close(); err != nil {
			b.t.Error(err)
		}
	})
}

// TestThawFails: what cannot be thawed is installed.
func TestThawFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("build", b.twoScripts(nil, "first runs")).wants(t, exitOK)
	b.host.Inject(fake.Faults{Thaw: 1})
	b.run("build", "-color=false", b.twoScripts(nil, "last runs")).wants(t, exitOK,
		"could not be thawed", "planned failure", "everything is run", "Creating the machine", "base runs", "last runs")
	b.nothingHeld()
	b.run("build", "-color=false", b.twoScripts(nil, "other runs")).wants(t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell")
	b.nothingHeld()
}

// TestTwoFreezeTheSame: builds that come to the same stage at the same time both succeed, and one checkpoint stays.
func TestTwoFreezeTheSame(t *testing.T) {
	t.Parallel()
	const builds = 2
	b := newBench(t)
	var meeting sync.WaitGroup
	meeting.Add(builds)
	b.wrap = func(d hypervisor.Driver) hypervisor.Driver { return meetingDriver{d, &meeting} }
	d := b.serve("--cpu-budget=16", "--memory-budget=100000", "--disk-budget=1000")
	var all []*running
	for i := range builds {
		all = append(all, b.start("build", "-color=false", b.named(fmt.Sprintf("box-%d", i), nil, b.script("web.sh", "web runs"))))
	}
	for _, c := range all {
		c.wait().wants(t, exitOK, "Creating the machine")
	}
	d.stop()
	b.nothingHeld()
	kept := slices.DeleteFunc(b.stagesKept(), func(stage string) bool { return stage == build.StageArtifact }) // which lie in two places
	slices.Sort(kept)
	if diff := cmp.Diff([]string{build.StageInstalled, "provision[1] shell"}, kept); diff != "" {
		t.Error(diff)
	}
}

// meetingDriver makes no machine before all have been asked for.
type meetingDriver struct {
	hypervisor.Driver
	all *sync.WaitGroup
}

func (d meetingDriver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	d.all.Done()
	d.all.Wait()
	return d.Driver.Create(ctx, spec)
}

// TestNoMemory: where memory cannot be frozen the disks are, the log says why, and the next build starts from them.
func TestNoMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	args := map[string]string{"fake_no_memory": `"nvme (disk 0) cannot migrate"`}
	b.run("build", "-color=false", b.twoScripts(args, "first runs")).wants(t, exitOK,
		"Shutting the guest down to keep its disks", "nvme (disk 0) cannot migrate", "base runs", "first runs", "solo.box")
	b.nothingHeld()
	r := b.run("build", "-color=false", b.twoScripts(args, "last runs"))
	r.wants(t, exitOK, "last runs", "Thawing the machine from the checkpoint of")
	if r.says("Creating the machine") {
		t.Errorf("the build began anew:\n%s", r.stdout)
	}
	for _, kept := range b.rows() {
		if kept.stage != build.StageArtifact && kept.state == "whole" && kept.kind != "disk" {
			t.Errorf("%+v, want a checkpoint of the disks alone", kept)
		}
	}
	b.nothingHeld()
}

// TestNoMemoryAndNoACPI: a guest that cannot be shut down for a checkpoint goes on without.
func TestNoMemoryAndNoACPI(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("build", "-color=false", b.twoScripts(map[string]string{
		"fake_no_memory": `"nvme (disk 0) cannot migrate"`, "fake_ignore_acpi": "true", "shutdown_timeout": `"20s"`,
	}, "last runs")).wants(t, exitOK, "nvme (disk 0) cannot migrate", "No further checkpoint is kept of this build",
		"the guest does not power itself off by ACPI within 20s", "base runs", "last runs", "solo.box")
	if diff := cmp.Diff([]string{build.StageArtifact}, b.stagesKept()); diff != "" {
		t.Error(diff)
	}
	b.nothingHeld()
}
