package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry"
)

func TestFacets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	b.released("lab/alma 1.0 virtualbox/arm64", "two")
	b.add("draft/only 1.0 parallels/riscv64", "three")
	b.must(b.CreateBox(t.Context(), boxregistry.Box{Name: name("secret/box"), Private: true}))
	public := boxregistry.Facets{Orgs: []string{"draft", "lab", "ops"}, Providers: []boxregistry.Provider{"libvirt", "virtualbox"},
		Architectures: []boxregistry.Architecture{"amd64", "arm64"}}
	all := public
	all.Orgs = []string{"draft", "lab", "ops", "secret"}
	for _, c := range []struct {
		seen boxregistry.Sight
		want boxregistry.Facets
	}{{boxregistry.Sight{}, public}, {boxregistry.Sight{All: true}, all}, {boxregistry.Sight{Orgs: []string{"Secret"}}, all}} {
		got, err := b.Facets(t.Context(), c.seen)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%+v: %v\n%s", c.seen, err, diff)
		}
	}
}
