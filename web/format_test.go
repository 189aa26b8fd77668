package web

import (
	"strings"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9_949: "9.9 kB", 9_951: "10 kB", 412_345_678: "412 MB", 999_499_999: "999 MB", 999_500_000: "1.0 GB",
		21_474_836_480: "21 GB", 1 << 62: "4.6 EB",
	} {
		if got := formatBytes(n); got != want {
			t.Errorf("formatBytes(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Hour: "just now", 59 * time.Second: "just now", time.Minute: "1 minute ago", 119 * time.Minute: "1 hour ago",
		47 * time.Hour: "1 day ago", 48 * time.Hour: "2 days ago", 800 * 24 * time.Hour: "2 years ago",
	} {
		if got := ago(noon, noon.Add(-d)); got != want {
			t.Errorf("%v before: %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-1: "", 0: "0.0 s", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s", 118 * time.Second: "1 min 58 s", 3*time.Hour + 5*time.Minute: "3 h 05 min",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestLogLines(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain\n": "plain", "\x1b[1;32mgreen\x1b[0m\n": "green", "1%\r2%\r100%\r\n": "100%", "\x1b]0;title\x07x": "x", "\x1b]0;t\x1b\\x": "x",
		"a\x00b\x07c\td": "abc\td", "\x1bMup": "up", "\x1b[?25lhidden\x1b[K": "hidden", "": "",
	} {
		if got := newLogLine(in).Text; got != want {
			t.Errorf("%q shows as %q, want %q", in, got, want)
		}
	}
}

func TestReadTailKeepsWholeLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "one\ntwo": "one|two", "a long first line\nlast\n": "last", "xxxxxxxxxxxxxxxxxxxxxxxx": "", "bad \xff\n": "bad \uFFFD"} {
		v, err := readTail(strings.NewReader(text), 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range v.Lines {
			got = append(got, l.Text)
		}
		if strings.Join(got, "|") != want || v.Cut != (len(text) > 10) {
			t.Errorf("the tail of %q is %q, cut %v", text, got, v.Cut)
		}
	}
}

func FuzzLogLine(f *testing.F) {
	f.Add("\x1b[31m<script>\x1b]0;x\x07\r")
	f.Fuzz(func(t *testing.T, s string) {
		if got := newLogLine(s).Text; strings.ContainsAny(got, "\x1b\r\n\x00") {
			t.Fatalf("%q shows as %q", s, got)
		}
	})
}
