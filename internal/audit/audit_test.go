package audit

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func open(t *testing.T) (*Log, *sqlitedb.DB) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	l, err := Open(t.Context(), db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return l, db
}

func record(t *testing.T, l *Log, db *sqlitedb.DB, ctx context.Context, action string) {
	t.Helper()
	err := db.Tx(ctx, func(tx *sql.Tx) error { return l.Record(ctx, tx, action, "ops/deb", "") })
	if err != nil {
		t.Fatal(err)
	}
}

func TestActorsAndPages(t *testing.T) {
	t.Parallel()
	l, db := open(t)
	for action, p := range map[string]auth.Principal{
		"a": {}, "b": {Name: "socket", Local: true, Scope: auth.Admin}, "c": {Name: "ci", Scope: auth.Write}, "d": {Name: "laptop", User: "ada", Orgs: map[string]auth.Scope{"ada": auth.Admin}},
	} {
		record(t, l, db, auth.WithPrincipal(t.Context(), p), action)
	}
	want := map[string]string{"a": "daemon", "b": "socket", "c": "token ci", "d": "ada (token laptop)"}
	list, err := l.List(t.Context(), Query{Subject: "deb"})
	if err != nil || len(list) != len(want) {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, e := range list {
		if e.Actor != want[e.Action] {
			t.Errorf("%s was done by %q, want %q", e.Action, e.Actor, want[e.Action])
		}
	}
	older, err := l.List(t.Context(), Query{Before: list[1].ID, Limit: 1})
	if err != nil || len(older) != 1 || older[0].ID != list[2].ID {
		t.Errorf("the next page is %+v, %v", older, err)
	}
	if none, err := l.List(t.Context(), Query{Subject: "%"}); err != nil || len(none) != 0 {
		t.Errorf("a per cent sign is no wildcard: %+v, %v", none, err)
	}
}

func TestVerifyFindsWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	for name, tamper := range map[string]string{
		"changed": `UPDATE audit SET actor = 'somebody else' WHERE id = 2`,
		"removed": `DELETE FROM audit WHERE id = 2`,
		"swapped": `UPDATE audit SET subject = detail, detail = subject WHERE id = 2`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, db := open(t)
			for _, action := range []string{"a", "b", "c"} {
				record(t, l, db, t.Context(), action)
			}
			if n, head, err := l.Verify(t.Context()); n != 3 || head == "" || err != nil {
				t.Fatalf("%d, %q, %v", n, head, err)
			}
			if _, err := db.W.ExecContext(t.Context(), tamper); err == nil {
				t.Fatal("the triggers let it pass")
			}
			for _, drop := range []string{`DROP TRIGGER audit_no_update`, `DROP TRIGGER audit_no_delete`, tamper} {
				if _, err := db.W.ExecContext(t.Context(), drop); err != nil {
					t.Fatal(err)
				}
			}
			var broken *BrokenError
			if _, _, err := l.Verify(t.Context()); !errors.As(err, &broken) || broken.ID > 3 || broken.ID < 2 {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNoRecordOfWhatDidNotHappen(t *testing.T) {
	t.Parallel()
	l, db := open(t)
	failed := errors.New("the change failed")
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		return errors.Join(l.Record(t.Context(), tx, "a", "b", ""), failed)
	})
	if list, listErr := l.List(t.Context(), Query{}); !errors.Is(err, failed) || listErr != nil || len(list) != 0 {
		t.Errorf("%+v, %v, %v", list, err, listErr)
	}
}
