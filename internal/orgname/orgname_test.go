package orgname

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"ops", "Ops-1", "a.b_c", "9", strings.Repeat("a", 128)} {
		if err := Check(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "-x", ".x", "a/b", "a b", "ü", "a\n", strings.Repeat("a", 129), "API", "login", "up"} {
		if err := Check(bad); err == nil {
			t.Errorf("%q is a name", bad)
		}
	}
}
