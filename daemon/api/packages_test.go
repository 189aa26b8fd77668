package api_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// file puts a box into the registry: "org/box 1.0 libvirt amd64". What is installed are pairs of names and versions; without
// any nobody recorded it.
func (k *kiln) file(t *testing.T, where string, private bool, installed ...string) boxregistry.File {
	t.Helper()
	f := strings.Fields(where)
	name, nameErr := boxregistry.ParseName(f[0])
	v, versionErr := boxregistry.ParseVersion(f[1])
	if err := errors.Join(nameErr, versionErr); err != nil {
		t.Fatal(err)
	}
	made, err := k.boxes.Add(t.Context(), boxregistry.Publication{Box: name, Version: v, Private: private,
		File: boxregistry.File{Provider: boxregistry.Provider(f[2]), Architecture: boxregistry.Architecture(f[3])}}, strings.NewReader("the bytes of "+where))
	if err != nil {
		t.Fatal(err)
	}
	if len(installed) > 0 {
		inv := sbom.Inventory{System: sbom.System{ID: "debian", Version: "12"}}
		for i := 0; i < len(installed); i += 2 {
			inv.Packages = append(inv.Packages, sbom.Package{Name: installed[i], Version: installed[i+1], Arch: "amd64", Type: sbom.Deb})
		}
		data, err := sbom.Encode(inv)
		if err == nil {
			err = k.boxes.SetPackages(t.Context(), made.Digest, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return made
}

func (k *kiln) release(t *testing.T, box, version string) {
	t.Helper()
	name, nameErr := boxregistry.ParseName(box)
	v, versionErr := boxregistry.ParseVersion(version)
	if err := errors.Join(nameErr, versionErr); err != nil {
		t.Fatal(err)
	}
	if err := k.boxes.Release(t.Context(), name, v); err != nil {
		t.Fatal(err)
	}
}

// shelf is a registry with three versions, of which the middle one is not known, and a draft.
func shelf(t *testing.T) *kiln {
	t.Helper()
	k := newKiln(t)
	k.file(t, "ops/deb 1.0 libvirt amd64", false, "bash", "5.1", "gone", "1")
	k.file(t, "ops/deb 1.1 libvirt amd64", false)
	k.file(t, "ops/deb 1.2 libvirt amd64", false, "bash", "5.2", "new", "1", "qemu-guest-agent", "7.2")
	k.file(t, "ops/deb 1.2 virtualbox amd64", false, "bash", "5.2", "new", "1")
	k.file(t, "ops/deb 1.2 vmware_desktop amd64", false)
	for _, v := range []string{"1.0", "1.1", "1.2"} {
		k.release(t, "ops/deb", v)
	}
	k.file(t, "ops/deb 1.3 libvirt amd64", false, "bash", "5.3")
	return k
}

func deb(version, provider string) client.FileQuery {
	return client.FileQuery{Box: "ops/deb", Version: version, Provider: provider}
}

func TestPackages(t *testing.T) {
	t.Parallel()
	k := shelf(t)
	got, err := k.local(t).Packages(t.Context(), deb("1.0", ""))
	if err != nil {
		t.Fatal(err)
	}
	if got.File.String() != "ops/deb 1.0 libvirt/amd64" || len(got.File.SHA256) != 64 || got.System.ID != "debian" || len(got.Packages) != 2 || got.Packages[1].Name != "gone" {
		t.Errorf("%+v", got)
	}
}

func TestPackageDiff(t *testing.T) {
	t.Parallel()
	k := shelf(t)
	want := sbom.Changes{
		Added:      []sbom.Package{{Name: "new", Version: "1", Arch: "amd64", Type: sbom.Deb}, {Name: "qemu-guest-agent", Version: "7.2", Arch: "amd64", Type: sbom.Deb}},
		Removed:    []sbom.Package{{Name: "gone", Version: "1", Arch: "amd64", Type: sbom.Deb}},
		Upgraded:   []sbom.Change{{Name: "bash", Arch: "amd64", Type: sbom.Deb, From: "5.1", To: "5.2"}},
		Downgraded: []sbom.Change{},
	}
	for _, from := range []string{"", "1.0"} { // what is not known of 1.1 is passed over
		got, err := k.local(t).PackageDiff(t.Context(), deb("1.2", "libvirt"), from)
		if diff := cmp.Diff(want, got.Changes); err != nil || diff != "" || got.From.Version != "1.0" || got.To.Version != "1.2" {
			t.Errorf("from %q: %v, %s to %s: %s", from, err, got.From, got.To, diff)
		}
	}
}

func TestParity(t *testing.T) {
	t.Parallel()
	k := shelf(t)
	got, err := k.local(t).Parity(t.Context(), deb("1.2", ""))
	want := wire.ParityReport{Box: "ops/deb", Version: "1.2", Unknown: []string{"vmware_desktop/amd64"}, Parity: sbom.Parity{
		Sides: []string{"libvirt/amd64", "virtualbox/amd64"}, Systems: []string{"debian 12", "debian 12"}, Same: 2,
		Differ: []sbom.Discrepancy{{Name: "qemu-guest-agent", Type: sbom.Deb, Versions: []string{"7.2", ""}}}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	arm := deb("1.2", "")
	arm.Architecture = "arm64"
	if got, err := k.local(t).Parity(t.Context(), arm); err != nil || len(got.Parity.Sides)+len(got.Unknown) != 0 {
		t.Errorf("of an architecture that there is not: %+v, %v", got, err)
	}
}

func TestPackagesRefuses(t *testing.T) {
	t.Parallel()
	k := shelf(t)
	c := k.local(t)
	for name, ask := range map[string]func() error{
		"no such box": func() error {
			_, err := c.Packages(t.Context(), client.FileQuery{Box: "ops/none", Version: "1.0"})
			return err
		},
		"no such version":        func() error { _, err := c.Packages(t.Context(), deb("9", "")); return err },
		"no such provider":       func() error { _, err := c.Packages(t.Context(), deb("1.0", "hyperv")); return err },
		"nobody recorded it":     func() error { _, err := c.Packages(t.Context(), deb("1.1", "")); return err },
		"nothing before":         func() error { _, err := c.PackageDiff(t.Context(), deb("1.0", ""), ""); return err },
		"other without provider": func() error { _, err := c.PackageDiff(t.Context(), deb("1.2", "virtualbox"), "1.0"); return err },
		"unknown other":          func() error { _, err := c.PackageDiff(t.Context(), deb("1.2", "libvirt"), "1.1"); return err },
		"no such other":          func() error { _, err := c.PackageDiff(t.Context(), deb("1.2", "libvirt"), "7"); return err },
		"parity of nothing":      func() error { _, err := c.Parity(t.Context(), deb("7", "")); return err },
	} {
		if got := code(t, ask()); got != wire.CodeNotFound {
			t.Errorf("%s: %s", name, got)
		}
	}
	for name, ask := range map[string]func() error{
		"which provider": func() error { _, err := c.Packages(t.Context(), deb("1.2", "")); return err },
		"no version":     func() error { _, err := c.Packages(t.Context(), deb("v1", "")); return err },
		"no box": func() error {
			_, err := c.Packages(t.Context(), client.FileQuery{Box: "api/deb", Version: "1"})
			return err
		},
	} {
		if got := code(t, ask()); got != wire.CodeBadRequest {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A draft is there for those who could release it; a private box for those who may read in its organisation.
func TestPackagesOfWhatIsHidden(t *testing.T) {
	t.Parallel()
	k := shelf(t)
	k.file(t, "ops/secret 1.0 libvirt amd64", true, "bash", "5")
	k.release(t, "ops/secret", "1.0")
	for _, scope := range []auth.Scope{auth.Read, auth.Write} {
		c := k.remote(t, k.token(t, scope))
		_, err := c.Packages(t.Context(), deb("1.3", ""))
		if seen := err == nil; seen != (scope == auth.Write) {
			t.Errorf("a draft with scope %s: %v", scope, err)
		}
		if _, err := c.Packages(t.Context(), client.FileQuery{Box: "ops/secret", Version: "1.0"}); err != nil {
			t.Errorf("a private box with scope %s: %v", scope, err)
		}
	}
	if got := k.status(t, http.MethodGet, "/v1/boxes/ops/secret/versions/1.0/packages", ""); got != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got)
	}
}
