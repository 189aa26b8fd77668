package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
)

func TestVersionsComeInGemOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, v := range []string{"1.9", "1.10", "1.2", "1.10.0-rc1", "20261120.1.0", "0.1"} {
		b.released("ops/deb "+v+" libvirt/amd64", fmt.Sprint(i))
	}
	var got []string
	for _, r := range b.box("ops/deb").Releases {
		got = append(got, r.Version.String())
	}
	if want := []string{"20261120.1.0", "1.10", "1.10.0-rc1", "1.9", "1.2", "0.1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	b.add("ops/deb 2.0 virtualbox/amd64", "v")
	b.add("ops/deb 2.0 libvirt/amd64", "two!")
	b.add("ops/deb 2.0 libvirt/arm64", "three")
	if err := b.Release(t.Context(), name("ops/deb"), version("2.0")); err != nil {
		t.Fatal(err)
	}
	b.add("ops/deb 3.0 libvirt/amd64", "still a draft")
	b.add("lab/100_x 1 libvirt/amd64", "odd")
	b.released("lab/rocky 1 libvirt/amd64", "rocky")
	b.released("lab/alma 1 libvirt/amd64", "alma")
	for _, c := range []struct {
		q     boxregistry.ListQuery
		want  string
		total int
	}{
		{boxregistry.ListQuery{Limit: 10}, "lab/100_x lab/alma lab/rocky ops/deb", 4},
		{boxregistry.ListQuery{Limit: 2, Offset: 1}, "lab/alma lab/rocky", 4},
		{boxregistry.ListQuery{Limit: 2, Sort: boxregistry.ByUpdated}, "lab/alma lab/rocky", 4},
		{boxregistry.ListQuery{Limit: 10, Search: "S/DE"}, "ops/deb", 1},
		{boxregistry.ListQuery{Limit: 10, Search: "%"}, "", 0},
		{boxregistry.ListQuery{Limit: 10, Search: "_"}, "lab/100_x", 1},
		{boxregistry.ListQuery{Limit: 10, Search: `\`}, "", 0},
		{boxregistry.ListQuery{Limit: 10, Offset: 10}, "", 4},
	} {
		list, total, err := b.List(t.Context(), c.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range list {
			got = append(got, s.Name.String())
		}
		if strings.Join(got, " ") != c.want || total != c.total {
			t.Errorf("%+v: %v of %d, want %s of %d", c.q, got, total, c.want, c.total)
		}
	}
	list, _, err := b.List(t.Context(), boxregistry.ListQuery{Limit: 1, Search: "ops/deb"})
	if err != nil {
		t.Fatal(err)
	}
	s := list[0]
	if s.Newest.String() != "2.0" || s.Size != 10 || !slices.Equal(s.Providers, []boxregistry.Provider{"libvirt", "virtualbox"}) || s.Updated.IsZero() {
		t.Errorf("summary %+v", s)
	}
}

// An underscore stands for itself, not for any character.
func TestListSearchesLiterally(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add("lab/a_x 1 libvirt/amd64", "one")
	b.add("lab/abx 1 libvirt/amd64", "two")
	list, total, err := b.List(t.Context(), boxregistry.ListQuery{Limit: 10, Search: "a_x"})
	if err != nil || total != 1 || list[0].Name.Box() != "a_x" {
		t.Errorf("%v of %d, %v", list, total, err)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.released("ops/deb 1.1.5 libvirt/amd64", "115")
	b.released("ops/deb 1.2.0 libvirt/arm64", "120arm")
	b.add("ops/deb 1.3.0 libvirt/arm64", "130arm")
	b.add("ops/deb 1.3.0 libvirt/amd64", "130")
	if err := b.Release(t.Context(), name("ops/deb"), version("1.3.0")); err != nil {
		t.Fatal(err)
	}
	b.released("ops/deb 2.0 libvirt/amd64", "2 revoked")
	if err := b.Revoke(t.Context(), name("ops/deb"), version("2.0"), ""); err != nil {
		t.Fatal(err)
	}
	b.add("ops/deb 3.0 libvirt/amd64", "3 draft")
	b.released("old/box 1 virtualbox/unknown", "who knows")
	for _, c := range []struct {
		box, req, provider, arch, want string
	}{
		{"ops/deb", "", "libvirt", "amd64", "1.3.0 amd64"},
		{"ops/deb", "~> 1.1.5", "libvirt", "amd64", "1.1.5 amd64"},
		{"ops/deb", "< 1.3", "libvirt", "arm64", "1.2.0 arm64"},
		{"ops/deb", "< 1.3", "libvirt", "amd64", "1.1.5 amd64"},
		{"ops/deb", "", "libvirt", "", "1.3.0 arm64"},
		{"old/box", "", "virtualbox", "amd64", "1 unknown"},
	} {
		got, err := b.Resolve(t.Context(), name(c.box), requirement(c.req), boxregistry.Provider(c.provider), boxregistry.Architecture(c.arch))
		if s := got.Version.String() + " " + string(got.File.Architecture); err != nil || s != c.want || got.File.Digest == "" {
			t.Errorf("%+v: %s, %v", c, s, err)
		}
	}
	for _, c := range []struct{ box, req, provider, says string }{
		{"ops/deb", ">= 2", "libvirt", `">= 2" for libvirt/amd64; the newest is 1.3.0 for libvirt/amd64, libvirt/arm64`},
		{"ops/deb", "", "virtualbox", "virtualbox/amd64"},
		{"no/box", "", "libvirt", "no/box"},
	} {
		_, err := b.Resolve(t.Context(), name(c.box), requirement(c.req), boxregistry.Provider(c.provider), "amd64")
		if !errors.Is(err, boxregistry.ErrNotFound) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
