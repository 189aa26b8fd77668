package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func row(b build.ID, name string) build.Resource {
	return build.Resource{Build: b, Attempt: 1, Kind: build.KindMachine, Name: name}
}

func held(t *testing.T, s *store.Store, b build.ID) string {
	t.Helper()
	rows, err := s.Held(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

func TestLedger(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, r := range []build.Resource{row("a", "vm"), row("a", "disk"), row("b", "vm"), row("a", "vm")} {
		if err := s.Intend(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if a, all := held(t, s, "a"), held(t, s, ""); a != "disk vm" || all != "vm disk vm" {
		t.Errorf("a holds %q, all hold %q", a, all)
	}
	for range 2 { // releasing what is gone is no error
		if err := s.Release(t.Context(), row("a", "vm")); err != nil {
			t.Fatal(err)
		}
	}
	other := row("b", "vm")
	other.Attempt = 2
	if err := s.Release(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if got := held(t, s, ""); got != "vm disk" {
		t.Errorf("left: %q", got)
	}
}

func TestIntendAgainReplacesTheData(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	r := row("a", "it's a \"name\"\nof two lines")
	for _, data := range []string{"", `{"driver":"libvirt"}`} {
		r.Data = []byte(data)
		if err := s.Intend(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := s.Held(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]build.Resource{r}, rows); d != "" {
		t.Error(d)
	}
}

// When Intend returns, a crash does not lose the row: what lies on the disk at that moment is opened as the next daemon
// would, while the first has not even closed its database.
func TestIntendIsDurable(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	if err := s.Intend(t.Context(), row("a", "vm")); err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "boxkiln.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(db.Path() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(crashed+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next, err := sqlitedb.Open(t.Context(), crashed)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	after, err := store.Open(t.Context(), next, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if got := held(t, after, ""); got != "vm" {
		t.Errorf("the next daemon finds %q", got)
	}
}

// limitPages lets the database grow no more, as a full disk does.
func limitPages(t *testing.T, db *sqlitedb.DB) {
	t.Helper()
	var pages int
	if err := db.W.QueryRow(`PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := db.W.Exec(fmt.Sprint(`PRAGMA max_page_count = `, pages)); err != nil {
		t.Fatal(err)
	}
}

// On a full disk nothing is half written, the error says so, and what frees space still works.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	submit(t, s, "a")
	if err := s.Intend(t.Context(), row("a", "vm")); err != nil {
		t.Fatal(err)
	}
	claim(t, s, "a")
	limitPages(t, db)
	big := row("a", "big")
	big.Data = []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	if err := s.Intend(t.Context(), big); !errors.Is(err, sqlitedb.ErrDiskFull) {
		t.Errorf("intend: %v", err)
	}
	err := s.Submit(t.Context(), build.Record{ID: "b", Label: strings.Repeat("x", 1<<20)})
	if !errors.Is(err, sqlitedb.ErrDiskFull) {
		t.Errorf("submit: %v", err)
	}
	if _, err := s.Get(t.Context(), "b"); !errors.Is(err, build.ErrNotFound) {
		t.Errorf("half a build was kept: %v", err)
	}
	if got := held(t, s, ""); got != "vm" {
		t.Errorf("held: %q", got)
	}
	if err := s.Release(t.Context(), row("a", "vm")); err != nil {
		t.Errorf("release: %v", err)
	}
	if err := s.End(t.Context(), "a", 1, build.Errored, "export", "disk full"); err != nil {
		t.Errorf("end: %v", err)
	}
}

// The steps of a build go with it, its ledger does not: what exists must still be reaped.
func TestDeletingABuildKeepsItsLedger(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	put(t, s, "a", build.Running)
	if err := s.Step(t.Context(), "a", 1, "boot", build.StepBegan, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Intend(t.Context(), row("a", "vm")); err != nil {
		t.Fatal(err)
	}
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM builds WHERE id = 'a'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if steps, err := s.Steps(t.Context(), "a"); len(steps) != 0 || err != nil {
		t.Error(steps, err)
	}
	if got := held(t, s, ""); got != "vm" {
		t.Errorf("held: %q", got)
	}
}
