package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/mattn/go-sqlite3"

	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func open(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "boxkiln.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t *testing.T, db *DB, query string, args ...any) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func pragmas(ctx context.Context, t *testing.T, c *sql.Conn) string {
	t.Helper()
	var out []string
	for _, name := range []string{"journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only"} {
		var v string
		if err := c.QueryRowContext(ctx, "PRAGMA "+name).Scan(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, name+"="+v)
	}
	return strings.Join(out, " ")
}

func TestEveryConnectionHasEveryPragma(t *testing.T) {
	t.Parallel()
	db := open(t)
	db.R.SetMaxOpenConns(10)
	const common = "journal_mode=wal synchronous=2 foreign_keys=1 busy_timeout=5000 query_only="
	for i := range 10 { // all ten stay open, so that each is a connection of its own
		c, err := db.R.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got, want := pragmas(t.Context(), t, c), common+"1"; got != want {
			t.Errorf("reader %d: %s, want %s", i, got, want)
		}
	}
	w, err := db.W.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got, want := pragmas(t.Context(), t, w), common+"0"; got != want {
		t.Errorf("writer: %s, want %s", got, want)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	t.Parallel()
	if _, err := open(t).R.Exec("CREATE TABLE t (x)"); err == nil {
		t.Fatal("a reader created a table")
	}
}

func TestOpenKeepsOddPathsAndPrivacy(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "50% off?#a b")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, "CREATE TABLE t (x)")
	for _, p := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", p, info.Mode().Perm())
		}
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path)
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v, want an error that names %s", err, path)
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "missing", "x.db")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v, want ErrNotExist", err)
	}
}

func TestTxRollsBack(t *testing.T) {
	t.Parallel()
	db := open(t)
	exec(t, db, "CREATE TABLE t (x)")
	boom := errors.New("boom")
	insert := func(tx *sql.Tx) error { _, err := tx.Exec("INSERT INTO t VALUES (1)"); return err }
	err := db.Tx(t.Context(), func(tx *sql.Tx) error { return errors.Join(insert(tx), boom) })
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want boom", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = db.Tx(ctx, func(tx *sql.Tx) error {
		defer cancel()
		return insert(tx)
	})
	if err == nil {
		t.Error("a cancelled transaction was committed")
	}
	func() {
		defer func() { _ = recover() }()
		_ = db.Tx(t.Context(), func(tx *sql.Tx) error { _ = insert(tx); panic("boom") })
	}()
	var n int
	if err := db.R.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 0 {
		t.Fatalf("%d rows (%v), want none", n, err)
	}
}

func TestTxSerialisesLookThenInsert(t *testing.T) {
	t.Parallel()
	db := open(t)
	exec(t, db, "CREATE TABLE t (x)")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			err := db.Tx(t.Context(), func(tx *sql.Tx) error {
				var n int
				if err := tx.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n > 0 {
					return err
				}
				_, err := tx.Exec("INSERT INTO t VALUES (1)")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var n int
	if err := db.R.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
		t.Fatalf("%d rows (%v), want 1", n, err)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	db := open(t)
	exec(t, db, "CREATE TABLE t (x)")
	if _, err := db.W.Exec("PRAGMA max_page_count = 20"); err != nil {
		t.Fatal(err)
	}
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t VALUES (zeroblob(1000000))")
		return fmt.Errorf("insert: %w", err)
	})
	if !errors.Is(err, ErrDiskFull) {
		t.Fatalf("got %v, want ErrDiskFull", err)
	}
	var native sqlite3.Error
	if !errors.As(err, &native) {
		t.Errorf("%v lost the driver's error", err)
	}
	exec(t, db, "INSERT INTO t VALUES (1)") // the database still works
}

func TestConstraint(t *testing.T) {
	t.Parallel()
	db := open(t)
	exec(t, db, "CREATE TABLE t (x UNIQUE)")
	exec(t, db, "INSERT INTO t VALUES (1)")
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t VALUES (1)")
		return err
	})
	if !IsConstraint(err) || IsConstraint(errors.New("x")) {
		t.Fatalf("IsConstraint does not know %v", err)
	}
}

func migrations(files ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i, sql := range files {
		m[fmt.Sprintf("migrations/%05d_step.sql", i+1)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)}
	}
	return m
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	db := open(t)
	one := migrations("CREATE TABLE a (x);")
	two := migrations("CREATE TABLE a (x);", "ALTER TABLE a ADD y;")
	for _, step := range []struct {
		table string
		files fstest.MapFS
	}{{"builds_schema", one}, {"builds_schema", one}, {"builds_schema", two}, {"boxes_schema", migrations("CREATE TABLE b (x);")}} {
		if err := Migrate(t.Context(), db, step.files, step.table); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, db, "INSERT INTO a (x, y) VALUES (1, 2)")
	exec(t, db, "INSERT INTO b (x) VALUES (1)")

	err := Migrate(t.Context(), db, one, "builds_schema")
	if !errors.Is(err, ErrNewerSchema) || !strings.Contains(err.Error(), "version 2") {
		t.Fatalf("got %v, want ErrNewerSchema that names version 2", err)
	}
}

func TestMigrateFailureKeepsTheOldSchema(t *testing.T) {
	t.Parallel()
	db := open(t)
	bad := migrations("CREATE TABLE a (x);", "CREATE TABLE c (x); INSERT INTO nowhere VALUES (1);")
	if err := Migrate(t.Context(), db, bad, "v"); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Fatalf("got %v, want an error about the missing table", err)
	}
	exec(t, db, "INSERT INTO a VALUES (1)")
	if _, err := db.R.Exec("SELECT * FROM c"); err == nil {
		t.Fatal("half of a migration was kept")
	}
	if err := Migrate(t.Context(), db, fstest.MapFS{}, "v"); err == nil {
		t.Fatal("a store without migrations was accepted")
	}
}
