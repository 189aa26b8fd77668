package blob

import (
	"strings"
	"testing"
)

func TestParseDigest(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("ab", 32)
	for _, c := range []struct {
		in   string
		want Digest
	}{
		{hex, Digest(hex)},
		{strings.ToUpper(hex), Digest(hex)},
		{"sha256:" + hex, Digest(hex)},
		{"", ""}, {"sha256:", ""}, {hex + "00", ""}, {hex[:63], ""}, {hex + "  file.box", ""},
		{"../" + hex[3:], ""}, {"md5:" + hex, ""}, {hex[:63] + "g", ""},
	} {
		got, err := ParseDigest(c.in)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("ParseDigest(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
	if got := Digest(hex).Short(); got != "abababababab" {
		t.Errorf("Short() = %q", got)
	}
	if got := Digest("").Short(); got != "" {
		t.Errorf("Short() of nothing = %q", got)
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(strings.Repeat("AB", 32))
	f.Add("sha256:xyz")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDigest(s)
		if err != nil {
			return
		}
		if again, err := ParseDigest(string(d)); err != nil || again != d {
			t.Fatalf("%q parsed to %q, which parses to %q, %v", s, d, again, err)
		}
	})
}
