package main

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	kiln "github.com/boxkiln/boxkiln/daemon"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// serveAt runs a daemon with a clock of its own, behind the socket alone, and returns how to put the clock forward.
func (b *bench) serveAt() (forward func(time.Duration)) {
	b.t.Helper()
	data, err := layout.Data(b.data)
	if err != nil {
		b.t.Fatal(err)
	}
	env := &environment{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: func(string) string { return "" },
		parts: fakeParts, drivers: fakeDrivers(b.host, b.wrap)}
	cfg, err := daemonConfig(env, data, &serveOptions{level: slog.LevelError})
	if err != nil {
		b.t.Fatal(err)
	}
	var ahead atomic.Int64
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	d, err := kiln.Open(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
		if err := d.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return func(by time.Duration) { ahead.Add(int64(by)) }
}

// TestAgeOfWhatIsBelow: what stands on an old installation is as old as that, however lately it was made.
func TestAgeOfWhatIsBelow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	forward := b.serveAt()
	b.run("build", b.twoScripts(nil, "first runs")).wants(t, exitOK, "Creating the machine")
	forward(20 * time.Hour)
	b.run("build", "-force", b.twoScripts(nil, "last runs")).wants(t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell, made 20 h ago")
	b.run("build", "-force", b.twoScripts(nil, "last runs")).wants(t, exitOK, "Nothing changed")
	forward(5 * time.Hour)
	r := b.run("build", "-force", b.twoScripts(nil, "last runs"))
	r.wants(t, exitOK, "installed in it is older than 24h", "Creating the machine", "base runs", "last runs")
	b.run("build", "-force", b.twoScripts(nil, "last runs")).wants(t, exitOK, "Nothing changed")
	forward(20 * time.Hour) // and those made in between are of no use any more
	b.run("build", "-force", b.twoScripts(nil, "other runs")).wants(t, exitOK, "Thawing the machine from the checkpoint of provision[1] shell, made 20 h ago")
}
