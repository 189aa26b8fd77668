package store

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// upTo is the migrations as a boxkiln had them that knew no more than the first n.
func upTo(t *testing.T, n int) fstest.MapFS {
	t.Helper()
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) < n {
		t.Fatal(names, err)
	}
	old := fstest.MapFS{}
	for _, name := range names[:n] {
		data, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		old[name] = &fstest.MapFile{Data: data}
	}
	return old
}

// firstRows are a released, a revoked and a draft version as the first boxkiln wrote them.
const firstRows = `
INSERT INTO boxes VALUES (1, 'ops', 'deb', 'short', 'long', 1000000, 2000000);
INSERT INTO box_versions (id, box_id, number, sort_key, description, created_at) VALUES
	(1, 1, '1.0', ?, 'first', 1000000), (2, 1, '2.0', ?, 'second', 2000000), (3, 1, '3.0', ?, 'third', 3000000);
INSERT INTO box_files (id, version_id, provider, architecture, is_default, digest, size, unpacked_size, virtual_size, firmware,
	provenance, published_at, smoke_passed, smoke_detail, smoke_at) VALUES
	(1, 1, 'libvirt', 'amd64', 1, printf('%064d', 1), 11, 21, 31, 'uefi', '{"build":"b1"}', 1100000, 1, 'logged in', 1200000),
	(2, 1, 'libvirt', 'arm64', 0, printf('%064d', 2), 12, 22, 32, '', 'null', 1300000, NULL, '', NULL),
	(3, 2, 'libvirt', 'amd64', 1, printf('%064d', 3), 13, 23, 33, '', 'null', 2100000, NULL, '', NULL),
	(4, 3, 'libvirt', 'amd64', 1, printf('%064d', 4), 14, 24, 34, '', 'null', 3100000, NULL, '', NULL);
UPDATE box_versions SET state = 'released', released_at = 1500000 WHERE id = 1;
UPDATE box_versions SET state = 'released', released_at = 2500000 WHERE id = 2;
UPDATE box_versions SET state = 'revoked', revoked_at = 2600000 WHERE id = 2;`

// TestMigrationKeepsEverything brings a database of the first boxkiln up to date.
func TestMigrationKeepsEverything(t *testing.T) {
	t.Parallel()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "boxkiln.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := sqlitedb.Migrate(t.Context(), db, upTo(t, 1), "boxregistry_schema"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.W.Exec(firstRows, version("1.0").SortKey(), version("2.0").SortKey(), version("3.0").SortKey()); err != nil {
		t.Fatal(err)
	}
	r, err := New(t.Context(), db, &mem.Store{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	box, err := r.Box(t.Context(), name("ops/deb"))
	if err != nil {
		t.Fatal(err)
	}
	if box.ShortDescription != "short" || box.Description != "long" || box.Private || !box.Created.Equal(time.UnixMicro(1000000)) || len(box.Releases) != 3 {
		t.Fatalf("%+v", box)
	}
	third, second, first := box.Releases[0], box.Releases[1], box.Releases[2]
	if third.State != boxregistry.Draft || len(third.Channels) != 0 || !third.Updated.Equal(time.UnixMicro(3000000)) || third.Description != "third" {
		t.Errorf("the draft: %+v", third)
	}
	if second.State != boxregistry.Revoked || !second.Revoked.Equal(time.UnixMicro(2600000)) || !second.Updated.Equal(second.Revoked) {
		t.Errorf("the revoked: %+v", second)
	}
	if first.State != boxregistry.Released || len(first.Channels) != 1 || first.Channels[0] != boxregistry.Stable || len(first.Files) != 2 || len(box.Visible()) != 1 {
		t.Errorf("the released: %+v", first)
	}
	f := first.Files[1] // the default is last
	if !f.Default || f.Architecture != "amd64" || f.Size != 11 || f.UnpackedSize != 21 || f.VirtualSize != 31 || f.Firmware != "uefi" ||
		string(f.Provenance) != `{"build":"b1"}` || !f.Published.Equal(time.UnixMicro(1100000)) || !f.Smoke.Passed || f.Smoke.Detail != "logged in" || !f.Complete() {
		t.Errorf("its file: %+v", f)
	}
	for _, forbidden := range []string{
		`UPDATE box_files SET size = 1 WHERE id = 1`, `DELETE FROM box_files WHERE id = 1`, `UPDATE box_files SET digest = '', url = 'https://x' WHERE id = 1`,
		`INSERT INTO box_files (version_id, provider, architecture, is_default, created_at) VALUES (1, 'x', 'amd64', 1, 1)`,
		`UPDATE box_files SET version_id = 1 WHERE id = 4`, `DELETE FROM box_versions WHERE id = 1`,
		`UPDATE box_versions SET state = 'draft', released_at = NULL WHERE id = 1`, `UPDATE box_versions SET number = '9' WHERE id = 3`,
		`UPDATE box_versions SET purged_at = 1, deleted_at = 1 WHERE id = 1`, `UPDATE box_versions SET purged_at = 1 WHERE id = 2`,
	} {
		if _, err := db.W.Exec(forbidden); !sqlitedb.IsConstraint(err) {
			t.Errorf("%s: %v", strings.Fields(forbidden), err)
		}
	}
	if err := r.Release(t.Context(), name("ops/deb"), version("3.0")); err != nil {
		t.Errorf("the draft goes on: %v", err)
	}
}
