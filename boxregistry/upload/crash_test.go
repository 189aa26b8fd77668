package upload

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/faultpoint"
)

// The test of this file runs itself as a child process, a receiver over the directory in envChild, until it is killed at a
// point. Points are numbered by how often they were passed: "upload.saved#2".
const envChild = "BOXKILN_TEST_UPLOAD_CHILD"

// crashBoxes are one that is put whole as 1.0 and one that comes in chunks as 2.0.
func crashBoxes(t *testing.T) (whole, chunked []byte) {
	return amd64(t, 1, 20_000), amd64(t, 2, 30_000)
}

// chunkSize makes three chunks of the second box.
const chunkSize = 12_000

// TestCrashChild is the child. It prints the points that it passes.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(envChild)
	if dir == "" {
		t.Skip("only runs as the child of the other test here")
	}
	d := open(t, dir, nil)
	count, mu := map[string]int{}, sync.Mutex{}
	d.fault = func(point string) error { // chunks are kept beside the next one
		mu.Lock()
		defer mu.Unlock()
		count[point]++
		name := fmt.Sprintf("%s#%d", point, count[point])
		fmt.Println("point", name)
		return faultpoint.Hit(name)
	}
	if err := d.life(crashBoxes(t)); err != nil {
		t.Fatal(err)
	}
	d.stop()
}

// life uploads both boxes, as clients do that try again until it is done.
func (d *dock) life(whole, chunked []byte) error {
	ctx := context.Background()
	if err := d.registry.CreateBox(ctx, boxregistry.Box{Name: name("ops/deb")}); err != nil && !errors.Is(err, boxregistry.ErrExists) {
		return err
	}
	if err := d.registry.CreateVersion(ctx, name("ops/deb"), version("1.0"), ""); err != nil && !errors.Is(err, boxregistry.ErrExists) {
		return err
	}
	if err := d.registry.Declare(ctx, name("ops/deb"), version("1.0"), slotFile()); err != nil && !errors.Is(err, boxregistry.ErrExists) {
		return err
	}
	secret, err := d.Begin(ctx, name("ops/deb"), version("1.0"), provider, "amd64")
	if err != nil {
		return err
	}
	if _, err := d.Put(ctx, secret, int64(len(whole)), bytes.NewReader(whole)); err != nil {
		return err
	}
	err = d.resume(ctx, chunked)
	var lost *OffsetError
	if errors.As(err, &lost) { // what was handed over to the blob store was collected before it was published
		err = d.resume(ctx, chunked)
	}
	return err
}

func (d *dock) resume(ctx context.Context, chunked []byte) error {
	p := into(chunked)
	p.Version = version("2.0")
	s, err := d.Open(ctx, p)
	for err == nil && s.Offset < s.Size {
		end := min(s.Offset+chunkSize, s.Size)
		s, err = d.Append(ctx, s.ID, s.Offset, end-s.Offset, bytes.NewReader(chunked[s.Offset:end]))
	}
	if err != nil || s.Done {
		return err
	}
	_, err = d.Finish(ctx, s.ID)
	return err
}

// sound fails if anything half is visible, or a visible file has no bytes.
func (d *dock) sound(whole, chunked []byte) {
	d.t.Helper()
	box, err := d.registry.Box(context.Background(), name("ops/deb"))
	if errors.Is(err, boxregistry.ErrNotFound) {
		return
	}
	d.must(err)
	want := map[string][]byte{"1.0": whole, "2.0": chunked}
	for _, rel := range box.Releases {
		for _, f := range rel.Files {
			if !f.Complete() && rel.Version.String() == "1.0" {
				continue // declared
			}
			if f.Digest != sum(want[rel.Version.String()]) {
				d.t.Errorf("%s has %+v", rel.Version, f)
			}
			if _, err := d.blobs.Stat(context.Background(), f.Digest); err != nil {
				d.t.Errorf("%s has no bytes: %v", rel.Version, err)
			}
		}
	}
}

func TestKillAnywhere(t *testing.T) {
	t.Parallel()
	whole, chunked := crashBoxes(t)
	points, killed := child(t, t.TempDir(), "none")
	if killed || len(points) < 15 {
		t.Fatalf("the child passed %v", points)
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if _, killed := child(t, dir, point); !killed {
				t.Fatal("the child was not killed")
			}
			d := open(t, dir, nil)
			t.Cleanup(d.stop)
			d.sound(whole, chunked)
			if _, err := d.registry.Collect(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			d.sound(whole, chunked)
			d.must(d.life(whole, chunked))
			d.clock.pass(Life)
			d.must(d.Sweep(t.Context()))
			if _, err := d.registry.Collect(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			d.sound(whole, chunked)
			n := 0
			for _, err := range d.blobs.All(t.Context()) {
				d.must(err)
				n++
			}
			if rows, err := d.registry.Uploads(t.Context()); n != 2 || err != nil || len(rows) != 0 {
				t.Errorf("%d blobs, want 2; uploads %+v, %v", n, rows, err)
			}
			if left, err := os.ReadDir(d.Dir); err != nil || len(left) != 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// child runs the life in a process of its own and returns the points that it passed and whether it was killed.
func child(t *testing.T, dir, kill string) (points []string, killed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), envChild+"="+dir, faultpoint.Env+"="+kill+"=kill")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		status, ok := exit.Sys().(syscall.WaitStatus)
		if killed = ok && status.Signal() == syscall.SIGKILL; !killed {
			t.Fatalf("the child ended with %v:\n%s", err, out)
		}
	case err != nil:
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "point "); ok {
			points = append(points, name)
		}
	}
	return points, killed
}
