package libvirt

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPrograms: a program is run once for the same question, and again once its file has changed or the answer is old. It is not
// parallel: a process that another test forks meanwhile could hold the program open for writing, and it would not run.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	program, runs := filepath.Join(dir, "qemu"), filepath.Join(dir, "runs")
	write := func(says string) {
		t.Helper()
		text := "#!/bin/sh\necho $1 >>" + runs + "\necho " + says + " $1\n"
		if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var p programs
	now := time.Now()
	p.now = func() time.Time { return now }
	ask := func(arg, want string, wantRuns string) {
		t.Helper()
		out, err := p.ask(t.Context(), program, arg)
		if err != nil || string(out) != want+"\n" {
			t.Errorf("%s: %q, %v; want %q", arg, out, err, want)
		}
		if ran, err := os.ReadFile(runs); err != nil || string(ran) != wantRuns {
			t.Errorf("it ran for %q, %v; want %q", ran, err, wantRuns)
		}
	}
	write("one")
	ask("a", "one a", "a\n")
	ask("a", "one a", "a\n")
	ask("b", "one b", "a\nb\n")
	write("other")
	ask("a", "other a", "a\nb\na\n")
	now = now.Add(saidKept)
	ask("a", "other a", "a\nb\na\na\n")
	if _, err := p.ask(t.Context(), filepath.Join(dir, "none"), "a"); err == nil {
		t.Error("a program that is not there has an answer")
	}
}
