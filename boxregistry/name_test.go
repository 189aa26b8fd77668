package boxregistry

import (
	"errors"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"ops/debian12", "StefanScherer/windows_2019", "a/b", "1/2", "o.r-g/b_o.x", "apis/x", "x/api"} {
		n, err := ParseName(s)
		if err != nil || n.String() != s || n.Org()+"/"+n.Box() != s || n.IsZero() {
			t.Errorf("ParseName(%q) = %q, %v", s, n, err)
		}
	}
	for _, s := range []string{
		"", "/", "a", "a/", "/b", "a/b/c", "a//b", ".a/b", "a/..", "../b", "-a/b", "a b/c", "a/b\n", "ä/b", "a/b?x", "a%2fb/c",
		"<script>/b", strings.Repeat("a", 129) + "/b", "api/x", "API/x", "up/x", "builds/x", "v2/x",
	} {
		n, err := ParseName(s)
		var invalid *InvalidNameError
		if !errors.As(err, &invalid) || invalid.Value != s || !n.IsZero() {
			t.Errorf("ParseName(%q) = %q, %v; want an *InvalidNameError", s, n, err)
		}
	}
	if (Name{}).String() != "" {
		t.Error("the zero name prints something")
	}
}

func TestParseProviderAndArchitecture(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"libvirt", "virtualbox", "vmware_desktop", "hyper-v", "qemu2"} {
		if p, err := ParseProvider(s); err != nil || string(p) != s {
			t.Errorf("ParseProvider(%q) = %q, %v", s, p, err)
		}
	}
	for in, want := range map[string]Architecture{
		"amd64": "amd64", "x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "riscv64": "riscv64", "unknown": UnknownArchitecture,
	} {
		if a, err := ParseArchitecture(in); err != nil || a != want {
			t.Errorf("ParseArchitecture(%q) = %q, %v; want %q", in, a, err, want)
		}
	}
	for _, s := range []string{"", "LibVirt", "a/b", "..", "a.box", "a b", "-x"} {
		_, perr := ParseProvider(s)
		_, aerr := ParseArchitecture(s)
		var invalid *InvalidNameError
		if !errors.As(perr, &invalid) || !errors.As(aerr, &invalid) {
			t.Errorf("%q: provider %v, architecture %v; want *InvalidNameError", s, perr, aerr)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("ops/debian12")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err == nil && (n.String() != s || strings.ContainsAny(s, "\\\x00<>\"' %?#") || strings.Count(s, "/") != 1) {
			t.Fatalf("%q was taken as %q", s, n)
		}
	})
}
