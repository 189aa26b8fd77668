package upstream

import (
	"errors"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
)

func TestParseChecksum(t *testing.T) {
	t.Parallel()
	const hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	want := boxregistry.Checksum{Type: "sha256", Hex: hex}
	for _, c := range [][2]string{
		{"sha256", hex}, {"SHA256", strings.ToUpper(hex)}, {"sha-256", " " + hex + "\n"}, {"", hex}, {"sha256", hex + "  debian.box"},
		{"sha256", hex + " *debian.box"}, {"", "sha256:" + hex}, {"sha256", "SHA256 (debian.box) = " + hex},
	} {
		if got, err := ParseChecksum(c[0], c[1]); err != nil || got != want {
			t.Errorf("%q %q: %v, %v", c[0], c[1], got, err)
		}
	}
	for _, n := range []int{32, 40, 96, 128} { // md5, sha1, sha384, sha512
		if got, err := ParseChecksum("", strings.Repeat("a", n)); err != nil || len(got.Hex) != n || got.Type == "" {
			t.Errorf("%d digits: %v, %v", n, got, err)
		}
	}
	for _, c := range [][2]string{{"", ""}, {"sha256", ""}, {"NONE", "x"}, {"UNSET", ""}} {
		if got, err := ParseChecksum(c[0], c[1]); err != nil || got != (boxregistry.Checksum{}) {
			t.Errorf("%q: %v, %v; want none", c, got, err)
		}
	}
	for _, c := range [][2]string{{"sha256", "xyz"}, {"md5", hex}, {"crc32", "aabbccdd"}, {"", "aa"}, {"sha1", "sha256:" + hex}} {
		if got, err := ParseChecksum(c[0], c[1]); err == nil {
			t.Errorf("%q was taken as %v", c, got)
		}
	}
}

const wild = `{"name":"org/box","description":"long","short_description":"short","versions":[
 {"version":"1.0.0","status":"active","description_markdown":"first","providers":[
   {"name":"libvirt","url":"https://h/a.box","checksum_type":"SHA1","checksum":"DA39A3EE5E6B4B0D3255BFEF95601890AFD80709  a.box","architecture":"x86_64","default_architecture":true},
   {"name":"Bad Name","url":"https://h/b.box"},
   {"name":"virtualbox","url":"https://h/c.box","checksum_type":null,"checksum":null,"architecture":null},
   {"name":"hyperv","url":"/etc/shadow"},
   {"name":"qemu","url":"file:///etc/shadow"},
   {"name":"utm","url":"https://h/d.box","checksum":"nonsense"},
   {"name":"lxc"}]},
 {"version":"1.0","providers":[{"name":"libvirt","url":"https://h/x.box"}]},
 {"version":"v2","providers":[{"name":"libvirt","url":"https://h/x.box"}]},
 {"version":"1.10","providers":[{"name":"libvirt","url":"https://h/one.box"},{"name":"libvirt","url":"https://h/two.box"}]},
 {"version":"1.9","providers":[]},
 {"version":"3","status":"revoked","providers":[{"name":"libvirt","url":"https://h/x.box"}]}]}`

func TestCatalogsOfTheWild(t *testing.T) {
	t.Parallel()
	c, err := ParseCatalog([]byte("\ufeff" + wild))
	if err != nil {
		t.Fatal(err)
	}
	b, skipped := c.Box(RemoteLocator(Access{}))
	want := "org/box 1.10: libvirt | 1.0.0: libvirt/amd64 virtualbox"
	if got := list(Offer{Boxes: []Box{b}}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wantSkipped(t, skipped, "Bad Name", "hyperv: \"://", "qemu: \"file://", `checksum "nonsense"`, "the entry has no url", "it is the same as 1.0.0", `version "v2"`, "two entries")
	first := b.Versions[1]
	if first.Description != "first" || first.Files[0].Checksum.Type != "sha1" || !first.Files[0].Default || b.Versions[0].Files[0].Origin.At != "https://h/two.box" {
		t.Errorf("%+v", b)
	}
	for _, bad := range []string{"", "[]", "{}", `{"versions":null}`, `{"versions":3}`, "<html>"} {
		if _, err := ParseCatalog([]byte(bad)); !errors.Is(err, ErrNoCatalog) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzCatalog(f *testing.F) {
	f.Add([]byte(`{"name":"a/b","versions":[{"version":"1","providers":[{"name":"qemu","url":"http://h/x"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCatalog(data)
		if err != nil {
			return
		}
		b, _ := c.Box(RemoteLocator(Access{}))
		for i, v := range b.Versions {
			if i > 0 && v.Number.Compare(b.Versions[i-1].Number) >= 0 || len(v.Files) == 0 {
				t.Fatalf("versions out of order, equal or empty: %+v", b)
			}
			for _, file := range v.Files {
				if file.Origin.Local() || !strings.HasPrefix(strings.ToLower(file.Origin.At), "http") {
					t.Fatalf("a remote catalog leads to %+v", file.Origin)
				}
			}
		}
	})
}

func FuzzChecksum(f *testing.F) {
	f.Add("SHA256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  x")
	f.Fuzz(func(t *testing.T, kind, value string) {
		c, err := ParseChecksum(kind, value)
		if err != nil || c.Type == "" {
			return
		}
		if again, err := ParseChecksum(c.Type, c.Hex); err != nil || again != c {
			t.Fatalf("%v became %v, %v", c, again, err)
		}
	})
}

func TestParsePlace(t *testing.T) {
	t.Parallel()
	hub := Place{Kind: AnyURL, Base: "https://vagrantcloud.com/api/v2/vagrant/bento/debian-12"}
	for in, want := range map[string]Place{
		"https://vagrantcloud.com/bento/debian-12":                            hub,
		"https://app.vagrantup.com/bento/boxes/debian-12":                     hub,
		"https://portal.cloud.hashicorp.com/vagrant/discover/bento/debian-12": hub,
		"https://vagrantcloud.com/api/v2/vagrant/bento/debian-12":             hub,
		"https://vagrantcloud.com/bento":                                      {Kind: HCPRegistry, Base: hcpURL, Org: "bento"},
		"hcp://bento/debian-12":                                               {Kind: HCPRegistry, Base: hcpURL, Org: "bento", Box: "debian-12"},
		"https://reg.example.org/ops":                                         {Kind: CloudOrg, Base: "https://reg.example.org", Org: "ops"},
		"https://reg.example.org/ops/debian12":                                {Kind: AnyURL, Base: "https://reg.example.org/ops/debian12"},
		"https://reg.example.org/boxes.json":                                  {Kind: AnyURL, Base: "https://reg.example.org/boxes.json"},
		"/srv/boxes":                                                          {Kind: LocalPath, Base: "/srv/boxes"},
		"file:///srv/x.box":                                                   {Kind: LocalPath, Base: "/srv/x.box"},
	} {
		if got, err := ParsePlace(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "ftp://h/x", "file://other/x", "hcp://", "hcp://a/b/c", "https://", "https://u:secret%@h/x"} {
		got, err := ParsePlace(bad)
		if err == nil {
			t.Errorf("%q was taken as %+v", bad, got)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
	if s := must(ParsePlace("https://u:secret@h/a/b?access_token=t")).String(); s != "https://h/a/b" {
		t.Errorf("shown as %q", s)
	}
}
