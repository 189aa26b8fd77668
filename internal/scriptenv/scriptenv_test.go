package scriptenv_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/internal/scriptenv"
)

func TestFlatten(t *testing.T) {
	t.Parallel()
	got := scriptenv.Flatten(scriptenv.Prefix, map[string]string{"B": "old", "A": "1"}, scriptenv.Split([]string{"B=x=y", "C=it's $HOME"}))
	if want := `A='1' B='x=y' C='it'"'"'s $HOME' `; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	out, err := exec.Command("sh", "-c", got+`sh -c 'echo "$B $C"'`).Output()
	if err != nil || string(out) != "x=y it's $HOME\n" {
		t.Errorf("sh: %q, %v", out, err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	if err := scriptenv.Check([]string{"A=", "B=c=d"}, scriptenv.Export); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "=x", "PASSWORD"} {
		if err := scriptenv.Check([]string{bad}, ""); err == nil || strings.Contains(err.Error(), "PASSWORD") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"%s", "set %d=%s", "%s %s %s", "none"} {
		if err := scriptenv.Check(nil, bad); err == nil {
			t.Errorf("format %q was taken", bad)
		}
	}
}
