package web

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
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

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "\x1b[1;32mgreen\x1b[0m": "green", "1%\r2%\r100%\r": "100%", "\x1b]0;title\x07x": "x", "\x1b]0;t\x1b\\x": "x",
		"a\x00b\x07c\td": "abc\td", "\x1bMup": "up", "\x1b[?25lhidden\x1b[K": "hidden", "": "", "one\r\ntwo\n": "one\ntwo\n", "bad \xff": "bad \uFFFD",
		"evil\u202etxt.exe\u2066": "eviltxt.exe",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q shows as %q, want %q", in, got, want)
		}
	}
}

func TestTTYInPieces(t *testing.T) {
	t.Parallel()
	const whole = "boot\r\n\x1b[1;32mok\x1b[0m 10%\r100%\r\nünd \x1b]0;title\x07end\n"
	const want = "boot\nok 10%\r100%\nünd end\n"
	for size := 1; size <= len(whole); size++ {
		var tty tty
		var got strings.Builder
		for at := 0; at < len(whole); at += size {
			got.WriteString(tty.text([]byte(whole[at:min(at+size, len(whole))])))
		}
		if got.String() != want {
			t.Errorf("in pieces of %d: %q, want %q", size, got.String(), want)
		}
	}
}

func TestTTYDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	var tty tty
	tty.text([]byte("\x1b]0;"))
	var got string
	for range maxSequence {
		got += tty.text([]byte("xx"))
	}
	if !strings.HasSuffix(got, "xx") || len(tty.rest) > maxSequence {
		t.Errorf("a sequence without an end holds back %d bytes", len(tty.rest))
	}
}

func FuzzTTY(f *testing.F) {
	f.Add([]byte("\x1b[31m<script>\x1b]0;x\x07\r"), 3)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var tty tty
		cut = max(0, min(cut, len(in)))
		got := tty.text(in[:cut]) + tty.text(in[cut:]) + clean(string(in))
		if strings.ContainsAny(got, "\x1b\x00\x07") || !utf8.ValidString(got) {
			t.Fatalf("%q shows as %q", in, got)
		}
	})
}

func TestClock(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "0:00", 65 * time.Second: "1:05", 3725 * time.Second: "1:02:05"} {
		if got := clock(d); got != want {
			t.Errorf("clock(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	var many []build.Moment
	for i := range 1000 {
		many = append(many, build.Moment{Kind: build.EventSeed, Name: "GET /ks.cfg", Status: 200, Size: 5, At: noon.Add(time.Duration(i) * time.Second)})
	}
	v := newTimeline(many, noon.Add(1000*time.Second))
	if len(v.Rows) != maxMoments || v.Left != 800 || v.LeftAt != 100 || v.Rows[100].At != "15:00" || v.Rows[0].Detail != "200, 5 B" {
		t.Errorf("%d rows, %d left out before %d; %+v", len(v.Rows), v.Left, v.LeftAt, v.Rows[100])
	}
	v = newTimeline([]build.Moment{
		{Kind: build.EventStep, Name: "a", Phase: build.StepDone, At: noon, Seconds: 25},
		{Kind: build.EventStep, Name: "b", Phase: build.StepBegan, At: noon.Add(50 * time.Second)},
		{Kind: build.EventStep, Name: "c", Phase: build.StepCached, At: noon.Add(50 * time.Second), Detail: "made 3 h ago"},
	}, noon.Add(100*time.Second))
	want := []momentView{
		{Name: "a", Kind: build.EventStep, State: "done", At: "0:00", Took: "25 s", X: "0.0%", Width: "25.0%"},
		{Name: "b", Kind: build.EventStep, State: "running", At: "0:50", Took: "50 s", X: "50.0%", Width: "50.0%"},
		{Name: "c", Kind: build.EventStep, State: "cached", At: "0:50", X: "50.0%", Detail: "made 3 h ago"},
	}
	if diff := cmp.Diff(want, v.Rows); diff != "" || v.Total != "1 min 40 s" {
		t.Errorf("total %s (-want +got):\n%s", v.Total, diff)
	}
	if v := newTimeline(nil, noon); len(v.Rows) != 0 {
		t.Errorf("no moments make %+v", v)
	}
	newTimeline([]build.Moment{{Kind: build.EventStep, Phase: build.StepDone, At: noon, Seconds: 5}}, time.Time{}) // a clock that went back
}
