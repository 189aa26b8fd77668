package checkpoint

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// chain makes checkpoints, each standing on the disks of the one before, and releases them.
func (k *kiln) chain(t testing.TB, fingerprints ...string) []ID {
	t.Helper()
	var all []ID
	parent := ID("")
	for i, fp := range fingerprints {
		parent = k.keep(t, "maker", parent, fp, byte(i+1)).ID
		all = append(all, parent)
	}
	k.release(t, "maker")
	return all
}

func (k *kiln) prune(t testing.TB, o PruneOptions) []ID {
	t.Helper()
	removed, freed, err := k.Prune(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if (len(removed) > 0) != (freed > 0) {
		t.Errorf("%d bytes freed by removing %d", freed, len(removed))
	}
	return ids(removed)
}

func TestParentsStayAsLayers(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	c := k.chain(t, "one", "two", "three")
	if err := k.Remove(t.Context(), c[0], false); err != nil {
		t.Fatal(err)
	}
	if got := k.has(t, c[0]); got != baseFiles {
		t.Errorf("the layer holds %s", got)
	}
	if got := k.lookup(t, "one"); got != nil {
		t.Errorf("the layer is found: %v", got)
	}
	if e, err := k.Get(t.Context(), string(c[0])); err != nil || !e.Layer {
		t.Errorf("%+v %v", e, err)
	}
	var busy *InUseError
	if err := k.Remove(t.Context(), c[0], true); !errors.As(err, &busy) || !cmp.Equal(busy.Children, c[1:2]) {
		t.Errorf("a layer that is needed: %v", err)
	}
	k.thaw(t, c[2], 3)

	if err := k.Remove(t.Context(), c[2], false); err != nil {
		t.Fatal(err)
	}
	if err := k.Remove(t.Context(), c[1], false); err != nil {
		t.Fatal(err)
	}
	if left := k.files(t); len(left) > 0 {
		t.Errorf("the last child is gone, and the layers stay: %v", left)
	}
	if err := k.Remove(t.Context(), c[1], false); !errors.Is(err, ErrNotFound) {
		t.Errorf("remove again: %v", err)
	}
}

func TestWhatIsInUseStays(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	c := k.chain(t, "one", "two")
	l := k.acquire(t, c[1], "b1")
	k.acquire(t, c[1], "b2")
	var busy *InUseError
	if err := k.Remove(t.Context(), c[1], false); !errors.As(err, &busy) || !cmp.Equal(busy.Users, []build.ID{"b1", "b2"}) {
		t.Fatalf("%v", err)
	}
	if removed := k.prune(t, PruneOptions{All: true}); !cmp.Equal(removed, c[:1]) {
		t.Errorf("pruned %v of %v", removed, c)
	}
	if err := k.Remove(t.Context(), c[1], true); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Acquire(t.Context(), c[1], "b3"); !errors.Is(err, ErrGone) {
		t.Errorf("acquire what was removed: %v", err)
	}
	if _, err := l.Memory(t.Context(), t.TempDir()); !errors.Is(err, ErrGone) {
		t.Errorf("memory of what was removed: %v", err)
	}
	if _, err := k.Key(t.Context(), c[1]); !errors.Is(err, ErrGone) {
		t.Errorf("key of what was removed: %v", err)
	}
	if a, b := k.has(t, c[0]), k.has(t, c[1]); a != baseFiles || b != layerFiles {
		t.Errorf("the disks of a machine that runs: %s, %s", a, b)
	}
	k.release(t, "b1")
	k.release(t, "b1")
	if k.has(t, c[1]) == "" {
		t.Error("it went before its last user")
	}
	k.release(t, "b2")
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestADraftProtectsItsParent(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	c := k.chain(t, "one")
	d, err := k.Draft(t.Context(), "b1", c[0])
	if err != nil {
		t.Fatal(err)
	}
	if e, err := k.Get(t.Context(), "one"); err != nil || e.InUse != 1 {
		t.Errorf("%+v %v", e, err)
	}
	if removed := k.prune(t, PruneOptions{All: true}); removed != nil {
		t.Errorf("pruned %v", removed)
	}
	var busy *InUseError
	if err := k.Remove(t.Context(), c[0], false); !errors.As(err, &busy) || !cmp.Equal(busy.Users, []build.ID{"b1"}) {
		t.Error(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if removed := k.prune(t, PruneOptions{All: true}); !cmp.Equal(removed, c) {
		t.Errorf("pruned %v", removed)
	}
}

func TestBudgetTakesTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	var all []ID
	for i, fp := range []string{"one", "two", "three"} {
		all = append(all, k.keep(t, "maker", "", fp, byte(i)).ID)
	}
	k.release(t, "maker")
	if err := k.acquire(t, all[0], "b1").Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	size := k.size(t)
	if removed := k.prune(t, PruneOptions{Budget: size - 1}); !cmp.Equal(removed, all[1:2]) {
		t.Errorf("pruned %v of %v", removed, all)
	}
	if removed := k.prune(t, PruneOptions{Budget: size}); removed != nil {
		t.Errorf("pruned %v", removed)
	}
	k.o.Budget = 1
	newest := k.keep(t, "maker", "", "four", 4) // evicts the others, not itself: it is in use
	if got := k.names(t); !cmp.Equal(got, []ID{newest.ID}) {
		t.Errorf("left: %v", got)
	}
	k.release(t, "maker")
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// size is what the rows say the store takes; it is compared with what the directories do.
func (k *kiln) size(t testing.TB) (sum int64) {
	t.Helper()
	all, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		sum += e.Bytes
	}
	return sum
}

// names are the ids of all entries, newest first.
func (k *kiln) names(t testing.TB) []ID {
	t.Helper()
	all, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ids(all)
}

// Evicting a parent frees what its children do not need, and no more.
func TestBudgetCountsLayers(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	c := k.chain(t, "one", "two")
	before := k.size(t)
	removed, freed, err := k.Prune(t.Context(), PruneOptions{Budget: before - 1})
	if err != nil || !cmp.Equal(ids(removed), c[:1]) {
		t.Fatal(removed, err)
	}
	after := k.size(t)
	if freed != before-after || after <= 0 || k.has(t, c[0]) != baseFiles {
		t.Errorf("%d bytes freed of %d, %d left; the layer holds %s", freed, before, after, k.has(t, c[0]))
	}
	if removed := k.prune(t, PruneOptions{Budget: 1}); !cmp.Equal(removed, c[1:]) {
		t.Errorf("pruned %v", removed)
	}
	if left := k.files(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{MaxAge: 48 * time.Hour})
	old := k.keep(t, "maker", "", "one", 1)
	k.clock.add(24 * time.Hour)
	k.keep(t, "maker", "", "two", 2)
	k.clock.add(25 * time.Hour)
	if removed := k.prune(t, PruneOptions{}); removed != nil {
		t.Errorf("in use: %v", removed)
	}
	k.release(t, "maker")
	if got := k.lookup(t, "one"); got != nil {
		t.Errorf("%s is older than two days: %v", old.ID, got)
	}
	if removed := k.prune(t, PruneOptions{OlderThan: 26 * time.Hour}); removed != nil {
		t.Errorf("pruned %v", removed)
	}
	if removed := k.prune(t, PruneOptions{OlderThan: 25 * time.Hour / 2}); len(removed) != 1 {
		t.Errorf("pruned %v", removed)
	}
}

// Two builds freeze the same: both may go on with their own, and only the newer one stays.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	a, b := k.keep(t, "b1", "", "fp", 1), k.keep(t, "b2", "", "fp", 1)
	if got := k.lookup(t, "fp"); !cmp.Equal(got, []ID{b.ID, a.ID}) {
		t.Errorf("found %v", got)
	}
	k.release(t, "b2")
	if got := k.lookup(t, "fp"); len(got) != 2 {
		t.Errorf("the older one went while it was in use: %v", got)
	}
	k.release(t, "b1")
	if got := k.lookup(t, "fp"); !cmp.Equal(got, []ID{b.ID}) {
		t.Errorf("found %v", got)
	}
	if k.has(t, a.ID) != "" {
		t.Error("the older one's files are left")
	}
}

// What the machine of an abandoned build stands on outlives the build and the daemon, until somebody insists.
func TestPinnedStays(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	k := newKilnAt(t, data, Options{})
	c := k.chain(t, "one", "two")
	k.acquire(t, c[1], "b1")
	pinned, err := k.Pin(t.Context(), "b1")
	if err != nil || !cmp.Equal(pinned, c[1:]) {
		t.Fatal(pinned, err)
	}
	k = newKilnAt(t, data, Options{})
	if err := k.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if removed := k.prune(t, PruneOptions{All: true}); !cmp.Equal(removed, c[:1]) || k.has(t, c[0]) != baseFiles {
		t.Errorf("pruned %v, and of the parent is left %s", removed, k.has(t, c[0]))
	}
	var busy *InUseError
	if err := k.Remove(t.Context(), c[1], false); !errors.As(err, &busy) {
		t.Error(err)
	}
	if err := k.Remove(t.Context(), c[1], true); err != nil {
		t.Error(err)
	}
	if left := k.files(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
