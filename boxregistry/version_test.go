package boxregistry

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func mustVersion(t *testing.T, s string) Version {
	t.Helper()
	v, err := ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"1", "0", "1.2.3", "20261120.1.0", "1.2.3.4", "1.0.0-rc1", "1.0.0.rc1", "1.a", "1-2", "1-a-b.c", "01.002"} {
		if v, err := ParseVersion(s); err != nil || v.String() != s {
			t.Errorf("ParseVersion(%q) = %q, %v", s, v, err)
		}
	}
	for _, s := range []string{
		"", " ", " 1", "1 ", "1\n", "v1.0.0", "1.0.0+b1", "1.0.0_1", "latest", "1..2", ".1", "1.", "-1", "1-", "1.é", "1/2", "../1",
		strings.Repeat("1", maxVersion+1),
	} {
		_, err := ParseVersion(s)
		var invalid *InvalidNameError
		if !errors.As(err, &invalid) || invalid.Value != s || invalid.Kind != "version" {
			t.Errorf("ParseVersion(%q): %v, want an *InvalidNameError", s, err)
		}
	}
}

// The order is written lowest first; versions on one line are equal.
func TestCompare(t *testing.T) {
	t.Parallel()
	order := []string{
		"0.a 0.0.a", "0 0.0 00", "0.0.1", "1.a 1.0.a 1.a.0", "1.a.1", "1.b", "1.0.0-rc1 1.pre.rc1", "1.pre 1-0", "1-1",
		"1.rc1 1.rc.1", "1.rc2", "1.rc10", "1 1.0 1.0.0 01", "1.0.1", "1.1", "1.2", "1.10", "2", "10", "20261119", "20261120.1.0",
		"99999999999999999999998", "99999999999999999999999",
	}
	for i, left := range order {
		for j, right := range order {
			for a := range strings.FieldsSeq(left) {
				for b := range strings.FieldsSeq(right) {
					want := min(1, max(-1, i-j))
					if got := mustVersion(t, a).Compare(mustVersion(t, b)); got != want {
						t.Errorf("%s <=> %s = %d, want %d", a, b, got, want)
					}
				}
			}
		}
	}
}

func TestRequirement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ req, yes, no string }{
		{"", "0 1 1.0.0-rc1", ""},
		{"1.2", "1.2 1.2.0", "1.2.1 1.2.a"},
		{"= 1.2", "1.2", "1.3"},
		{"!=1.2", "1.3", "1.2.0"},
		{">1.2", "1.2.1", "1.2 1.2.a"},
		{">= 1.2 , <2", "1.2 1.9.9 2.a", "2 1.1"},
		{"<=2", "2.0 1", "2.0.1"},
		{"~> 1.1.5", "1.1.5 1.1.10", "1.2.0 1.1.4 1.2.a"},
		{"~>1.2", "1.2 1.9", "2.0 2.0.a 1.1"},
		{"~> 1", "1 1.9", "2 0.9"},
		{"~> 20261120.1, != 20261120.1.5", "20261120.1.4", "20261120.1.5 20261121"},
		{"~> 99999999999999999999", "99999999999999999999.1", "100000000000000000000"},
	} {
		r, err := ParseRequirement(c.req)
		if err != nil {
			t.Errorf("%q: %v", c.req, err)
			continue
		}
		for v := range strings.FieldsSeq(c.yes) {
			if !r.Matches(mustVersion(t, v)) {
				t.Errorf("%q does not match %s", c.req, v)
			}
		}
		for v := range strings.FieldsSeq(c.no) {
			if r.Matches(mustVersion(t, v)) {
				t.Errorf("%q matches %s", c.req, v)
			}
		}
	}
	for _, s := range []string{",", "1,", "~>", "=> 1", "~ 1", "== 1", "^1", "1 2", "latest", "~> v1"} {
		var invalid *InvalidNameError
		if _, err := ParseRequirement(s); !errors.As(err, &invalid) || invalid.Value != s {
			t.Errorf("ParseRequirement(%q): %v, want an *InvalidNameError", s, err)
		}
	}
	if got := (Requirement{}).String(); got != ">= 0" {
		t.Errorf("the empty requirement prints %q", got)
	}
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"1.0.0-rc1", "0.0.a.0.0.1", "1-a-b.c", "00.0", "v1"} {
		f.Add(s, "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := ParseVersion(a)
		if err != nil {
			return
		}
		if v.Compare(v) != 0 || v.release().Compare(v) < 0 || v.bump().Compare(v) <= 0 {
			t.Fatalf("%q: release %q, bump %q", v, v.release(), v.bump())
		}
		w, err := ParseVersion(b)
		if err != nil {
			return
		}
		if v.Compare(w) != -w.Compare(v) || slices.Equal(v.SortKey(), w.SortKey()) != (v.Compare(w) == 0) {
			t.Fatalf("%q and %q are not ordered", v, w)
		}
	})
}

func FuzzRequirement(f *testing.F) {
	f.Add("~> 1.2, != 1.2.3")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRequirement(s)
		if err != nil {
			return
		}
		if again, err := ParseRequirement(r.String()); err != nil || len(r.clauses) > 0 && len(again.clauses) != len(r.clauses) {
			t.Fatalf("%q prints as %q, which parses to %v, %v", s, r, again, err)
		}
		r.Matches(Version{text: "1.0", key: sortKey([]segment{"1"})})
	})
}
