package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// damage changes a byte in the middle of a file, which keeps its size.
func damage(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(t testing.TB, path string) {
	t.Helper()
	if err := os.Truncate(path, 3); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Three checkpoints stand on each other, and a file of the middle one goes bad. A bad disk takes with it what stands on it; a
// bad memory does not.
func TestDamage(t *testing.T) {
	t.Parallel()
	type harm func(testing.TB, string)
	for _, c := range []struct {
		file string
		harm harm
		left []string
	}{
		{"disk.qcow2", damage, []string{"one"}},
		{"disk.qcow2", truncate, []string{"one"}},
		{"disk.qcow2", remove, []string{"one"}},
		{manifestFile, damage, []string{"one"}},
		{manifestFile, remove, []string{"one"}},
		{memoryFile, damage, []string{"one", "three"}},
		{memoryFile, truncate, []string{"one", "three"}},
		{memoryFile, remove, []string{"one", "three"}},
		{keyFile, remove, []string{"one", "three"}},
		{"vars.fd", damage, []string{"one", "three"}},
	} {
		k := newKiln(t, Options{})
		ids := k.chain(t, "one", "two", "three")
		c.harm(t, filepath.Join(k.path(ids[1]), c.file))
		if err := k.use(t, ids[1]); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", c.file, err)
		}
		var left []string
		for _, fp := range []string{"one", "two", "three"} {
			if k.lookup(t, fp) != nil {
				left = append(left, fp)
			}
		}
		if diff := cmp.Diff(c.left, left); diff != "" {
			t.Errorf("%s: %s", c.file, diff)
		}
		if !strings.Contains(k.log.String(), string(ids[1])) {
			t.Errorf("%s: the log does not name it: %s", c.file, k.log)
		}
		if len(left) == 1 && k.has(t, ids[1])+k.has(t, ids[2]) != "" {
			t.Errorf("%s: files are left: %v", c.file, k.files(t))
		}
		if len(left) == 2 {
			k.thaw(t, ids[2], 3)
		}
	}
}

// use acquires a checkpoint and looks at everything.
func (k *kiln) use(t testing.TB, id ID) error {
	t.Helper()
	l, err := k.Acquire(t.Context(), id, "user")
	if err != nil {
		return err
	}
	if err := l.Verify(t.Context()); err != nil {
		return err
	}
	dir := t.TempDir()
	_, err = readMemory(t.Context(), l, dir)
	if left, readErr := os.ReadDir(dir); readErr != nil || len(left) != 0 {
		t.Errorf("left: %v (%v)", left, readErr)
	}
	return errors.Join(err, l.Close(t.Context()))
}

// A parent's disk goes bad: whoever stands on it notices.
func TestDamageOfAnAncestor(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	ids := k.chain(t, "one", "two", "three")
	if err := k.Remove(t.Context(), ids[0], false); err != nil { // it is a layer
		t.Fatal(err)
	}
	running := k.acquire(t, ids[1], "running")
	damage(t, filepath.Join(k.path(ids[0]), "disk.qcow2"))
	if err := k.use(t, ids[2]); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
	if k.lookup(t, "two") != nil || k.lookup(t, "three") != nil {
		t.Error("what stands on a bad disk is found")
	}
	if _, err := k.Draft(t.Context(), "running", ids[1]); !errors.Is(err, ErrGone) {
		t.Errorf("a machine on a bad disk is frozen: %v", err)
	}
	if err := running.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A daemon reads a file once, and again when the file system says that it has changed.
func TestVerifyReadsOnce(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	k := newKilnAt(t, data, Options{})
	ids := k.chain(t, "one", "two")
	again := newKilnAt(t, data, Options{}) // the next daemon knows nothing of the files
	for i, c := range []struct {
		kiln *kiln
		want bool
	}{{k, false}, {again, true}} {
		var read atomic.Int32
		c.kiln.fault = func(point string) error {
			if point == "verify.read" {
				read.Add(1)
			}
			return nil
		}
		if err := c.kiln.use(t, ids[1]); err != nil {
			t.Fatal(err)
		}
		if got := read.Load() > 0; got != c.want {
			t.Errorf("%d: read %d files", i, read.Load())
		}
		read.Store(0)
		if err := c.kiln.use(t, ids[1]); err != nil || read.Load() > 0 {
			t.Errorf("%d: read %d files again (%v)", i, read.Load(), err)
		}
	}
}

// Eight builds start from one checkpoint at once while others are made and evicted.
func TestManyBuilds(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{Budget: 2 << 20})
	base := k.keep(t, "base", "", "base", 1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			user := build.ID(fmt.Sprintf("b%d", i))
			for round := range 3 {
				if err := k.round(t, user, base.ID, fmt.Sprintf("fp%d", (i+round)%4), byte(i)); err != nil {
					t.Errorf("%s: %v", user, err)
				}
			}
		})
	}
	wg.Wait()
	k.release(t, "base")
	k.prune(t, PruneOptions{All: true})
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if strings.Contains(k.log.String(), "ERROR") {
		t.Error(k.log)
	}
}

// round is one build: it thaws the base, freezes itself twice, and ends.
func (k *kiln) round(t *testing.T, user build.ID, base ID, fp string, seed byte) error {
	ctx := t.Context()
	l, err := k.Acquire(ctx, base, user)
	if err != nil {
		return err
	}
	if err := l.Verify(ctx); err != nil {
		return err
	}
	e, err := keep(ctx, k.Store, user, base, fp, seed)
	if err != nil {
		return err
	}
	if _, err := keep(ctx, k.Store, user, e.ID, fp+"+", seed); err != nil {
		return err
	}
	if _, err := k.Key(ctx, e.ID); err != nil {
		return err
	}
	return k.Release(ctx, user)
}
