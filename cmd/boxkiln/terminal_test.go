package main

import "testing"

func TestHarmless(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, plain, colored string }{
		{"plain\ttext é", "plain\ttext é", "plain\ttext é"},
		{"\x1b[32mok\x1b[0m done", "ok done", "\x1b[32mok\x1b[0m done\x1b[0m"},
		{"\x1b]0;title\x07x", "]0;titlex", "]0;titlex"},
		{"a\x1b[2Jb\rc", "a[2Jbc", "a[2Jbc"},
		{"\u009b31mx", "31mx", "31mx"},
	} {
		if got := harmless(tt.in, false); got != tt.plain {
			t.Errorf("harmless(%q) = %q, want %q", tt.in, got, tt.plain)
		}
		if got := harmless(tt.in, true); got != tt.colored {
			t.Errorf("harmless(%q) in colour = %q, want %q", tt.in, got, tt.colored)
		}
	}
}
