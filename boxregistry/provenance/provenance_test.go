package provenance_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/provenance"
)

// digestOf is a digest made of one digit.
func digestOf(digit string) blob.Digest { return blob.Digest(strings.Repeat(digit, 64)) }

func identity(t *testing.T, text string) provenance.Identity {
	t.Helper()
	i, err := provenance.ParseIdentity(text)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func record(t *testing.T, id string) provenance.Record {
	t.Helper()
	return provenance.Record{
		Identity: identity(t, id), Template: "debian.pkr.hcl", Source: "qemu.debian", Builder: "b0c5", Version: "1.0.0",
		Internal: provenance.Internal{Driver: "libvirt", Hypervisor: "9.0.0", Accelerator: "tcg", Firmware: "bios"},
		Dependencies: []provenance.Resource{
			{Name: "debian.pkr.hcl", Digest: provenance.Digest{SHA256: string(digestOf("1"))}, Annotations: provenance.Annotations{Role: provenance.RoleTemplate}},
			{URI: "https://example.org/debian.iso", Digest: provenance.Digest{SHA256: string(digestOf("2"))}, Annotations: provenance.Annotations{Role: provenance.RoleMedium}},
		},
		Metadata: provenance.Metadata{InvocationID: "01JD4", Attempt: 1, StartedOn: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
			Steps: []provenance.Step{{Name: "fetch-media", Phase: "done", Seconds: 1.5}}},
		Log: "/builds/01JD4", SBOM: []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`),
	}
}

const id = "ops/deb 1.2.0 libvirt amd64 sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// The names of in-toto and SLSA are fixed; this is the whole document as it is written.
const document = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"ops/deb/1.2.0/libvirt/amd64","digest":{"sha256":"AAAA"}}],` +
	`"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://github.com/boxkiln/boxkiln/blob/main/docs/provenance.md#build-type",` +
	`"externalParameters":{"template":"debian.pkr.hcl","source":"qemu.debian","box":"ops/deb","version":"1.2.0","provider":"libvirt","architecture":"amd64"},` +
	`"internalParameters":{"driver":"libvirt","hypervisor":"9.0.0","accelerator":"tcg","firmware":"bios"},"resolvedDependencies":[` +
	`{"name":"debian.pkr.hcl","digest":{"sha256":"1111"},"annotations":{"boxkiln_role":"template"}},` +
	`{"uri":"https://example.org/debian.iso","digest":{"sha256":"2222"},"annotations":{"boxkiln_role":"medium"}}]},` +
	`"runDetails":{"builder":{"id":"urn:boxkiln:b0c5","version":{"boxkiln":"1.0.0"}},"metadata":{"invocationId":"01JD4",` +
	`"startedOn":"2026-11-20T12:00:00Z","boxkiln_attempt":1,"boxkiln_steps":[{"name":"fetch-media","phase":"done","seconds":1.5}]},` +
	`"byproducts":[{"name":"sbom.cdx.json","digest":{"sha256":"ce57ee3dcde7c5a0f0b5a4b3a79fb0a8e2de4f3d6f1b1e6c3d3e9f6a1a6b8b2e"},"mediaType":"application/vnd.cyclonedx+json"},` +
	`{"name":"log","uri":"/builds/01JD4"}]}}}`

func TestDocument(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(provenance.New(record(t, id)))
	if err != nil {
		t.Fatal(err)
	}
	want := document
	for _, digit := range []string{"1", "2"} {
		want = strings.Replace(want, `"`+strings.Repeat(digit, 4)+`"`, `"`+string(digestOf(digit))+`"`, 1)
	}
	want = strings.Replace(want, "AAAA", string(digestOf("a")), 1)
	back, err := provenance.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	made, ok := back.Byproduct("sbom.cdx.json")
	if !ok {
		t.Fatal("no list of packages")
	}
	want = strings.Replace(want, "ce57ee3dcde7c5a0f0b5a4b3a79fb0a8e2de4f3d6f1b1e6c3d3e9f6a1a6b8b2e", made.Digest.SHA256, 1)
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
	if got, err := back.Identity(); err != nil || got != identity(t, id) {
		t.Errorf("it is of %s, %v", got, err)
	}
	if media := back.With(provenance.RoleMedium); len(media) != 1 || media[0].URI != "https://example.org/debian.iso" {
		t.Errorf("media %+v", media)
	}
	if _, ok := back.Byproduct("nothing"); ok {
		t.Error("it has a byproduct that nobody made")
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", "{}", `{"build":"01JD4","template":"x"}`,
		`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1"}`,
		strings.Replace(document, "slsa.dev", "example.org", 1), strings.Replace(document, `"sha256":"AAAA"`, "", 1)} {
		if _, err := provenance.Parse([]byte(text)); !errors.Is(err, provenance.ErrStatement) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, change := range [][2]string{{`"box":"ops/deb"`, `"box":"ops/other"`}, {`"AAAA"`, `"zz"`}, {`"version":"1.2.0"`, `"version":"v1"`}} {
		s, err := provenance.Parse([]byte(strings.Replace(strings.Replace(document, change[0], change[1], 1), "AAAA", string(digestOf("a")), 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Identity(); !errors.Is(err, provenance.ErrStatement) {
			t.Errorf("%s: %v", change, err)
		}
	}
}

func TestParseIdentity(t *testing.T) {
	t.Parallel()
	if got := identity(t, id).String(); got != id {
		t.Errorf("%s", got)
	}
	for _, text := range []string{"", "ops/deb 1.2.0 libvirt amd64", strings.Replace(id, "sha256:", "", 1), strings.Replace(id, "amd64", "x86_64", 1),
		strings.Replace(id, "1.2.0", "v1.2.0", 1), strings.ToUpper(id), id + " ", "api/deb" + id[len("ops/deb"):]} {
		if got, err := provenance.ParseIdentity(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := provenance.Parse(data)
		if err != nil {
			return
		}
		id, err := s.Identity()
		if err != nil {
			return
		}
		if again, err := provenance.ParseIdentity(id.String()); err != nil || again != id {
			t.Errorf("%s is read as %s, %v", id, again, err)
		}
	})
}
