package auth

import (
	"errors"
	"maps"
	"testing"
)

// What tokens permit in an organisation ends with it, also for the next one of that name.
func TestGrantsEndWithTheirOrganisation(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	must(t, tokens.CreateOrg(t.Context(), "lab"))
	issue := func(s TokenSpec) string {
		t.Helper()
		s.Name = "x"
		token, err := tokens.Issue(t.Context(), s)
		must(t, err)
		return token
	}
	onlyOps := issue(TokenSpec{Orgs: map[string]Scope{"ops": Write}})
	adas := issue(TokenSpec{User: "ada", Orgs: map[string]Scope{"ops": Write}})
	both := issue(TokenSpec{Orgs: map[string]Scope{"ops": Write, "lab": Read}})
	everywhere := issue(TokenSpec{Scope: Read, Orgs: map[string]Scope{"ops": Admin}})
	must(t, tokens.RemoveOrg(t.Context(), "OPS"))
	must(t, tokens.CreateOrg(t.Context(), "ops"))

	for name, token := range map[string]string{"for ops alone": onlyOps, "of ada, for ops alone": adas} {
		if p, err := tokens.Check(t.Context(), token); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if p, err := tokens.Check(t.Context(), both); err != nil || !maps.Equal(p.Orgs, map[string]Scope{"lab": Read}) {
		t.Errorf("for both: %+v, %v", p, err)
	}
	if p, err := tokens.Check(t.Context(), everywhere); err != nil || p.Scope != Read || p.PermitsIn("ops", Write) {
		t.Errorf("everywhere: %+v, %v", p, err)
	}
}

func TestGrantsEndWithTheirUser(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	token, err := tokens.Issue(t.Context(), TokenSpec{Name: "ci", Orgs: map[string]Scope{"Ada": Write}})
	must(t, err)
	must(t, tokens.RemoveUser(t.Context(), "ada"))
	if p, err := tokens.Check(t.Context(), token); !errors.Is(err, ErrRefused) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	for range 2 {
		must(t, tokens.Adopt(t.Context(), []string{"OPS", "acme", "ada"}))
	}
	orgs, err := tokens.Orgs(t.Context())
	if err != nil || len(orgs) != 2 || orgs[0].Name != "acme" || orgs[1].Name != "ops" {
		t.Errorf("%+v, %v", orgs, err)
	}
}
