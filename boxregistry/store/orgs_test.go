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

func (o onlyOps) CheckOrg(ctx context.Context, tx *sql.Tx, name string) error {
	return o.EnsureOrg(ctx, tx, name)
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
	check := func(box string) error {
		return b.Check(t.Context(), boxregistry.Publication{Box: name(box), Version: version("2"), File: boxregistry.File{Provider: "qemu", Architecture: "amd64"}})
	}
	for _, box := range []string{"ops/new", "lab/before"} {
		if err := check(box); err != nil {
			t.Errorf("check %s: %v", box, err)
		}
	}
	for what, err := range map[string]error{"create": b.CreateBox(t.Context(), boxregistry.Box{Name: name("acme/b")}), "rename": rename, "check": check("acme/b")} {
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
