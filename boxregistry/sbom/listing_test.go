package sbom_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/sbom"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ     sbom.Type
		listing string
		want    []sbom.Package
	}{
		{sbom.Deb, "ii \tzlib1g\t1:1.2.13.dfsg-1\tamd64\nrc \told\t1.0\tall\nhi \tbash\t5.2.15-2+b7\tamd64\niU \thalf\t1\tall\n\n", []sbom.Package{
			{Name: "bash", Version: "5.2.15-2+b7", Arch: "amd64", Type: sbom.Deb}, {Name: "zlib1g", Version: "1:1.2.13.dfsg-1", Arch: "amd64", Type: sbom.Deb}}},
		{sbom.RPM, "kernel-core\t(none)\t6.5.6-300.fc39\tx86_64\ngpg-pubkey\t(none)\t18b8e74c-62f2920f\t(none)\nbind\t32\t9.18.21-1.fc39\tx86_64\nzero\t0\t1-1\tnoarch\n", []sbom.Package{
			{Name: "bind", Version: "32:9.18.21-1.fc39", Arch: "x86_64", Type: sbom.RPM}, {Name: "kernel-core", Version: "6.5.6-300.fc39", Arch: "x86_64", Type: sbom.RPM},
			{Name: "zero", Version: "1-1", Arch: "noarch", Type: sbom.RPM}}},
		{sbom.APK, "musl-1.2.4_git20230717-r4 x86_64 {musl} (MIT) [installed]\nca-certificates-bundle-20230506-r0 x86_64 {ca-certificates} (MPL-2.0 AND MIT) [installed]\r\n", []sbom.Package{
			{Name: "ca-certificates-bundle", Version: "20230506-r0", Arch: "x86_64", Type: sbom.APK}, {Name: "musl", Version: "1.2.4_git20230717-r4", Arch: "x86_64", Type: sbom.APK}}},
		{sbom.Pacman, "bash 5.2.026-2\nopenssl 3.2.1-1\n", []sbom.Package{
			{Name: "bash", Version: "5.2.026-2", Type: sbom.Pacman}, {Name: "openssl", Version: "3.2.1-1", Type: sbom.Pacman}}},
	} {
		got, err := sbom.Parse(c.typ, c.listing)
		if err != nil {
			t.Errorf("%s: %v", c.typ, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: want (-) got (+) %s", c.typ, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ     sbom.Type
		listing string
	}{
		{sbom.Deb, "ii \tbash"}, {sbom.Deb, "dpkg-query: error: cannot open"}, {sbom.Deb, "ii \tbash\t5.2 \tall"}, {sbom.Deb, "ii \t\t1\tall"},
		{sbom.RPM, "bash-5.2-1.fc39.x86_64"}, {sbom.APK, "musl x86_64"}, {sbom.APK, "musl-1.2.4-r2"}, {sbom.Pacman, "bash"}, {"exe", "x 1"},
		{sbom.Pacman, "b\x1bash 5"}, {sbom.Pacman, strings.Repeat("x", 300) + " 1"},
	} {
		if got, err := sbom.Parse(c.typ, c.listing); err == nil {
			t.Errorf("%s: %q is read as %v", c.typ, c.listing, got)
		}
	}
}

const report = `Welcome to the machine!
boxkiln-packages apk
ID=alpine
VERSION_ID=3.19.1
boxkiln-list
musl-1.2.4-r2 x86_64 {musl} (MIT) [installed]
boxkiln-end 0
`

func TestParseReport(t *testing.T) {
	t.Parallel()
	got, err := sbom.ParseReport(report)
	want := sbom.Inventory{System: sbom.System{ID: "alpine", Version: "3.19.1"},
		Packages: []sbom.Package{{Name: "musl", Version: "1.2.4-r2", Arch: "x86_64", Type: sbom.APK}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for cut := range len(report) - len(" 0\n") {
		if _, err := sbom.ParseReport(report[:cut]); !errors.Is(err, sbom.ErrReport) {
			t.Errorf("of %d bytes: %v, want ErrReport", cut, err)
		}
	}
	for text, want := range map[string]error{
		"boxkiln-packages none\nboxkiln-list\nboxkiln-end 0\n":               sbom.ErrNoManager,
		"boxkiln-packages rpm\nboxkiln-list\nboxkiln-end 0\n":                sbom.ErrReport,
		"boxkiln-packages emerge\nboxkiln-list\nboxkiln-end 0\n":             sbom.ErrReport,
		strings.Replace(report, "boxkiln-end 0", "boxkiln-end 127", 1):       sbom.ErrReport,
		"'sh' is not recognized as an internal or external command,\r\nblah": sbom.ErrReport,
	} {
		if _, err := sbom.ParseReport(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

// TestScriptOnThisHost runs the script as a guest would.
func TestScriptOnThisHost(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-s")
	cmd.Stdin = strings.NewReader(sbom.Script)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	inv, err := sbom.ParseReport(string(out))
	if errors.Is(err, sbom.ErrNoManager) {
		t.Skip("this host has no package manager that is known")
	}
	if err != nil || len(inv.Packages) == 0 || inv.System.ID == "" {
		t.Errorf("%d packages of %+v: %v", len(inv.Packages), inv.System, err)
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add(report)
	f.Add("boxkiln-packages dpkg\nID=\"debian\"\nboxkiln-list\nii \tbash\t5\tall\nboxkiln-end 0")
	f.Add("boxkiln-packages rpm\nboxkiln-list\nbash\t(none)\t5-1\tx86_64\nboxkiln-end 0")
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := sbom.ParseReport(text)
		if err != nil {
			return
		}
		data, err := sbom.Encode(inv)
		if err != nil {
			t.Fatal(err)
		}
		again, err := sbom.Decode(data)
		if diff := cmp.Diff(inv.Packages, again.Packages); err != nil || diff != "" {
			t.Error(err, diff)
		}
	})
}
