package boxregistry

import "testing"

func TestFollowed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Channel{
		"ops/deb": Stable, "ops/deb~candidate": Candidate, "ops/deb~stable": Stable, "ops/deb~x-1": "x-1",
		"ops/deb~": "", "ops/deb~A": "", "ops/deb~a~b": "", "ops/deb@candidate": "", "ops~candidate": "", "~candidate": "", "ops/deb~-": "",
	} {
		n, c, err := ParseFollowed(text)
		if want == "" {
			if err == nil {
				t.Errorf("%s: taken for %s in %s", text, n, c)
			}
			continue
		}
		if err != nil || c != want || n.String() != "ops/deb" {
			t.Errorf("%s: %s in %q, %v", text, n, c, err)
		}
		if again, c2, err := ParseFollowed(n.Followed(c)); err != nil || again != n || c2 != c {
			t.Errorf("%s: written %s, read %s in %s, %v", text, n.Followed(c), again, c2, err)
		}
	}
}
