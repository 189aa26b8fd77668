package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/internal/faultpoint"
)

// TestKillWhileReceiving kills the daemon in the middle of an upload. The client waits for the next daemon and goes on where it
// was; what is published is whole, and nothing else is left. The receiver's own tests try every point.
func TestKillWhileReceiving(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"upload.written", "upload.saved", "upload.stored", "upload.published"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			box := b.boxFile("one.box", 1, 300_000)
			d := b.spawn([]string{faultpoint.Env + "=" + point + "=kill"}, "serve", "--listen", "127.0.0.1:0")
			d.stdout.await(" on http://")
			c := b.start("box", "publish", box, "--as", "ops/deb", "--version", "1.0", "--chunk-size", "100K", "--release")
			if r := d.wait(); r.code != -1 {
				t.Fatalf("the daemon did not come to the point: %+v", r)
			}
			b.spawnServe()
			c.wait().wants(t, exitOK, "ops/deb 1.0 parallels/arm64 is", "released")
			b.run("box", "show", "ops/deb").wants(t, exitOK, "released (stable)", "parallels/arm64 (default)")
			if left := b.glob(filepath.Join(b.data, "uploads", "*")); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
			var blobs []string
			for _, path := range b.glob(filepath.Join(b.data, "blobs", "*", "*")) {
				if !strings.HasPrefix(filepath.Base(path), ".") {
					blobs = append(blobs, path)
				}
			}
			want, err := os.Stat(box)
			if err != nil || len(blobs) != 1 {
				t.Fatalf("%v, %v", blobs, err)
			}
			if got, err := os.Stat(blobs[0]); err != nil || got.Size() != want.Size() {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
