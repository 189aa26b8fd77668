package api_test

import (
	"net/http"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/audit"
	"github.com/boxkiln/boxkiln/internal/auth"
)

func TestUsersAndOrgs(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	ctx, a := t.Context(), k.local(t).Access()
	for what, err := range map[string]error{"org": a.CreateOrg(ctx, "acme"), "ada": a.CreateUser(ctx, "ada", "correct horse", ""), "bob": a.CreateUser(ctx, "bob", "", auth.Read)} {
		if err != nil {
			t.Fatal(what, err)
		}
	}
	if err := a.SetMember(ctx, "acme", "ada", auth.Admin); err != nil {
		t.Fatal(err)
	}
	token, err := a.Issue(ctx, auth.TokenSpec{Name: "laptop", User: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	ada := k.remote(t, token).Access()
	if err := ada.SetMember(ctx, "ACME", "bob", auth.Write); err != nil {
		t.Errorf("the organisation's admin: %v", err)
	}
	orgs, err := a.Orgs(ctx)
	if err != nil || len(orgs) != 1 || len(orgs[0].Members) != 2 {
		t.Errorf("%+v %v", orgs, err)
	}
	users, err := a.Users(ctx)
	if err != nil || len(users) != 2 || !users[0].Password || users[1].Orgs["acme"] != auth.Write {
		t.Errorf("%+v %v", users, err)
	}
	_, usersErr := ada.Users(ctx)
	for what, c := range map[string]struct {
		err  error
		want wire.Code
	}{
		"a member lists users":        {usersErr, wire.CodeForbidden},
		"a member makes an org":       {ada.CreateOrg(ctx, "more"), wire.CodeForbidden},
		"a member enters another org": {ada.SetMember(ctx, "other", "ada", auth.Admin), wire.CodeForbidden},
		"a member sets a password":    {ada.SetPassword(ctx, "bob", "battery staple"), wire.CodeForbidden},
		"taken by a user":             {a.CreateOrg(ctx, "ADA"), wire.CodeConflict},
		"a bad name":                  {a.CreateUser(ctx, "../x", "", ""), wire.CodeBadRequest},
		"a bad scope":                 {a.CreateUser(ctx, "eve", "", "root"), wire.CodeBadRequest},
		"a bad scope of a member":     {a.SetMember(ctx, "acme", "bob", ""), wire.CodeBadRequest},
		"a short password":            {a.SetPassword(ctx, "ada", "short"), wire.CodeBadRequest},
		"nobody's password":           {a.SetPassword(ctx, "eve", "battery staple"), wire.CodeNotFound},
		"nobody":                      {a.RemoveUser(ctx, "a b?c"), wire.CodeNotFound},
		"no org":                      {a.RemoveOrg(ctx, "none"), wire.CodeNotFound},
		"no member":                   {a.RemoveMember(ctx, "acme", "eve"), wire.CodeNotFound},
	} {
		if code(t, c.err) != c.want {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	for what, err := range map[string]error{"password": a.SetPassword(ctx, "ada", "battery staple"), "member": ada.RemoveMember(ctx, "acme", "bob"), "user": a.RemoveUser(ctx, "bob")} {
		if err != nil {
			t.Error(what, err)
		}
	}
	if err := a.RemoveOrg(ctx, "acme"); err != nil {
		t.Error(err)
	}
	if err := ada.SetMember(ctx, "acme", "ada", auth.Admin); code(t, err) == "" {
		t.Error("an admin of an organisation that is gone")
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	ctx, c := t.Context(), k.local(t)
	for _, org := range []string{"acme", "other"} {
		if err := c.Access().CreateOrg(ctx, org); err != nil {
			t.Fatal(err)
		}
	}
	list, err := c.Audit().List(ctx, audit.Query{Limit: 1})
	if err != nil || len(list) != 1 || list[0].Subject != "other" || list[0].Actor != "socket" {
		t.Fatalf("%+v %v", list, err)
	}
	list, err = c.Audit().List(ctx, audit.Query{Before: list[0].ID, Subject: "acm"})
	if err != nil || len(list) != 1 || list[0].Action != "org.create" {
		t.Errorf("%+v %v", list, err)
	}
	if n, head, err := c.Audit().Verify(ctx); n != 2 || len(head) != 64 || err != nil {
		t.Errorf("%d %q %v", n, head, err)
	}
	admin := k.token(t, auth.Admin)
	for _, bad := range []string{"limit=0", "limit=x", "limit=1001", "before=-1", "before=x"} {
		if got := k.status(t, http.MethodGet, "/v1/audit?"+bad, admin); got != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, got)
		}
	}
}

// Who administers one organisation makes, sees and ends the tokens for it, and no others.
func TestTokensOfAnOrganisationsAdmin(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	ctx, a := t.Context(), k.local(t).Access()
	issue := func(a client.Access, s auth.TokenSpec) string {
		t.Helper()
		token, err := a.Issue(ctx, s)
		if err != nil {
			t.Fatal(s.Name, err)
		}
		return token
	}
	for what, err := range map[string]error{"acme": a.CreateOrg(ctx, "acme"), "other": a.CreateOrg(ctx, "other"), "ada": a.CreateUser(ctx, "ada", "", "")} {
		if err != nil {
			t.Fatal(what, err)
		}
	}
	if err := a.SetMember(ctx, "acme", "ada", auth.Admin); err != nil {
		t.Fatal(err)
	}
	issue(a, auth.TokenSpec{Name: "ci", Scope: auth.Write})
	issue(a, auth.TokenSpec{Name: "ci", Orgs: map[string]auth.Scope{"acme": auth.Read, "other": auth.Read}})
	ada := k.remote(t, issue(a, auth.TokenSpec{Name: "laptop", User: "ada"})).Access()
	made := k.remote(t, issue(ada, auth.TokenSpec{Name: "ci", Orgs: map[string]auth.Scope{"ACME": auth.Write}})).Access()

	list, err := ada.List(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "ci" || list[1].Name != "laptop" {
		t.Errorf("she sees %+v, %v", list, err)
	}
	orgs, err := ada.Orgs(ctx)
	if err != nil || len(orgs) != 1 || orgs[0].Name != "acme" {
		t.Errorf("she sees %+v, %v", orgs, err)
	}
	members, err := ada.Members(ctx, "Acme")
	if err != nil || len(members) != 1 || members[0] != (auth.Member{User: "ada", Scope: auth.Admin}) {
		t.Errorf("%+v, %v", members, err)
	}
	for what, s := range map[string]auth.TokenSpec{
		"everywhere": {Name: "x", Scope: auth.Read}, "elsewhere": {Name: "x", Orgs: map[string]auth.Scope{"other": auth.Read}},
		"all that she may": {Name: "x", User: "ada"}, "in another's name": {Name: "x", User: "bob", Orgs: map[string]auth.Scope{"acme": auth.Read}},
	} {
		if _, err := ada.Issue(ctx, s); code(t, err) != wire.CodeForbidden {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, membersErr := ada.Members(ctx, "other")
	_, listErr := made.List(ctx)
	for what, err := range map[string]error{"members elsewhere": membersErr, "a writer lists tokens": listErr} {
		if code(t, err) != wire.CodeForbidden {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := ada.Revoke(ctx, "ci"); err != nil {
		t.Fatal(err)
	}
	if err := ada.Revoke(ctx, "ci"); code(t, err) != wire.CodeNotFound {
		t.Errorf("revoked twice: %v", err)
	}
	list, err = a.List(ctx)
	if err != nil || len(list) != 4 || list[0].Revoked.IsZero() || !list[1].Revoked.IsZero() || !list[2].Revoked.IsZero() || !list[3].Revoked.IsZero() {
		t.Errorf("only hers is revoked: %+v, %v", list, err)
	}
	if _, err := a.Members(ctx, "none"); code(t, err) != wire.CodeNotFound {
		t.Errorf("the members of no organisation: %v", err)
	}
}
