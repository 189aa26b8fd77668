package eventlog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	w.Emit(say("before hunter2"))
	w.Redact(func(s string) string { return strings.ReplaceAll(s, "hunter2", "[redacted]") })
	for _, kind := range []build.EventKind{build.EventSay, build.EventMessage, build.EventError, build.EventStep, build.EventSeed} {
		w.Emit(build.Event{Kind: kind, Text: "hunter2"})
	}
	closeLog(t, w)
	data, err := os.ReadFile(path)
	if err != nil || strings.Count(string(data), "hunter2") != 1 || strings.Count(string(data), "[redacted]") != 5 {
		t.Errorf("%s, %v", data, err)
	}
}

// A guest that prints without end fills no disk: the log says where output was left out, and goes on with what matters.
func TestLimit(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	w.Emit(build.Event{Kind: build.EventMessage, Text: "kept"})
	w.size = Limit // as if so much had been written
	for range 1000 {
		for _, kind := range []build.EventKind{build.EventMessage, build.EventSeed, build.EventProgress} {
			w.Emit(build.Event{Kind: kind, Text: "flood", Done: 1, Total: 1})
		}
	}
	for _, kind := range []build.EventKind{build.EventSay, build.EventError, build.EventStep, build.EventState, build.EventArtifact, build.EventQuestion} {
		w.Emit(build.Event{Kind: kind, Text: string(kind)})
	}
	closeLog(t, w)
	want := []string{"kept", "the log has reached 256 MiB: from here on output is left out", "say", "error", "step", "state", "artifact", "question"}
	if d := cmp.Diff(want, read(t, &b, path, 0)); d != "" {
		t.Error(d)
	}
}

// A log that is continued counts what it has.
func TestLimitCountsWhatIsThere(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := open(t, &b, path)
	w.Emit(say("x"))
	info, err := os.Stat(path)
	if err != nil || w.size != info.Size() {
		t.Errorf("counted %d of %d, %v", w.size, info.Size(), err)
	}
	closeLog(t, w)
}

func TestProgressIsThinned(t *testing.T) {
	t.Parallel()
	for name, total := range map[string]int64{"known total": 1000, "unknown total": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b Book
			path := filepath.Join(t.TempDir(), "log")
			w := open(t, &b, path)
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i := int64(1); i <= 1000; i++ { // a second in all
				w.Emit(build.Event{Time: now, Kind: build.EventProgress, Text: "iso", Done: i, Total: total})
				w.Emit(build.Event{Time: now, Kind: build.EventProgress, Text: "box", Done: i, Total: total})
				now = now.Add(time.Millisecond)
			}
			closeLog(t, w)
			lines := read(t, &b, path, 0)
			if n := len(lines); n < 8 || n > 10 { // 4 of each, and the end if there is one
				t.Errorf("%d events were kept: %v", n, lines)
			}
		})
	}
}

// A full disk costs the log, not the build; Close tells, and readers are let go.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	var b Book
	w := open(t, &b, "/dev/full")
	w.Emit(say("lost"))
	w.Emit(say("lost too"))
	if err := w.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if len(b.open) != 0 {
		t.Error("the log is still open to readers")
	}
}

func TestEmitAfterClose(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	w.Emit(say("one"))
	closeLog(t, w)
	w.Emit(say("straggler"))
	if d := cmp.Diff([]string{"one"}, read(t, &b, path, 0)); d != "" {
		t.Error(d)
	}
}

// A writer that is closed late does not end the log of its successor.
func TestSuccessorKeepsItsReaders(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	first := open(t, &b, path)
	second := open(t, &b, path)
	closeLog(t, first)
	seen := make(chan string)
	done := make(chan error, 1)
	go func() { done <- b.Follow(t.Context(), path, 0, func(l Line) error { seen <- text(t, l); return nil }) }()
	for _, s := range []string{"one", "two"} {
		second.Emit(say(s))
		if got := <-seen; got != s {
			t.Error(got)
		}
	}
	closeLog(t, second)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Events of several goroutines never mix within a line.
func TestConcurrentEmit(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				w.Emit(say(strings.Repeat("y", 5000)))
			}
		})
	}
	all.Wait()
	closeLog(t, w)
	if got := len(read(t, &b, path, 0)); got != 800 {
		t.Errorf("%d lines", got)
	}
}
