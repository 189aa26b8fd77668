package api_test

import (
	"net/http"
	"testing"

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
