package main

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/auth"
)

func TestTokenSpec(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o     tokenOptions
		scope auth.Scope
		orgs  map[string]auth.Scope
	}{
		"nothing":             {tokenOptions{}, auth.Read, nil},
		"everywhere":          {tokenOptions{scope: "write"}, auth.Write, nil},
		"of a user":           {tokenOptions{user: "ada"}, "", nil},
		"of a user who reads": {tokenOptions{user: "ada", scope: "read"}, auth.Read, nil},
		"there alone":         {tokenOptions{scope: "write", orgs: []string{"ops", "lab"}}, "", map[string]auth.Scope{"ops": auth.Write, "lab": auth.Write}},
		"a scope for each":    {tokenOptions{orgs: []string{"ops=write", "lab=read"}}, "", map[string]auth.Scope{"ops": auth.Write, "lab": auth.Read}},
		"more in one":         {tokenOptions{scope: "read", orgs: []string{"ops=admin"}}, auth.Read, map[string]auth.Scope{"ops": auth.Admin}},
		"both ways":           {tokenOptions{scope: "read", orgs: []string{"ops=admin", "lab"}}, "", map[string]auth.Scope{"ops": auth.Admin, "lab": auth.Read}},
	} {
		s, err := c.o.spec("x")
		if err != nil || s.Scope != c.scope || !maps.Equal(s.Orgs, c.orgs) || s.User != c.o.user {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	for _, bad := range []tokenOptions{{orgs: []string{"ops"}}, {orgs: []string{"=read"}}, {orgs: []string{"ops="}}, {orgs: []string{"ops=all"}}, {scope: "all", orgs: []string{"ops"}}} {
		if s, err := bad.spec("x"); err == nil {
			t.Errorf("%+v was taken: %+v", bad, s)
		}
	}
}

func TestMoments(t *testing.T) {
	t.Parallel()
	var m momentFlag
	for text, want := range map[string]time.Time{
		"2999-01-31":           time.Date(2999, 1, 31, 0, 0, 0, 0, time.Local),
		"2999-01-31T12:00:00Z": time.Date(2999, 1, 31, 12, 0, 0, 0, time.UTC),
	} {
		if err := m.Set(text); err != nil || !m.Equal(want) {
			t.Errorf("%s: %s, %v", text, m.Time, err)
		}
	}
	before := time.Now()
	if err := m.Set("90d"); err != nil || m.Before(before.Add(90*24*time.Hour)) {
		t.Errorf("90d: %s, %v", m.Time, err)
	}
	for _, bad := range []string{"", "soon", "2026-02-30", "2001-01-01", "-5h", "0d", "31.1.2999"} {
		if err := m.Set(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
