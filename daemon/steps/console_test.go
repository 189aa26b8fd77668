package steps

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const lastWords = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"

func TestPanicScan(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":              {"", ""},
		"a boot":               {"[    0.0] Linux version 6.1\r\n[    1.0] Run /init as init process\r\ndebian login: ", ""},
		"linux":                {"[    1.5] " + lastWords + "\r\n[    1.6] CPU: 0\r\n", lastWords},
		"its end alone":        {"[    1.7] ---[ end " + lastWords + " ]---\r\n", lastWords},
		"in colours":           {"\x1b[0;31m[ 1.5] " + lastWords + "\x1b[0m\n", lastWords + "[0m"},
		"after what is cut":    {strings.Repeat("x", 10*consoleLine-20) + lastWords + "\n", lastWords},
		"after zeros":          {strings.Repeat("\x00", 5*consoleLine) + "\n" + lastWords + "\n", lastWords},
		"no end of the line":   {strings.Repeat("y", consoleLine) + lastWords + strings.Repeat("z", consoleLine), ""},
		"freebsd":              {"panic: vm_fault: fault on nofault entry\r\ncpuid = 1\r\n", "panic: vm_fault: fault on nofault entry"},
		"openbsd":              {"panic: init died\nStopped at      db_enter+0x14\n", "panic: init died"},
		"netbsd":               {"panic: cannot mount root\ncpu0: Begin traceback...\n", "panic: cannot mount root"},
		"a program in go":      {"panic: runtime error: index out of range\r\n\r\ngoroutine 1 [running]:\r\n", ""},
		"panics much later":    {"panic: one\nok\ncpuid = 1\n", ""},
		"only talks about it":  {"kernel.panic = 10\nno kernel panic here\n", ""},
		"not text":             {"\xff\xfe\x80" + lastWords + "\xff\n", lastWords},
		"empty lines between":  {"panic: x\r\n\r\n\r\ncpuid = 0\r\n", "panic: x"},
		"a line of a megabyte": {strings.Repeat("a", 1<<20) + "\n" + lastWords + "\n", lastWords},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, chunk := range []int{1, 7, 64, consoleLine - 1, consoleLine, consoleChunk, len(tc.text) + 1} {
				var s panicScan
				for rest := []byte(tc.text); len(rest) > 0; {
					n := min(chunk, len(rest))
					s.write(rest[:n])
					rest = rest[n:]
				}
				found := strings.ToValidUTF8(s.found, "")
				if name == "no end of the line" { // it may be cut, not missed
					if !strings.HasPrefix(found, "Kernel panic - not syncing: VFS") || len(found) > consoleTold {
						t.Errorf("in chunks of %d: found %q", chunk, found)
					}
					continue
				}
				if strings.TrimRight(found, "\uFFFD") != tc.want {
					t.Errorf("in chunks of %d: found %q, want %q", chunk, found, tc.want)
				}
			}
		})
	}
}

func FuzzPanicScan(f *testing.F) {
	for _, s := range []string{"", lastWords, "panic: x\ncpuid = 1\n", "\r\n\r", "\x00\xff\x1b[2J"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		chunks := rand.New(rand.NewPCG(seed, 0))
		var whole, parts panicScan
		whole.write(b)
		for rest := b; len(rest) > 0; {
			n := 1 + chunks.IntN(len(rest))
			parts.write(rest[:n])
			rest = rest[n:]
		}
		if whole.found != parts.found {
			t.Errorf("chunks change what is found: %q and %q", whole.found, parts.found)
		}
		if len(whole.found) > consoleTold || cap(whole.line) > 4*consoleLine || strings.ContainsAny(whole.found, "\x1b\r\n") {
			t.Errorf("found %q, holds %d bytes", whole.found, cap(whole.line))
		}
		if !bytes.ContainsAny(b, "\r\n") && len(b) < consoleLine && bytes.Contains(b, []byte(linuxPanic)) && parts.match(parts.line) == "" {
			t.Errorf("%q is missed", b)
		}
	})
}

func TestConsoleFollowsTheLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "serial.log")
	c := console{path: path}
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	silent := func(when string) {
		t.Helper()
		if got := c.look(); got != "" {
			t.Fatalf("%s: %q", when, got)
		}
	}
	silent("no log yet")
	add(strings.Repeat("booting\r\n", consoleChunk/4))
	silent("a boot")
	add("[    1.5] Kernel pa")
	silent("half a word")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	silent("a log that was cut")
	add("nic - not syncing: no\r\n")
	silent("the other half in a new log")
	if err := os.Rename(path, path+".0"); err != nil {
		t.Fatal(err)
	}
	add(strings.Repeat("rotated\r\n", consoleChunk/4) + "[    1.5] Kernel panic - not sync")
	silent("a new log")
	add("ing: Attempted to kill init!")
	silent("a line that may go on")
	if got, want := c.look(), "Kernel panic - not syncing: Attempted to kill init!"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
