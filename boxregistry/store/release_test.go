package store

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/blobtest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestReleaseAndRevoke(t *testing.T) {
	t.Parallel()
	b := setup(t)
	deb, one := name("ops/deb"), version("1.0")
	for _, v := range []boxregistry.Version{one, version("9")} {
		if err := b.Release(t.Context(), deb, v); !errors.Is(err, boxregistry.ErrNotFound) {
			t.Errorf("release of nothing: %v, want ErrNotFound", err)
		}
	}
	b.add("ops/deb 1.0 libvirt/amd64", "one")
	if err := b.Revoke(t.Context(), deb, one, ""); !errors.Is(err, boxregistry.ErrNotReleased) {
		t.Errorf("revoke of a draft: %v, want ErrNotReleased", err)
	}
	if n := len(b.box("ops/deb").Visible()); n != 0 {
		t.Errorf("%d drafts are visible", n)
	}
	for range 2 {
		if err := b.Release(t.Context(), deb, version("1.0.0")); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	rel := b.box("ops/deb").Visible()
	if len(rel) != 1 || rel[0].State != boxregistry.Released || rel[0].Released.IsZero() {
		t.Errorf("after release: %+v", rel)
	}
	for range 2 {
		if err := b.Revoke(t.Context(), deb, one, ""); err != nil {
			t.Errorf("revoke: %v", err)
		}
	}
	if err := b.Release(t.Context(), deb, one); !errors.Is(err, boxregistry.ErrImmutable) {
		t.Errorf("release of a revoked version: %v, want ErrImmutable", err)
	}
	got, ok := b.box("ops/deb").Release(one)
	if !ok || got.State != boxregistry.Revoked || got.Revoked.IsZero() || len(b.box("ops/deb").Visible()) != 0 {
		t.Errorf("after revoke: %+v", got)
	}
}

func TestReleaseNeedsAFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add("ops/deb 1.0 libvirt/amd64", "one")
	exec(t, b, "DELETE FROM box_files")
	if err := b.Release(t.Context(), name("ops/deb"), version("1.0")); !errors.Is(err, boxregistry.ErrIncomplete) {
		t.Errorf("got %v, want ErrIncomplete", err)
	}
}

func TestSmoke(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	want := boxregistry.Smoke{Passed: true, Detail: "logged in after 21 s", At: time.Date(2026, 11, 20, 1, 2, 3, 4000, time.UTC)}
	deb, one := name("ops/deb"), version("1.0")
	if err := b.SetSmoke(t.Context(), deb, one, "libvirt", "amd64", want); err != nil {
		t.Fatal(err)
	}
	if got := b.box("ops/deb").Releases[0].Files[0].Smoke; got != want || !got.Tried() {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := b.SetSmoke(t.Context(), deb, one, "virtualbox", "amd64", want); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func exec(t *testing.T, b *bundle, query string) {
	t.Helper()
	if err := try(t, b, query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func try(t *testing.T, b *bundle, query string) error {
	return b.db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), query)
		return err
	})
}

// The database itself keeps released versions as they are, whatever the program above it does.
func TestTriggers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	b.add("ops/deb 2.0 libvirt/amd64", "two")
	const one, two = "(SELECT id FROM box_versions WHERE number = '1.0')", "(SELECT id FROM box_versions WHERE number = '2.0')"
	for _, query := range []string{
		"UPDATE box_versions SET state = 'draft', released_at = NULL WHERE number = '1.0'",
		"UPDATE box_versions SET state = 'revoked', revoked_at = 1 WHERE number = '2.0'",
		"UPDATE box_versions SET number = '1.5' WHERE number = '1.0'",
		"UPDATE box_versions SET sort_key = x'00' WHERE number = '1.0'",
		"UPDATE box_versions SET released_at = 1 WHERE number = '1.0'",
		"UPDATE box_versions SET released_at = NULL WHERE number = '1.0'",
		"DELETE FROM box_versions WHERE number = '1.0'",
		"DELETE FROM box_files WHERE version_id = " + one,
		"UPDATE box_files SET digest = replace(digest, 'a', 'b') WHERE version_id = " + one,
		"UPDATE box_files SET size = 99 WHERE version_id = " + one,
		"UPDATE box_files SET version_id = " + one + " WHERE version_id = " + two,
		"UPDATE box_files SET version_id = " + two + " WHERE version_id = " + one,
		"INSERT INTO box_files (version_id, provider, architecture, is_default, digest, size, published_at) VALUES (" + one +
			", 'x', 'y', 0, '" + string(blobtest.DigestOf("x")) + "', 1, 1)",
		"INSERT INTO box_versions (box_id, number, sort_key, state, created_at, released_at) VALUES (1, '3', x'33', 'released', 1, 1)",
		"UPDATE box_files SET digest = 'no digest' WHERE version_id = " + two,
		"UPDATE box_files SET provenance = '{' WHERE version_id = " + two,
		"INSERT INTO boxes (org, name, created_at, updated_at) VALUES ('OPS', 'Deb', 1, 1)",
		"DELETE FROM boxes",
	} {
		if err := try(t, b, query); !sqlitedb.IsConstraint(err) {
			t.Errorf("%s: %v, want a refusal", query, err)
		}
	}
	exec(t, b, "DELETE FROM box_files WHERE version_id = "+two) // drafts stay free
	if err := try(t, b, "UPDATE box_versions SET state = 'released', released_at = 1 WHERE number = '2.0'"); !sqlitedb.IsConstraint(err) {
		t.Errorf("a version without a file was released: %v", err)
	}
	if err := b.Revoke(t.Context(), name("ops/deb"), version("1.0"), ""); err != nil {
		t.Fatal(err)
	}
	exec(t, b, "DELETE FROM box_files WHERE version_id = "+one) // a purge may follow
	exec(t, b, "DELETE FROM box_versions WHERE number = '1.0'")
}

func TestCollect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.blobs.Now = func() time.Time { return time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC) } // twelve hours before b.now
	used := b.released("ops/deb 1.0 libvirt/amd64", "used")
	orphan, err := blob.Copy(t.Context(), b.blobs, strings.NewReader("orphan"), "")
	if err != nil {
		t.Fatal(err)
	}
	if freed, err := b.Collect(t.Context(), 24*time.Hour); freed != 0 || err != nil {
		t.Errorf("within its grace: %d bytes freed, %v", freed, err)
	}
	if freed, err := b.Collect(t.Context(), time.Hour); freed != 6 || err != nil {
		t.Errorf("after its grace: %d bytes freed, %v; want 6", freed, err)
	}
	if _, err := b.blobs.Stat(t.Context(), orphan.Digest); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("the orphan is still there: %v", err)
	}
	if _, err := b.blobs.Stat(t.Context(), used); err != nil {
		t.Errorf("a used blob is gone: %v", err)
	}
}
