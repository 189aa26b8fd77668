package checkpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/faultpoint"
)

// The tests of this file run themselves as a child process, a daemon that works on the data directory in envChild until it is
// killed at a point. Points are numbered by how often they were passed: "bury.one#2".
const (
	envChild = "BOXKILN_TEST_CHECKPOINT_CHILD"
	envPart  = "BOXKILN_TEST_CHECKPOINT_PART"
)

// numbered gives a store numbered fault points and calls seen with each.
func (k *kiln) numbered(seen func(point string)) {
	count := map[string]int{}
	k.fault = func(point string) error { // one goroutine only: the life of a child is a straight line
		count[point]++
		name := fmt.Sprintf("%s#%d", point, count[point])
		seen(name)
		return faultpoint.Hit(name)
	}
}

// TestCrashChild is the child. It prints the points that it passes.
func TestCrashChild(t *testing.T) {
	data := os.Getenv(envChild)
	if data == "" {
		t.Skip("only runs as the child of the other tests here")
	}
	k := newKilnAt(t, data, Options{})
	k.numbered(func(point string) { fmt.Println("point", point) })
	part := recovering
	if os.Getenv(envPart) == "life" {
		part = life
	}
	if err := part(t.Context(), k); err != nil {
		t.Fatal(err)
	}
}

func recovering(ctx context.Context, k *kiln) error { return k.Recover(ctx) }

// life makes checkpoints and loses them in every way that there is. What it leaves is: two (on a layer), a newer one of
// "twice", and a lease.
func life(ctx context.Context, k *kiln) error {
	one, err := keep(ctx, k.Store, "b1", "", "one", 1)
	if err != nil {
		return err
	}
	two, err := keep(ctx, k.Store, "b1", one.ID, "two", 2)
	if err != nil {
		return err
	}
	d, err := k.Draft(ctx, "b1", two.ID)
	if err != nil {
		return err
	}
	if _, err := frozen(d.Dir, 3); err != nil {
		return err
	}
	if err := errors.Join(d.Close(ctx), k.Release(ctx, "b1"), k.Remove(ctx, one.ID, false)); err != nil {
		return err
	}
	for _, user := range []string{"b2", "b3"} {
		if _, err := keep(ctx, k.Store, "b2", "", "twice", user[1]); err != nil {
			return err
		}
	}
	if err := k.Release(ctx, "b2"); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(k.path(two.ID), "disk.qcow2"), 0o600); err != nil { // so that it is read again
		return err
	}
	l, err := k.Acquire(ctx, two.ID, "b4")
	if err != nil {
		return err
	}
	return l.Verify(ctx)
}

// child runs a part in a process of its own and returns the points that it passed and whether it was killed.
func child(t *testing.T, data, part, kill string) (points []string, killed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), envChild+"="+data, envPart+"="+part, faultpoint.Env+"="+kill+"=kill")
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

// A daemon is killed at each point of its life; the next one finds whole checkpoints and nothing else.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	points, killed := child(t, t.TempDir(), "life", "none")
	if killed {
		t.Fatal("killed without a reason")
	}
	if diff := cmp.Diff(pointsInTheCode(t), names(points)); diff != "" {
		t.Error("the code (-) and the life of the child (+) differ:", diff)
	}
	for _, point := range slices.DeleteFunc(points, alike) {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			if _, killed := child(t, data, "life", point); !killed {
				t.Fatal("the child lived")
			}
			checkRecovered(t, data)
		})
	}
}

// The daemon that cleans up is killed as well.
func TestKilledWhileRecovering(t *testing.T) {
	t.Parallel()
	ruin := func(t *testing.T) string { // a daemon that dies while a layer, a draft and a trash directory lie about
		data := t.TempDir()
		child(t, data, "life", "bury.one#1")
		return data
	}
	points, _ := child(t, ruin(t), "recover", "none")
	if len(points) < 8 {
		t.Fatalf("there was little to do: %v", points)
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			data := ruin(t)
			if _, killed := child(t, data, "recover", point); !killed {
				t.Fatal("the child lived")
			}
			checkRecovered(t, data)
		})
	}
}

// alike tells of a point that nothing new comes of: the first draft of a life has no parent and the second has one, and a
// third file is removed like the second.
func alike(point string) bool {
	name, number, _ := strings.Cut(point, "#")
	once := strings.HasPrefix(name, "commit.") || strings.HasPrefix(name, "draft.") || name == "bury.one"
	return once && number > "2"
}

// names drops the numbers of points.
func names(points []string) []string {
	var all []string
	for _, p := range points {
		name, _, _ := strings.Cut(p, "#")
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

var faultCall = regexp.MustCompile(`fault\("([a-z.]+)"\)`)

func pointsInTheCode(t *testing.T) []string {
	t.Helper()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, path := range sources {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range faultCall.FindAllStringSubmatch(string(data), -1) {
			all = append(all, m[1])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// checkRecovered opens the store as the next daemon does.
func checkRecovered(t *testing.T, data string) {
	t.Helper()
	k := newKilnAt(t, data, Options{})
	if err := k.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, e := range all {
		dirs = append(dirs, string(e.ID))
		want := wholeFiles
		if e.Layer {
			want = layerFiles
		}
		if e.Layer && e.MemoryBase == "" {
			want = baseFiles
		}
		if got := k.has(t, e.ID); got != want || e.InUse != 0 {
			t.Errorf("%+v holds %s", e, got)
		}
		if e.Layer {
			continue
		}
		if err := k.use(t, e.ID); err != nil {
			t.Errorf("%s: %v", e.Stage, err)
		}
		if _, err := k.Key(t.Context(), e.ID); err != nil {
			t.Error(err)
		}
	}
	k.checkNothingElse(t, dirs)
	if strings.Contains(k.log.String(), "level=") {
		t.Errorf("recovery was not silent: %s", k.log)
	}
	k.keep(t, "next", "", "next", 9)
}

// checkNothingElse looks for rows and directories that List does not know.
func (k *kiln) checkNothingElse(t *testing.T, dirs []string) {
	t.Helper()
	found, err := os.ReadDir(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, f := range found {
		have = append(have, f.Name())
	}
	slices.Sort(dirs)
	if diff := cmp.Diff(dirs, have); diff != "" {
		t.Error("rows (-) and directories (+):", diff)
	}
	var rows, leases int
	if err := k.db.R.QueryRow(`SELECT (SELECT count(*) FROM checkpoints), (SELECT count(*) FROM checkpoint_leases)`).Scan(&rows, &leases); err != nil {
		t.Fatal(err)
	}
	if rows != len(dirs) || leases != 0 {
		t.Errorf("%d rows for %v, and %d leases", rows, dirs, leases)
	}
}

// Whoever tampers with the directory is told, and the rest goes on.
func TestRecoverDropsWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	ids := k.chain(t, "one", "two", "three")
	other := k.keep(t, "b1", "", "other", 9)
	remove(t, filepath.Join(k.path(ids[1]), "disk.qcow2"))
	for _, name := range []string{"0123456789abcdef", ".trash-0123456789abcdef", "lost+found"} {
		if err := os.MkdirAll(filepath.Join(k.dir, name, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(k.path(other.ID), ".part-x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.names(t); !cmp.Equal(got, []ID{other.ID, ids[0]}) {
		t.Errorf("left: %v", got)
	}
	if got := k.has(t, other.ID); got != wholeFiles {
		t.Errorf("it holds %s", got)
	}
	if !strings.Contains(k.log.String(), string(ids[1])) {
		t.Errorf("the log does not name it: %s", k.log)
	}
	remove(t, filepath.Join(k.dir, "lost+found", "sub"))
	remove(t, filepath.Join(k.dir, "lost+found"))
	k.checkNothingElse(t, []string{string(ids[0]), string(other.ID)})
}
