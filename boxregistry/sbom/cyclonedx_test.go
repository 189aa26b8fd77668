package sbom_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/sbom"
)

func inventory() sbom.Inventory {
	return sbom.Inventory{System: sbom.System{ID: "debian", Version: "12"}, Packages: []sbom.Package{
		{Name: "bash", Version: "5.2.15-2+b7", Arch: "amd64", Type: sbom.Deb},
		{Name: "libstdc++6", Version: "12.2.0-14", Arch: "amd64", Type: sbom.Deb},
		{Name: "zlib1g", Version: "1:1.2.13.dfsg-1~x", Arch: "amd64", Type: sbom.Deb},
		{Name: "zlib1g", Version: "1:1.2.13.dfsg-1~x", Arch: "i386", Type: sbom.Deb},
	}}
}

const wrote = `{"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6",` +
	`"serialNumber":"urn:uuid:SERIAL","version":1,"metadata":{"tools":{"components":[{"type":"application","name":"boxkiln"}]},` +
	`"component":{"bom-ref":"system","type":"operating-system","name":"debian","version":"12"}},"components":[` +
	`{"bom-ref":"pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64\u0026distro=debian-12","type":"library","name":"bash","version":"5.2.15-2+b7","purl":"pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64\u0026distro=debian-12"}`

func TestEncode(t *testing.T) {
	t.Parallel()
	data, err := sbom.Encode(inventory())
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "urn:uuid:")
	serial, _, _ := strings.Cut(rest, `"`)
	if want := strings.Replace(wrote, "SERIAL", serial, 1); !strings.HasPrefix(string(data), want) {
		t.Errorf("wrote\n%s\nwant it to begin with\n%s", data, want)
	}
	turned := inventory()
	slices.Reverse(turned.Packages)
	turned.Packages = append(turned.Packages, turned.Packages[0])
	if again, _ := sbom.Encode(turned); !bytes.Equal(again, data) {
		t.Error("another order of packages gives other bytes")
	}
	turned.Packages = turned.Packages[1:2]
	if other, _ := sbom.Encode(turned); bytes.Contains(other, []byte(serial)) {
		t.Error("other packages have the same serial number")
	}
	back, err := sbom.Decode(data)
	if diff := cmp.Diff(inventory(), back); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestPURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    sbom.Package
		s    sbom.System
		want string
	}{
		{sbom.Package{"g++", "4:12.2.0-3", "amd64", sbom.Deb}, sbom.System{ID: "debian", Version: "12"}, "pkg:deb/debian/g%2B%2B@4:12.2.0-3?arch=amd64&distro=debian-12"},
		{sbom.Package{"bind", "32:9.18.21-1.fc39", "x86_64", sbom.RPM}, sbom.System{ID: "fedora", Version: "39"}, "pkg:rpm/fedora/bind@9.18.21-1.fc39?arch=x86_64&distro=fedora-39&epoch=32"},
		{sbom.Package{"musl", "1.2.4-r2", "x86_64", sbom.APK}, sbom.System{ID: "alpine", Version: "3.19.1"}, "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19.1"},
		{sbom.Package{"bash", "5.2.026-2", "", sbom.Pacman}, sbom.System{ID: "arch"}, "pkg:alpm/arch/bash@5.2.026-2"},
		{sbom.Package{"bash", "5 2", "", sbom.Pacman}, sbom.System{}, "pkg:alpm/bash@5%202"},
	} {
		if got := c.p.PURL(c.s); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// What Syft and other tools write is read too.
func TestDecodeOfOthers(t *testing.T) {
	t.Parallel()
	got, err := sbom.Decode([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"metadata":{"tools":[{"name":"old"}],"component":{"type":"file","name":"x"}},
		"components":[{"type":"library","name":"apt","version":"2.6.1","purl":"pkg:deb/debian/apt@2.6.1?arch=amd64&distro=debian-12"},
		{"type":"library","name":"left-pad","version":"1.0.0","purl":"pkg:npm/left-pad@1.0.0"},{"type":"library","name":"nothing"},
		{"type":"operating-system","name":"debian","version":"12"},{"type":"library","purl":"pkg:deb/%zz@1"}]}`))
	want := sbom.Inventory{System: sbom.System{ID: "debian", Version: "12"}, Packages: []sbom.Package{{Name: "apt", Version: "2.6.1", Arch: "amd64", Type: sbom.Deb}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, bad := range []string{"", "null", "[]", `{"bomFormat":"SPDX"}`, `{"bomFormat":"CycloneDX","specVersion":"1.4"}`, `{"bomFormat":"CycloneDX","specVersion":"1.6","components":7}`} {
		if _, err := sbom.Decode([]byte(bad)); !errors.Is(err, sbom.ErrDocument) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(wrote + "]}"))
	f.Add([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"purl":"pkg:rpm/a/b@1?epoch=2&arch=x#y"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := sbom.Decode(data)
		if err != nil {
			return
		}
		out, err := sbom.Encode(inv)
		if err != nil {
			t.Fatal(err)
		}
		back, err := sbom.Decode(out)
		if diff := cmp.Diff(inv.Packages, back.Packages); err != nil || diff != "" {
			t.Error(err, diff)
		}
	})
}
