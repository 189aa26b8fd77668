package shellquote_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/internal/shellquote"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":              "''",
		"/tmp/a-b_c.sh": "/tmp/a-b_c.sh",
		"two words":     "'two words'",
		"it's":          `'it'"'"'s'`,
		"a=b":           "'a=b'",
		"~root":         "'~root'",
		"-n":            "-n",
		"$(reboot)":     "'$(reboot)'",
		"nul\x00byte":   "nulbyte",
	} {
		if got := shellquote.Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	if got, want := shellquote.Join("rm", "-f", "a b"), "rm -f 'a b'"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzQuote asks a real shell to read back what was quoted.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "plain", "'", `"`, "a'b'c", "$HOME `id` \\", "\n", "*", "!x", "~", "é\xff", "#c", "-n", "\r\n\t", "a=b", "''''"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ReplaceAll(s, "\x00", "")
		for _, word := range []string{shellquote.Quote(s), "'" + shellquote.Escape(s) + "'"} {
			out, err := exec.Command("sh", "-c", "printf %s "+word).CombinedOutput()
			if err != nil || string(out) != s {
				t.Errorf("sh reads %s as %q (%v), want %q", word, out, err, s)
			}
		}
	})
}
