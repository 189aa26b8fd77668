package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/provenance"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// built publishes a box as a build does, with all that lies beside it, and returns the folder of its download.
func (k *kiln) built(t *testing.T, where, content string, private bool) string {
	t.Helper()
	f := strings.Fields(where)
	sum := sha256.Sum256([]byte(content))
	id, err := provenance.ParseIdentity(where + " sha256:" + hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	packages := []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`)
	statement, err := json.Marshal(provenance.New(provenance.Record{Identity: id, Template: "x.pkr.hcl", SBOM: packages}))
	if err != nil {
		t.Fatal(err)
	}
	file := boxregistry.File{Provider: id.Provider, Architecture: id.Architecture, Provenance: statement}
	made, addErr := k.boxes.Add(t.Context(), boxregistry.Publication{Box: id.Box, Version: id.Version, Private: private, File: file}, strings.NewReader(content))
	box, boxErr := k.key.SignBytes([]byte(content), id.BoxComment())
	about, aboutErr := k.key.SignBytes(statement, id.StatementComment())
	if err := errors.Join(addErr, boxErr, aboutErr, k.boxes.SetPackages(t.Context(), made.Digest, packages),
		k.boxes.AddSignatures(t.Context(), made.Digest, string(box)+string(about))); err != nil {
		t.Fatal(err)
	}
	k.release(t, f[0], f[1])
	return strings.TrimSuffix(made.Path(id.Box, id.Version), "vagrant.box")
}

// evidence downloads what lies beside a box.
func (k *kiln) evidence(t *testing.T, dir, content string) provenance.Evidence {
	t.Helper()
	get := func(name string) []byte {
		res, body := k.do(t, http.MethodGet, dir+name, "", "", nil)
		if res.StatusCode != http.StatusOK || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s", name, res.Status)
		}
		return []byte(body)
	}
	return provenance.Evidence{Box: strings.NewReader(content), BoxSignature: get("vagrant.box.minisig"), Statement: get("provenance.json"),
		StatementSignature: get("provenance.json.minisig"), SBOM: get("sbom.cdx.json")}
}

func TestBeside(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	// The same bytes in two versions have one row of signatures, and still each is signed as itself.
	dirs := []string{k.built(t, "ops/deb 1.0 libvirt amd64", "a box", false), k.built(t, "ops/deb 1.1 libvirt amd64", "a box", false)}
	_, text := k.do(t, http.MethodGet, api.PublicKeyPath, "", "", nil)
	key, err := signing.ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	for i, dir := range dirs {
		version := []string{"1.0", "1.1"}[i]
		v, err := boxregistry.ParseVersion(version)
		if err != nil {
			t.Fatal(err)
		}
		r, err := provenance.Verify(k.evidence(t, dir, "a box"), key, provenance.Wanted{Version: v})
		if err != nil || r.Failed() {
			t.Errorf("%s: %+v, %v", version, r, err)
		}
		res, body := k.do(t, http.MethodHead, dir+"vagrant.box.minisig", "", "", nil)
		if res.StatusCode != http.StatusOK || body != "" || res.ContentLength < 200 {
			t.Errorf("HEAD: %s, %d bytes announced", res.Status, res.ContentLength)
		}
	}
	short := dirs[0][:strings.LastIndex(strings.TrimSuffix(dirs[0], "/"), "/")+1] // without the digest
	if res, _ := k.do(t, http.MethodGet, short+"sbom.cdx.json", "", "", nil); res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/vnd.cyclonedx+json" {
		t.Errorf("under the path without a digest: %s, %v", res.Status, res.Header)
	}
}

// A draft that was built twice with the same outcome keeps its first statement, and is released with the signature of that.
func TestBesideOfADraftBuiltTwice(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	dir := k.built(t, "ops/deb 1.0 libvirt amd64", "a box", false)
	sum := sha256.Sum256([]byte("a box"))
	id, err := provenance.ParseIdentity("ops/deb 1.0 libvirt amd64 sha256:" + hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	later, err := k.key.SignBytes([]byte("the statement of the second build"), id.StatementComment())
	if err == nil {
		err = k.boxes.AddSignatures(t.Context(), id.Digest, string(later))
	}
	if err != nil {
		t.Fatal(err)
	}
	if r, err := provenance.Verify(k.evidence(t, dir, "a box"), k.key.Public(), provenance.Wanted{}); err != nil || r.Failed() {
		t.Errorf("%+v, %v", r, err)
	}
}

// Whoever writes into the database can put signed bytes under another version, but does not get them signed as that.
func TestBesideSignsNothing(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.built(t, "ops/deb 1.0 libvirt amd64", "a box", false)
	name, nameErr := boxregistry.ParseName("ops/deb")
	v, versionErr := boxregistry.ParseVersion("2.0")
	if err := errors.Join(nameErr, versionErr); err != nil {
		t.Fatal(err)
	}
	f, err := k.boxes.Add(t.Context(), boxregistry.Publication{Box: name, Version: v, File: boxregistry.File{Provider: "libvirt", Architecture: "amd64"}}, strings.NewReader("a box"))
	if err != nil {
		t.Fatal(err)
	}
	k.release(t, "ops/deb", "2.0")
	if got := k.status(t, http.MethodGet, f.Path(name, v)+".minisig", ""); got != http.StatusNotFound {
		t.Errorf("status %d", got)
	}
}

func TestBesideRefuses(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	dir := k.built(t, "ops/secret 1.0 libvirt amd64", "a box", true)
	for _, name := range []string{"vagrant.box.minisig", "provenance.json", "provenance.json.minisig", "sbom.cdx.json"} {
		for _, token := range []string{"", "bxk_wrong"} {
			if got := k.status(t, http.MethodGet, dir+name, token); got != http.StatusNotFound {
				t.Errorf("%s of a private box for strangers: %d", name, got)
			}
		}
		if got := k.status(t, http.MethodGet, dir+name, k.token(t, auth.Read)); got != http.StatusOK {
			t.Errorf("%s of a private box for a reader: %d", name, got)
		}
	}
	other := k.file(t, "ops/deb 1.0 libvirt amd64", false) // not built here
	name, err := boxregistry.ParseName("ops/deb")
	if err != nil {
		t.Fatal(err)
	}
	v, err := boxregistry.ParseVersion("1.0")
	if err != nil {
		t.Fatal(err)
	}
	folder := strings.TrimSuffix(other.Path(name, v), "vagrant.box")
	draft := k.status(t, http.MethodGet, folder+"provenance.json", "")
	k.release(t, "ops/deb", "1.0")
	for path, got := range map[string]int{
		"a draft":            draft,
		"no provenance":      k.status(t, http.MethodGet, folder+"provenance.json", ""),
		"its signature":      k.status(t, http.MethodGet, folder+"provenance.json.minisig", ""),
		"no signature":       k.status(t, http.MethodGet, folder+"vagrant.box.minisig", ""),
		"no packages":        k.status(t, http.MethodGet, folder+"sbom.cdx.json", ""),
		"another digest":     k.status(t, http.MethodGet, strings.Replace(folder, other.Digest.Short(), "000000000000", 1)+"sbom.cdx.json", ""),
		"no such version":    k.status(t, http.MethodGet, strings.Replace(folder, "/1.0/", "/2.0/", 1)+"sbom.cdx.json", ""),
		"no version":         k.status(t, http.MethodGet, strings.Replace(folder, "/1.0/", "/v2/", 1)+"sbom.cdx.json", ""),
		"no such box":        k.status(t, http.MethodGet, strings.Replace(folder, "/ops/", "/opx/", 1)+"sbom.cdx.json", ""),
		"other architecture": k.status(t, http.MethodGet, strings.Replace(folder, "/amd64/", "/arm64/", 1)+"sbom.cdx.json", ""),
	} {
		if got != http.StatusNotFound {
			t.Errorf("%s: %d", path, got)
		}
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	c := k.local(t)
	body, err := c.Fetch(t.Context(), api.PublicKeyPath)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil || string(data) != k.key.Public().File() {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := c.Fetch(t.Context(), "/ops/boxes/none/versions/1/providers/x/y/provenance.json"); !errors.Is(err, client.ErrMissing) {
		t.Errorf("of nothing: %v", err)
	}
}
