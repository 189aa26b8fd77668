package api_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// openCheckpoints is a real store.
func openCheckpoints(t testing.TB, db *sqlitedb.DB) *checkpoint.Store {
	t.Helper()
	same := func(b []byte) ([]byte, error) { return b, nil }
	s, err := checkpoint.Open(t.Context(), db, t.TempDir(), checkpoint.Options{Seal: same, Open: same})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keep makes a checkpoint that its build uses.
func keep(t *testing.T, s *checkpoint.Store, user build.ID, fingerprint string, parent checkpoint.ID) checkpoint.Entry {
	t.Helper()
	d, err := s.Draft(t.Context(), user, parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"memory", "disk"} {
		if err := os.WriteFile(filepath.Join(d.Dir, name), bytes.Repeat([]byte(name), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := d.Commit(t.Context(), checkpoint.Meta{
		Fingerprint: fingerprint, Kind: checkpoint.KindMemory, Stage: "installed", Label: "qemu.debian", Template: "debian.pkr.hcl",
		Build: user, Took: 90 * time.Second, Reads: []build.Ingredient{{Name: "media", Digest: strings.Repeat("0", 64)}},
		Machine: &hypervisor.Frozen{Memory: "memory", Disks: []hypervisor.FrozenDisk{{Name: "disk"}}, Host: hypervisor.Host{CPU: "qemu64"}},
	}, "key")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	store := openCheckpoints(t, k.db)
	k.server.Checkpoints = store
	c := k.local(t)
	if list, err := c.Checkpoints(t.Context()); err != nil || len(list) != 0 {
		t.Fatal(list, err)
	}
	one := keep(t, store, "b1", "aone", "")
	two := keep(t, store, "b2", "atwo", one.ID)
	list, err := c.Checkpoints(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	want := wire.Checkpoint{
		ID: string(two.ID), Fingerprint: "atwo", Kind: "memory", Stage: "installed", Label: "qemu.debian", Template: "debian.pkr.hcl",
		Build: "b2", Seconds: 90, Reads: two.Reads, Parent: string(one.ID), Host: &hypervisor.Host{CPU: "qemu64"}, Bytes: two.Bytes, InUse: 1,
	}
	unstamped := cmp.Comparer(func(build.Stamp, build.Stamp) bool { return true })
	if diff := cmp.Diff(want, list[0], unstamped); diff != "" {
		t.Error(diff)
	}
	shown, err := c.Checkpoint(t.Context(), "atw")
	if diff := cmp.Diff(want, shown, unstamped); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if list[0].Created.Time().IsZero() || list[0].Used.Time().IsZero() {
		t.Errorf("%+v has no times", list[0])
	}

	if err := c.RemoveCheckpoint(t.Context(), "atwo", false); code(t, err) != wire.CodeConflict || !strings.Contains(err.Error(), "b2") {
		t.Errorf("in use: %v", err)
	}
	if err := c.RemoveCheckpoint(t.Context(), "atwo", true); err != nil {
		t.Error(err)
	}
	if shown, err := c.Checkpoint(t.Context(), string(two.ID)); err != nil || !shown.Layer {
		t.Errorf("%+v, %v", shown, err)
	}
}

func TestPruneCheckpoints(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	store := openCheckpoints(t, k.db)
	k.server.Checkpoints = store
	c := k.local(t)
	one := keep(t, store, "b1", "one", "")
	keep(t, store, "b2", "two", "")
	if err := store.Release(t.Context(), "b1"); err != nil {
		t.Fatal(err)
	}
	for _, req := range []wire.PruneRequest{{}, {Budget: 1 << 40}, {Seconds: 3600}} {
		if reply, err := c.PruneCheckpoints(t.Context(), req); err != nil || len(reply.Removed) > 0 {
			t.Errorf("%+v: %+v, %v", req, reply, err)
		}
	}
	reply, err := c.PruneCheckpoints(t.Context(), wire.PruneRequest{All: true})
	if err != nil || len(reply.Removed) != 1 || reply.Removed[0].ID != string(one.ID) || reply.Freed != one.Bytes {
		t.Errorf("%+v, %v", reply, err)
	}
}

func TestCheckpointErrors(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	store := openCheckpoints(t, k.db)
	k.server.Checkpoints = store
	c := k.local(t)
	keep(t, store, "b1", "fp-a", "")
	keep(t, store, "b1", "fp-b", "")
	_, ambiguous := c.Checkpoint(t.Context(), "fp-")
	_, missing := c.Checkpoint(t.Context(), "x y")
	_, prune := c.PruneCheckpoints(t.Context(), wire.PruneRequest{Budget: -1})
	for name, v := range map[string]struct {
		err  error
		want wire.Code
	}{
		"ambiguous": {ambiguous, wire.CodeBadRequest}, "missing": {missing, wire.CodeNotFound}, "prune": {prune, wire.CodeBadRequest},
		"remove missing": {c.RemoveCheckpoint(t.Context(), "none", true), wire.CodeNotFound},
	} {
		if code(t, v.err) != v.want {
			t.Errorf("%s: %v", name, v.err)
		}
	}
	token := k.token(t, "write")
	if res, body := k.do(t, http.MethodDelete, "/v1/checkpoints/fp-a?force=perhaps", token, "", nil); res.StatusCode != http.StatusBadRequest {
		t.Error(res.Status, body)
	}
	if err := k.db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Checkpoints(t.Context()); code(t, err) != wire.CodeInternal {
		t.Errorf("without a database: %v", err)
	}
}
