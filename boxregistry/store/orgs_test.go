package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// onlyOps knows one organisation.
type onlyOps struct{}

func (onlyOps) EnsureOrg(_ context.Context, _ *sql.Tx, name string) error {
	if name == "ops" {
		return nil
	}
	return auth.ErrNoOrg
}

func TestBoxesBelongToOrganisations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add("lab/before 1.0 libvirt/amd64", "x")
	b.AskOrgs(onlyOps{})
	if err := b.CreateBox(t.Context(), boxregistry.Box{Name: name("ops/a")}); err != nil {
		t.Fatal(err)
	}
	rename := b.EditBox(t.Context(), name("ops/a"), func(box *boxregistry.Box) error {
		box.Name = name("acme/a")
		return nil
	})
	for what, err := range map[string]error{"create": b.CreateBox(t.Context(), boxregistry.Box{Name: name("acme/b")}), "rename": rename} {
		if !errors.Is(err, boxregistry.ErrNotFound) || !errors.Is(err, auth.ErrNoOrg) {
			t.Errorf("%s: %v", what, err)
		}
	}
	owners, err := b.Owners(t.Context())
	slices.Sort(owners)
	if err != nil || !slices.Equal(owners, []string{"lab", "ops"}) {
		t.Errorf("owners %v, %v", owners, err)
	}
}
