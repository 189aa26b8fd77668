package checkpoint

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// freeze makes a draft with a frozen machine in it.
func (k *kiln) freeze(t testing.TB, user build.ID, parent ID, seed byte) (*Draft, *hypervisor.Frozen) {
	t.Helper()
	d, err := k.Draft(t.Context(), user, parent)
	if err != nil {
		t.Fatal(err)
	}
	m, err := frozen(d.Dir, seed)
	if err != nil {
		t.Fatal(err)
	}
	return d, m
}

func TestADraftIsNotFound(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	d, _ := k.freeze(t, "b1", "", 1)
	if all := k.names(t); len(all) > 0 {
		t.Errorf("found %v", all)
	}
	if _, err := k.Acquire(t.Context(), d.ID, "b1"); !errors.Is(err, ErrGone) {
		t.Errorf("acquired: %v", err)
	}
	if err := k.Remove(t.Context(), d.ID, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
	for range 2 {
		if err := d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Commit(t.Context(), Meta{}, ""); !errors.Is(err, ErrGone) {
		t.Errorf("commit after close: %v", err)
	}
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// The machine goes on and is frozen again while its first memory is still being compressed.
func TestAChildWaitsForItsParent(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	hold, packed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	k.fault = func(point string) error {
		if point == "commit.packed" {
			once.Do(func() { close(packed); <-hold })
		}
		return nil
	}
	parent, m := k.freeze(t, "b1", "", 1)
	var wg sync.WaitGroup
	commit := func(d *Draft, fp string, m *hypervisor.Frozen) {
		wg.Go(func() {
			defer d.Close(t.Context())
			if _, err := d.Commit(t.Context(), metaOf(fp, 1, m), "k"); err != nil {
				t.Error(err)
			}
		})
	}
	commit(parent, "one", m)
	<-packed
	child, m := k.freeze(t, "b1", parent.ID, 2)
	commit(child, "two", m)
	if all := k.names(t); len(all) > 0 {
		t.Errorf("found %v", all)
	}
	close(hold)
	wg.Wait()
	k.release(t, "b1")
	if got := k.names(t); !cmp.Equal(got, []ID{child.ID, parent.ID}) {
		t.Errorf("found %v", got)
	}
	if e, err := k.Get(t.Context(), "two"); err != nil || e.Parent != parent.ID {
		t.Errorf("%+v %v", e, err)
	}
}

// A full disk is an error that the build goes on after, and its machine keeps the disks that it stands on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"draft.row", "commit.memory", "commit.packed", "commit.key", "commit.summed", "commit.manifest"} {
		k := newKiln(t, Options{})
		full := true
		k.fault = func(p string) error {
			if p == point && full {
				full = false
				return &os.PathError{Op: "write", Path: "memory", Err: syscall.ENOSPC}
			}
			return nil
		}
		_, err := keep(t.Context(), k.Store, "b1", "", "one", 1)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", point, err)
		}
		if got := k.lookup(t, "one"); got != nil {
			t.Errorf("%s: found %v", point, got)
		}
		if strings.HasPrefix(point, "commit") {
			k.goesOn(t, point)
		}
		k.release(t, "b1")
		k.prune(t, PruneOptions{All: true})
		if left := k.files(t); len(left) > 0 {
			t.Errorf("%s: left: %v", point, left)
		}
	}
}

// goesOn freezes the machine of a checkpoint that was not kept once more.
func (k *kiln) goesOn(t *testing.T, point string) {
	t.Helper()
	all, err := k.List(t.Context())
	if err != nil || len(all) != 1 || !all[0].Layer || all[0].InUse != 1 {
		t.Fatalf("%s: %+v %v", point, all, err)
	}
	if got := k.has(t, all[0].ID); got != layerFiles {
		t.Errorf("%s: the machine stands on %s", point, got)
	}
	child := k.keep(t, "b1", all[0].ID, "two", 2)
	k.release(t, "b1")
	k.thaw(t, child.ID, 2)
}

// The real thing: a file system of its own that is full.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	data := t.TempDir()
	small := filepath.Join(data, "checkpoints")
	if err := os.Mkdir(small, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=380k"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	k := newKilnAt(t, data, Options{})
	_, err := keep(t.Context(), k.Store, "b1", "", "one", 1) // the memory does not fit beside what it is compressed to
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v", err)
	}
	if all := k.names(t); len(all) != 1 || k.has(t, all[0]) != layerFiles {
		t.Errorf("left %v: %v", all, k.files(t))
	}
	k.release(t, "b1")
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestReleaseEndsACommit(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	here := make(chan struct{})
	waiting, _ := k.freeze(t, "b1", "", 1) // never committed: what stands on it waits
	child, m := k.freeze(t, "b1", waiting.ID, 2)
	k.fault = func(point string) error {
		if point == "commit.begun" {
			close(here)
		}
		return nil
	}
	failed := make(chan error, 1)
	go func() {
		_, err := child.Commit(t.Context(), metaOf("fp", 2, m), "k")
		failed <- err
	}()
	<-here
	k.release(t, "b1")
	if err := <-failed; !errors.Is(err, ErrGone) {
		t.Errorf("the commit ended with %v", err)
	}
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestCancelledCommit(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	d, m := k.freeze(t, "b1", "", 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(build.ErrCanceled)
	if _, err := d.Commit(ctx, metaOf("fp", 1, m), "k"); !errors.Is(err, build.ErrCanceled) {
		t.Errorf("%v", err)
	}
	if got := k.has(t, d.ID); !strings.Contains(got, "disk.qcow2") || strings.Contains(got, "memory") {
		t.Errorf("a machine that still runs stands on %q", got)
	}
	if _, err := k.Draft(t.Context(), "b1", d.ID); !errors.Is(err, ErrGone) {
		t.Errorf("a child of it: %v", err)
	}
	k.release(t, "b1")
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Nobody else's draft can be a parent: it may never become whole.
func TestParents(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	d, _ := k.freeze(t, "b1", "", 1)
	for _, parent := range []ID{d.ID, "0123456789abcdef", "../../etc"} {
		if _, err := k.Draft(t.Context(), "b2", parent); !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", parent, err)
		}
	}
}

// A detached draft outlives its build, is waited for by those who look for it, and has no user afterwards.
func TestDetachedCommit(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	parent := k.keep(t, "b1", "", "one", 1)
	d, m := k.freeze(t, "b1", parent.ID, 2)
	if err := d.Detach(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	k.release(t, "b1")
	if removed := k.prune(t, PruneOptions{All: true}); removed != nil {
		t.Errorf("the disks that a draft stands on: %v", removed)
	}
	found := make(chan []ID, 1)
	go func() { found <- k.lookup(t, "two") }()
	if got := k.lookup(t, "one"); len(got) != 1 {
		t.Errorf("another one is waited for too, or gone: %v", got)
	}
	e, err := d.Commit(t.Context(), metaOf("two", 2, m), "k")
	if err != nil || e.InUse != 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	if got := <-found; !slices.Equal(got, []ID{d.ID}) {
		t.Errorf("found %v, want %v", got, d.ID)
	}
	if err := k.Settle(t.Context()); err != nil {
		t.Error(err)
	}
	if err := k.use(t, d.ID); err != nil {
		t.Error(err)
	}
}

// Who waits for a draft that comes to nothing is let go.
func TestDetachedAndLost(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	d, m := k.freeze(t, "b1", "", 1)
	if err := d.Detach(t.Context(), "fp"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(build.ErrStopping)
	if _, err := k.Lookup(ctx, "fp"); !errors.Is(err, build.ErrStopping) {
		t.Errorf("a look-up that is cancelled: %v", err)
	}
	k.fault = func(point string) error {
		if point == "commit.memory" {
			return syscall.ENOSPC
		}
		return nil
	}
	if _, err := d.Commit(t.Context(), metaOf("fp", 1, m), "k"); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if got := k.lookup(t, "fp"); got != nil {
		t.Errorf("found %v", got)
	}
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
