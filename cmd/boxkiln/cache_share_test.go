package main

import (
	"fmt"
	"maps"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor/fake"
)

// machines returns a name, a directory and an address for each machine of the bench's hypervisor, and fails if two share
// one.
func (b *bench) machines() (names []string) {
	b.t.Helper()
	install := b.install()
	driver := b.host.Driver(install)
	handles, err := driver.List(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	seen := map[string]string{}
	for _, h := range handles {
		m, err := driver.Open(b.t.Context(), h)
		if err != nil {
			b.t.Fatal(err)
		}
		at, err := m.Guest(b.t.Context(), 22)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, own := range []string{h.Name, h.UUID, h.Dir, at.String()} {
			if other, taken := seen[own]; taken {
				b.t.Errorf("the machines %s and %s share %s", other, h.Name, own)
			}
			seen[own] = h.Name
		}
		names = append(names, h.Name)
	}
	return names
}

// TestEightFromOneCheckpoint: concurrent builds go on from one checkpoint, each on a machine of its own, and leave it as
// it was.
func TestEightFromOneCheckpoint(t *testing.T) {
	t.Parallel()
	const builds = 8
	b := newBenchWith(t, fake.Options{})
	installing := installing("", "")
	d := b.serve("--cpu-budget=16", "--memory-budget=100000", "--disk-budget=1000")
	base := b.script("base.sh", "base runs")
	b.run("build", b.named("first", installing, base, b.script("web.sh", "web runs"))).wants(t, exitOK, "Creating the machine")
	b.written()
	before := b.sums(b.data + "/checkpoints")

	var all []*running
	for i := range builds {
		name := fmt.Sprintf("web-%d", i)
		all = append(all, b.start("build", "-color=false", b.named(name, installing, base, b.gated(name))))
	}
	for i, c := range all {
		c.stdout.await(fmt.Sprintf("web-%d is here", i))
	}
	if names := b.machines(); len(names) != builds {
		t.Errorf("%d machines run: %v", len(names), names)
	}
	for i, c := range all {
		b.open(fmt.Sprintf("web-%d", i))
		r := c.wait()
		r.wants(t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell", fmt.Sprintf("web-%d.box", i))
		if r.says("Creating the machine") || r.says("base runs") {
			t.Errorf("build %d ran more than its last script:\n%s", i, r.stdout)
		}
	}
	if c := b.host.Counts(); c.Installations != 1 || c.Thaws != builds {
		t.Errorf("%+v, want 1 installation and %d thaws", c, builds)
	}
	after := b.sums(b.data + "/checkpoints")
	maps.DeleteFunc(after, func(path string, _ [32]byte) bool { _, old := before[path]; return !old })
	if !maps.Equal(before, after) {
		t.Error("the files of the shared checkpoints have changed")
	}
	d.stop()
	b.nothingHeld()
}
