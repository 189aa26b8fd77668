package iso

import (
	"strings"
	"testing"
)

var (
	hexMD5    = strings.Repeat("0a", 16)
	hexSHA1   = strings.Repeat("1b", 20)
	hexSHA256 = strings.Repeat("2c", 32)
	hexSHA512 = strings.Repeat("3d", 64)
)

func TestParseChecksum(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Checksum{
		"none":                                 {},
		"NONE":                                 {},
		hexMD5:                                 {Digest: Digest{MD5, hexMD5}},
		hexSHA1:                                {Digest: Digest{SHA1, hexSHA1}},
		strings.ToUpper(hexSHA256):             {Digest: Digest{SHA256, hexSHA256}},
		" sha512:" + hexSHA512 + "\n":          {Digest: Digest{SHA512, hexSHA512}},
		"SHA256:" + hexSHA256:                  {Digest: Digest{SHA256, hexSHA256}},
		"md5:" + hexMD5:                        {Digest: Digest{MD5, hexMD5}},
		"file:https://example.org/SHA256SUMS":  {File: "https://example.org/SHA256SUMS"},
		"file:./local.sum":                     {File: "./local.sum"},
		"file:file://./local/path/file.sum":    {File: "file://./local/path/file.sum"},
		"file:http://u:p@example.org/sums?x=1": {File: "http://u:p@example.org/sums?x=1"},
	} {
		if got, err := ParseChecksum(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"":                       "missing",
		"sha256:abc":             "not hexadecimal",
		"sha256:" + hexMD5:       "a sha256 digest has 64",
		"crc32:" + hexMD5:        `unknown type "crc32"`,
		hexMD5[1:]:               "31 characters",
		strings.Repeat("zz", 16): "not hexadecimal",
		"file:":                  "names no checksum file",
		"file:x.ISO":             "names an .iso",
		"file:ftp://h/sums":      `scheme "ftp"`,
	} {
		if _, err := ParseChecksum(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestFindChecksum(t *testing.T) {
	t.Parallel()
	other := strings.Repeat("ff", 32)
	for name, tc := range map[string]struct{ text, url, want string }{
		"gnu":              {other + "  x.iso\n" + hexSHA256 + "  d.iso\n", "/pool/d.iso", hexSHA256},
		"binary mark":      {hexSHA256 + " *d.iso\r\n", "d.iso", hexSHA256},
		"portable mark":    {hexSHA256 + " ?d.iso", "d.iso", hexSHA256},
		"dot slash":        {hexSHA256 + "  ./d.iso\n", "d.iso", hexSHA256},
		"spaces":           {hexSHA256 + "  my d.iso\n", "/a/my d.iso", hexSHA256},
		"bsd":              {"SHA256 (x.iso) = " + other + "\nSHA256 (d.iso) = " + hexSHA256 + "\n", "d.iso", hexSHA256},
		"bsd dash":         {"SHA-256 (d.iso) = " + hexSHA256 + "\n", "d.iso", hexSHA256},
		"bsd spaces":       {"MD5 (my (1) d.iso) = " + hexMD5 + "\n", "my (1) d.iso", hexMD5},
		"bare":             {hexSHA256, "d.iso", hexSHA256},
		"name before bare": {other + "\n" + hexSHA256 + "  d.iso\n", "d.iso", hexSHA256},
		"upper case":       {strings.ToUpper(hexSHA256) + "  d.iso\n", "d.iso", hexSHA256},
		"comment and signature": {"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# d.iso: 12 bytes\nSHA256 (d.iso) = " + hexSHA256 +
			"\n-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCAAdFiEE\n", "d.iso", hexSHA256},
		"folder":    {other + "  ./i386/mini.iso\n" + hexSHA256 + "  ./amd64/mini.iso\n", "/images/amd64/mini.iso", hexSHA256},
		"strongest": {hexMD5 + "  d.iso\n" + hexSHA512 + "  d.iso\n" + hexSHA1 + "  d.iso\n", "d.iso", hexSHA512},
		"absolute":  {hexSHA256 + "  /srv/d.iso\n", "/srv/d.iso", hexSHA256},
	} {
		if got, err := FindChecksum(tc.text, tc.url); err != nil || got.Hex != tc.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, text := range []string{"", "\n\n", "<html>not found</html>", hexSHA256 + "  nod.iso\n", "SHA256 (d.iso) = " + hexMD5, hexSHA256 + "  d.iso.sig"} {
		if got, err := FindChecksum(text, "/x/d.iso"); err == nil {
			t.Errorf("%q: found %v", text, got)
		}
	}
}

func FuzzFindChecksum(f *testing.F) {
	f.Add(hexSHA256+"  d.iso\n", "/d.iso")
	f.Add("SHA256 (d.iso) = "+hexSHA256, "d.iso")
	f.Add("\\"+hexMD5+" *a/../d.iso", "a/d.iso")
	f.Fuzz(func(t *testing.T, text, name string) {
		d, err := FindChecksum(text, name)
		if err != nil {
			return
		}
		if again, err := ParseChecksum(d.String()); err != nil || again.Digest != d {
			t.Errorf("found %q, which is no digest: %v", d, err)
		}
		if !strings.Contains(strings.ToLower(text), d.Hex) {
			t.Errorf("found %q, which the text does not hold", d)
		}
	})
}

func FuzzParseChecksum(f *testing.F) {
	f.Add("sha256:" + hexSHA256)
	f.Add("file:http://u:p@[::1/x")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseChecksum(s)
		if err == nil && c.Digest.Hex != "" {
			if again, err := ParseChecksum(c.Digest.String()); err != nil || again != c {
				t.Errorf("%q: %+v reads back as %+v, %v", s, c, again, err)
			}
		}
	})
}
