package auth

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func open(t *testing.T, now *time.Time) *Tokens {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tokens, err := Open(t.Context(), db, func() time.Time { return *now }, nil, PasswordCost(bcrypt.MinCost))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	tokens := open(t, &now)
	tok, err := tokens.Create(t.Context(), "ci", Write, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(tok, Prefix) || len(tok) != len(Prefix)+43 {
		t.Errorf("token %q has not 256 bits behind %q", tok, Prefix)
	}
	p, err := tokens.Check(t.Context(), tok)
	if err != nil || p.Name != "ci" || !p.Scope.Permits(Read) || p.Scope.Permits(Admin) || p.Local {
		t.Fatalf("Check = %+v, %v", p, err)
	}
	list, err := tokens.List(t.Context())
	if err != nil || len(list) != 1 || !list[0].LastUsed.Equal(now) {
		t.Fatalf("List = %+v, %v", list, err)
	}
	now = now.Add(time.Hour)
	if _, err := tokens.Check(t.Context(), tok); !errors.Is(err, ErrRefused) {
		t.Errorf("an expired token: %v", err)
	}
}

func TestRevocationIsImmediateAndUnknownIsRefused(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tokens := open(t, &now)
	tok, err := tokens.Create(t.Context(), "ops", Admin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tokens.Revoke(t.Context(), "ops"); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{tok, "", "bxk_x", strings.Repeat("a", 1<<16)} {
		if _, err := tokens.Check(t.Context(), bad); !errors.Is(err, ErrRefused) {
			t.Errorf("Check(%.10q) = %v", bad, err)
		}
	}
	if err := tokens.Revoke(t.Context(), "ops"); err == nil || !strings.Contains(err.Error(), "token ls") {
		t.Errorf("revoking twice: %v", err)
	}
}

func TestTheTokenIsNotInTheDatabase(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tokens := open(t, &now)
	tok, err := tokens.Create(t.Context(), "ops", Admin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tokens.db.R.QueryRow(`SELECT count(*) FROM tokens WHERE hash = ? OR name = ?`, tok, tok).Scan(&n); err != nil || n != 0 {
		t.Errorf("found %d rows with the token in clear, %v", n, err)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	if _, err := ParseScope("root"); err == nil {
		t.Error("scope root was taken")
	}
	if s, err := ParseScope("admin"); err != nil || !s.Permits(Write) {
		t.Errorf("ParseScope(admin) = %v, %v", s, err)
	}
	if _, err := open(t, new(time.Time)).Create(t.Context(), " ", Read, time.Time{}); err == nil {
		t.Error("a token without a name was made")
	}
}
