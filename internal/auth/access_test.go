package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"
)

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// access is a store with ada, a writer of ops, and its clock.
func access(t *testing.T) (*Tokens, *time.Time) {
	t.Helper()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	tokens := open(t, &now)
	must(t, tokens.CreateUser(t.Context(), "Ada", "correct horse", ""))
	must(t, tokens.CreateOrg(t.Context(), "ops"))
	must(t, tokens.SetMember(t.Context(), "OPS", "ada", Write))
	return tokens, &now
}

func TestTokensPermitNoMoreThanTheirUser(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	must(t, tokens.CreateOrg(t.Context(), "lab"))
	for name, c := range map[string]struct {
		spec  TokenSpec
		scope Scope
		orgs  map[string]Scope
	}{
		"all that she may do":     {TokenSpec{User: "ada"}, "", map[string]Scope{"ops": Write, "ada": Admin}},
		"reads alone":             {TokenSpec{User: "ada", Scope: Read}, "", map[string]Scope{"ops": Read, "ada": Read}},
		"more than she may":       {TokenSpec{User: "ada", Scope: Admin}, "", map[string]Scope{"ops": Write, "ada": Admin}},
		"one organisation":        {TokenSpec{User: "ada", Orgs: map[string]Scope{"Ops": Admin}}, "", map[string]Scope{"ops": Write}},
		"where she is no member":  {TokenSpec{User: "ada", Orgs: map[string]Scope{"lab": Write}}, "", map[string]Scope{}},
		"nobody's, everywhere":    {TokenSpec{Scope: Write}, Write, nil},
		"nobody's, of one":        {TokenSpec{Orgs: map[string]Scope{"lab": Write}}, "", map[string]Scope{"lab": Write}},
		"nobody's, of a user too": {TokenSpec{Scope: Read, Orgs: map[string]Scope{"ada": Write}}, Read, map[string]Scope{"ada": Write}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.spec.Name = name
			token, err := tokens.Issue(t.Context(), c.spec)
			must(t, err)
			p, err := tokens.Check(t.Context(), token)
			must(t, err)
			if p.Scope != c.scope || !maps.Equal(p.Orgs, c.orgs) {
				t.Errorf("permits %q and %v, want %q and %v", p.Scope, p.Orgs, c.scope, c.orgs)
			}
			same, err := tokens.Principal(t.Context(), p.Token)
			if err != nil || same.Name != p.Name || same.User != p.User {
				t.Errorf("by its number it is %+v, %v", same, err)
			}
		})
	}
}

func TestIssueRefuses(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	for name, c := range map[string]struct {
		spec TokenSpec
		want error
	}{
		"no name":      {TokenSpec{Scope: Read}, nil},
		"no scope":     {TokenSpec{Name: "x"}, nil},
		"unknown user": {TokenSpec{Name: "x", User: "bob"}, ErrNoUser},
		"unknown org":  {TokenSpec{Name: "x", Orgs: map[string]Scope{"nowhere": Read}}, ErrNoOrg},
		"wrong scope":  {TokenSpec{Name: "x", Orgs: map[string]Scope{"ops": "all"}}, nil},
	} {
		if token, err := tokens.Issue(t.Context(), c.spec); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
	if list, err := tokens.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("a refused token is there: %+v, %v", list, err)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	tokens, now := access(t)
	token, err := tokens.Login(t.Context(), "ada", "correct horse", "laptop", ClientLife)
	must(t, err)
	p, err := tokens.Check(t.Context(), token)
	if err != nil || p.User != "Ada" || p.Name != "laptop" || !p.PermitsIn("OPS", Write) || p.PermitsIn("ops", Admin) {
		t.Errorf("%+v, %v", p, err)
	}
	short, err := tokens.Login(t.Context(), "ada", "correct horse", "web", time.Hour)
	must(t, err)
	*now = now.Add(time.Hour)
	if _, err := tokens.Check(t.Context(), short); !errors.Is(err, ErrRefused) {
		t.Errorf("a token after its life: %v", err)
	}
	must(t, tokens.Logout(t.Context(), p.Token))
	must(t, tokens.Logout(t.Context(), p.Token))
	if _, err := tokens.Check(t.Context(), token); !errors.Is(err, ErrRefused) {
		t.Errorf("after the logout: %v", err)
	}
	for i := range FailuresAllowed {
		if _, err := tokens.Login(t.Context(), "ada", fmt.Sprint("guess ", i), "", ClientLife); !errors.Is(err, ErrRefused) {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	if _, err := tokens.Login(t.Context(), "Ada", "correct horse", "", ClientLife); !errors.Is(err, ErrRefused) {
		t.Errorf("after %d guesses: %v", FailuresAllowed, err)
	}
	*now = now.Add(FailureWindow)
	if _, err := tokens.Login(t.Context(), "Ada", "correct horse", "", ClientLife); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	if _, err := tokens.Login(t.Context(), "bob", "correct horse", "", ClientLife); !errors.Is(err, ErrRefused) {
		t.Errorf("an unknown user: %v", err)
	}
}

func TestPasswordsInRequests(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	first, err := tokens.CheckPassword(t.Context(), "ada", "correct horse")
	must(t, err)
	second, err := tokens.CheckPassword(t.Context(), "Ada", "correct horse")
	if err != nil || first.Token == 0 || second.Token != first.Token || !second.PermitsIn("ops", Write) {
		t.Errorf("%+v then %+v, %v", first, second, err)
	}
	if err := tokens.ChangePassword(t.Context(), "ada", "wrong", "battery staple"); !errors.Is(err, ErrRefused) {
		t.Errorf("another password for a wrong one: %v", err)
	}
	for _, bad := range []string{"", "short"} {
		var wrong *InvalidError
		if err := tokens.ChangePassword(t.Context(), "ada", "correct horse", bad); !errors.As(err, &wrong) {
			t.Errorf("%q for a password: %v", bad, err)
		}
	}
	must(t, tokens.ChangePassword(t.Context(), "ADA", "correct horse", "battery staple"))
	if _, err := tokens.Principal(t.Context(), first.Token); !errors.Is(err, ErrRefused) {
		t.Errorf("what was signed for the old password still holds: %v", err)
	}
	if _, err := tokens.CheckPassword(t.Context(), "ada", "correct horse"); !errors.Is(err, ErrRefused) {
		t.Errorf("the old password: %v", err)
	}
	must(t, tokens.SetPassword(t.Context(), "ada", ""))
	if _, err := tokens.CheckPassword(t.Context(), "ada", ""); !errors.Is(err, ErrRefused) {
		t.Errorf("no password: %v", err)
	}
}

func TestNamesAreTakenOnce(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	for name, err := range map[string]error{
		"a user of another case": tokens.CreateUser(t.Context(), "ADA", "", ""),
		"an organisation":        tokens.CreateUser(t.Context(), "Ops", "", ""),
		"a user's name":          tokens.CreateOrg(t.Context(), "aDa"),
		"the same organisation":  tokens.CreateOrg(t.Context(), "OPS"),
	} {
		if !errors.Is(err, ErrTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "a/b", "../x", "-x", "a b", "ü", "API", "login"} {
		if tokens.CreateUser(t.Context(), name, "", "") == nil || tokens.CreateOrg(t.Context(), name) == nil {
			t.Errorf("%q is a name", name)
		}
	}
	if err := tokens.CreateUser(t.Context(), "bob", "short", ""); err == nil {
		t.Error("a password of 5 bytes")
	}
}

func TestRemovedUsersLoseTheirTokens(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	token, err := tokens.Issue(t.Context(), TokenSpec{Name: "laptop", User: "ada"})
	must(t, err)
	must(t, tokens.RemoveMember(t.Context(), "ops", "ada"))
	if p, err := tokens.Check(t.Context(), token); err != nil || p.PermitsIn("ops", Read) {
		t.Errorf("after the membership: %+v, %v", p, err)
	}
	must(t, tokens.RemoveUser(t.Context(), "ada"))
	if _, err := tokens.Check(t.Context(), token); !errors.Is(err, ErrRefused) {
		t.Errorf("after the user: %v", err)
	}
	must(t, tokens.RemoveOrg(t.Context(), "ops"))
	for name, err := range map[string]error{
		"org":    tokens.RemoveOrg(t.Context(), "ops"),
		"user":   tokens.RemoveUser(t.Context(), "ada"),
		"member": tokens.SetMember(t.Context(), "ops", "ada", Read),
	} {
		if err == nil {
			t.Errorf("%s: nothing said that there is none", name)
		}
	}
}

func TestFirstTokenOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tokens := open(t, &now)
	first, err := tokens.First(t.Context())
	must(t, err)
	if p, err := tokens.Check(t.Context(), first); err != nil || p.Scope != Admin {
		t.Errorf("%+v, %v", p, err)
	}
	must(t, tokens.Revoke(t.Context(), "first administrator"))
	if again, err := tokens.First(t.Context()); again != "" || err != nil {
		t.Errorf("a second first token: %q, %v", again, err)
	}
}

func TestEnsureOrg(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	ensure := func(p Principal, org string) error {
		ctx := WithPrincipal(context.WithoutCancel(t.Context()), p)
		return tokens.db.Tx(ctx, func(tx *sql.Tx) error { return tokens.EnsureOrg(ctx, tx, org) })
	}
	check := func(p Principal, org string) error {
		ctx := WithPrincipal(context.WithoutCancel(t.Context()), p)
		return tokens.db.Tx(ctx, func(tx *sql.Tx) error { return tokens.CheckOrg(ctx, tx, org) })
	}
	writer := Principal{Name: "ci", Scope: Write}
	must(t, check(Principal{Name: "boss", Scope: Admin}, "new"))
	if err := check(writer, "new"); !errors.Is(err, ErrNoOrg) {
		t.Errorf("a writer would make an organisation: %v", err)
	}
	if err := ensure(writer, "new"); !errors.Is(err, ErrNoOrg) {
		t.Errorf("a writer made an organisation: %v", err)
	}
	must(t, ensure(writer, "Ops"))
	must(t, ensure(writer, "ada"))
	must(t, ensure(Principal{Name: "boss", Scope: Admin}, "new"))
	must(t, ensure(Principal{}, "built-here"))
	must(t, ensure(writer, "new"))
	if orgs, err := tokens.Orgs(t.Context()); err != nil || len(orgs) != 3 || len(orgs[2].Members) != 1 {
		t.Errorf("%+v, %v", orgs, err)
	}
}

func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	var f Failures
	now := time.Now()
	for i := range 3 * maxFailing {
		f.Count(fmt.Sprint(i), now)
	}
	if len(f.byKey) > maxFailing+1 || f.Wait("another", now) == 0 {
		t.Errorf("%d are counted", len(f.byKey))
	}
}
