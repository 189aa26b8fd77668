package signing_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/signing"
)

func TestFind(t *testing.T) {
	t.Parallel()
	k, newer := newKey(t), newKey(t)
	first, other, again := sign(t, k, "a box", "one"), sign(t, k, "a box", "two"), sign(t, newer, "a box", "one")
	all := first + other + again
	if parts := signing.Split(all + "untrusted comment: cut"); len(parts) != 3 || parts[0] != first || parts[2] != again {
		t.Errorf("%q", parts)
	}
	for comment, want := range map[string][]string{"one": {again, first}, "two": {other}, "three": nil} {
		if got := signing.Find(all, comment); !slices.Equal(got, want) {
			t.Errorf("%s: %q", comment, got)
		}
	}
	for _, files := range []string{"", "x\ny\nz\nw\n"} {
		if got := signing.Find(files, "one"); len(got) > 0 {
			t.Errorf("in %q: %q", files, got)
		}
	}
	if _, err := signing.Comment("x"); !errors.Is(err, signing.ErrSignature) {
		t.Error(err)
	}
}
