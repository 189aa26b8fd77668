package auth

import "testing"

func TestWhoMayIssueWhat(t *testing.T) {
	t.Parallel()
	boss := Principal{Name: "boss", Scope: Admin}
	ada := Principal{Name: "laptop", User: "Ada", Orgs: map[string]Scope{"ada": Admin, "ops": Admin, "lab": Write}}
	reader := Principal{Name: "laptop", User: "Ada", Orgs: map[string]Scope{"ada": Read, "ops": Read}}
	robot := Principal{Name: "ops-ci", Orgs: map[string]Scope{"ops": Admin}}
	for name, c := range map[string]struct {
		who  Principal
		spec TokenSpec
		want bool
	}{
		"an administrator, everything":    {boss, TokenSpec{User: "eve", Scope: Admin}, true},
		"of nobody, for ops":              {ada, TokenSpec{Orgs: map[string]Scope{"OPS": Admin}}, true},
		"her own, for ops":                {ada, TokenSpec{User: "ada", Orgs: map[string]Scope{"ops": Write, "ada": Admin}}, true},
		"her own, for all she may do":     {ada, TokenSpec{User: "ada"}, false}, // more than the token that asks may permit
		"in another's name":               {ada, TokenSpec{User: "eve", Orgs: map[string]Scope{"ops": Read}}, false},
		"where she only writes":           {ada, TokenSpec{Orgs: map[string]Scope{"lab": Read}}, false},
		"partly where she only writes":    {ada, TokenSpec{Orgs: map[string]Scope{"ops": Read, "lab": Read}}, false},
		"everywhere":                      {ada, TokenSpec{Scope: Read}, false},
		"everywhere and for ops":          {ada, TokenSpec{Scope: Read, Orgs: map[string]Scope{"ops": Read}}, false},
		"for nothing":                     {ada, TokenSpec{}, false},
		"a token of hers that reads":      {reader, TokenSpec{User: "ada", Orgs: map[string]Scope{"ada": Read}}, false},
		"a robot that administers":        {robot, TokenSpec{Orgs: map[string]Scope{"ops": Read}}, true},
		"a robot, in the name of nobody":  {robot, TokenSpec{User: "", Orgs: map[string]Scope{"ada": Read}}, false},
		"anybody":                         {Principal{}, TokenSpec{Orgs: map[string]Scope{"ops": Read}}, false},
		"anybody, in the name of nothing": {Principal{}, TokenSpec{}, false},
	} {
		if got := c.who.MayIssue(c.spec); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhoMayManageWhat(t *testing.T) {
	t.Parallel()
	ada := Principal{Name: "laptop", User: "Ada", Orgs: map[string]Scope{"ada": Admin, "ops": Write}}
	reader := Principal{Name: "laptop", User: "Ada", Orgs: map[string]Scope{"ada": Read}}
	for name, c := range map[string]struct {
		who   Principal
		token Token
		want  bool
	}{
		"her own":                  {ada, Token{User: "ada", Scope: Admin}, true},
		"her own, by a weak token": {reader, Token{User: "ada"}, false},
		"another's":                {ada, Token{User: "eve"}, false},
		"nobody's, everywhere":     {ada, Token{Scope: Read}, false},
		"where she only writes":    {ada, Token{Orgs: map[string]Scope{"ops": Read}}, false},
		"an administrator":         {Principal{Scope: Admin}, Token{User: "eve"}, true},
		"anybody":                  {Principal{}, Token{}, false},
	} {
		if got := c.who.MayManage(c.token); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
