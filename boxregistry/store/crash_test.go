package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	blobfs "github.com/boxkiln/boxkiln/boxregistry/blob/fs"
	"github.com/boxkiln/boxkiln/internal/faultpoint"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// The tests of this file run themselves as a child process, a registry over the directory in envChild, until it is killed at a
// point. Points are numbered by how often they were passed: "registry.commit#3".
const envChild = "BOXKILN_TEST_REGISTRY_CHILD"

// deleting is a blob store that can be killed after it deleted a blob, before the registry knows.
type deleting struct {
	blob.Store
	fault func(point string) error
}

func (d deleting) Expire(ctx context.Context, seen blob.Info) (bool, error) {
	gone, err := d.Store.Expire(ctx, seen)
	return gone, errors.Join(err, d.fault("blob.deleted"))
}

// openAt opens the registry of a directory.
func openAt(t *testing.T, dir string, fault func(point string) error) *bundle {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(dir, "boxkiln.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	blobs, err := blobfs.Open(filepath.Join(dir, "blobs"), filepath.Join(dir, "staging"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(t.Context(), db, deleting{blobs, fault}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.fault = fault
	return &bundle{Registry: r, t: t}
}

// steps are a life of a box, each one change.
func (b *bundle) steps() []func(context.Context) error {
	deb, one, two, three := name("ops/deb"), version("1.0"), version("2.0"), version("3.0")
	add := func(v string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := b.Add(ctx, pub("ops/deb "+v+" libvirt/amd64"), strings.NewReader("bytes of "+v))
			return err
		}
	}
	ignore := func(_ any, err error) error { return err }
	return []func(context.Context) error{
		add("1.0"),
		func(ctx context.Context) error { return b.Release(ctx, deb, one, boxregistry.Candidate) },
		func(ctx context.Context) error { return b.Promote(ctx, deb, one, boxregistry.Stable) },
		add("2.0"),
		func(ctx context.Context) error { return b.Release(ctx, deb, two) },
		func(ctx context.Context) error { return b.Revoke(ctx, deb, two, "bad") },
		func(ctx context.Context) error { return b.DeleteVersion(ctx, deb, one) },
		func(ctx context.Context) error { return b.RestoreVersion(ctx, deb, one) },
		func(ctx context.Context) error { return b.DeleteVersion(ctx, deb, two) },
		func(ctx context.Context) error { return ignore(b.Purge(ctx, 0)) },
		func(ctx context.Context) error { return ignore(b.Collect(ctx, 0)) },
		add("3.0"),
		func(ctx context.Context) error { return b.Renumber(ctx, deb, three, version("4.0")) },
		func(ctx context.Context) error { return b.DeleteVersion(ctx, deb, version("4.0")) },
		func(ctx context.Context) error { return b.PurgeNow(ctx, deb, version("4.0")) },
		func(ctx context.Context) error { return b.DeleteBox(ctx, deb) },
		func(ctx context.Context) error { return b.RestoreBox(ctx, deb) },
		func(ctx context.Context) error { return ignore(b.Collect(ctx, 0)) },
	}
}

// state is all that matters of the box, on one line.
func (b *bundle) state() string {
	box, err := b.Box(context.Background(), name("ops/deb"))
	if errors.Is(err, boxregistry.ErrNotFound) {
		list, err := b.Trash(context.Background())
		return fmt.Sprint("none; trash: ", len(list), err)
	}
	b.must(err)
	var out []string
	for _, r := range box.Releases {
		text := fmt.Sprint(r.Version, r.State, r.Channels, !r.Deleted.IsZero())
		for _, f := range r.Files {
			text += " " + f.Digest.Short()
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// TestCrashChild is the child. It prints the points that it passes and the state after each step.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(envChild)
	if dir == "" {
		t.Skip("only runs as the child of the other test here")
	}
	count := map[string]int{}
	b := openAt(t, dir, func(point string) error { // one goroutine only
		count[point]++
		name := fmt.Sprintf("%s#%d", point, count[point])
		fmt.Println("point", name)
		return faultpoint.Hit(name)
	})
	fmt.Println("state", b.state())
	for i, step := range b.steps() {
		if err := step(t.Context()); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		fmt.Println("state", b.state())
	}
}

// TestKillOfTheRegistry: after a kill anywhere the registry is as before the step or as after it, every file has its bytes, and a
// collection leaves no others.
func TestKillOfTheRegistry(t *testing.T) {
	t.Parallel()
	all := runChild(t, t.TempDir(), "none")
	if all.killed || len(all.points) < 30 {
		t.Fatalf("the child passed %v", all.points)
	}
	for _, point := range all.points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			died := runChild(t, dir, point)
			if !died.killed {
				t.Fatal("the child was not killed")
			}
			b := openAt(t, dir, faultpoint.Hit)
			n := len(died.states)
			if got := b.state(); got != all.states[n-1] && got != all.states[n] {
				t.Errorf("after step %d: %s\nbefore it: %s\nafter it: %s", n, got, all.states[n-1], all.states[n])
			}
			b.onlyNamed()
		})
	}
}

// onlyNamed collects, and fails unless the blobs that are left are those that files name.
func (b *bundle) onlyNamed() {
	b.t.Helper()
	ctx := context.Background()
	if _, err := b.Collect(ctx, -time.Hour); err != nil {
		b.t.Fatal(err)
	}
	named := map[blob.Digest]bool{}
	rows, err := b.db.R.QueryContext(ctx, `SELECT DISTINCT digest FROM box_files WHERE digest <> ''`)
	b.must(each(rows, err, func() error {
		var d blob.Digest
		err := rows.Scan(&d)
		named[d] = true
		return err
	}))
	for info, err := range b.Registry.blobs.All(ctx) {
		b.must(err)
		if !named[info.Digest] {
			b.t.Errorf("nothing names %s", info.Digest)
		}
		delete(named, info.Digest)
	}
	if len(named) > 0 {
		b.t.Errorf("bytes are missing: %v", named)
	}
}

// life is what a child told of itself.
type life struct {
	points, states []string
	killed         bool
}

func runChild(t *testing.T, dir, kill string) (l life) {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), envChild+"="+dir, faultpoint.Env+"="+kill+"=kill")
	out, err := cmd.CombinedOutput()
	var exit *osexec.ExitError
	switch {
	case errors.As(err, &exit):
		status, ok := exit.Sys().(syscall.WaitStatus)
		if l.killed = ok && status.Signal() == syscall.SIGKILL; !l.killed {
			t.Fatalf("the child ended with %v:\n%s", err, out)
		}
	case err != nil:
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "point "); ok {
			l.points = append(l.points, name)
		}
		if state, ok := strings.CutPrefix(lines.Text(), "state "); ok {
			l.states = append(l.states, state)
		}
	}
	return l
}
