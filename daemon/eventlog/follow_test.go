package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func open(t *testing.T, b *Book, path string) *Writer {
	t.Helper()
	w, err := b.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func closeLog(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func say(text string) build.Event { return build.Event{Kind: build.EventSay, Text: text} }

func text(t testing.TB, l Line) string {
	t.Helper()
	var e build.Event
	if err := json.Unmarshal(l.Event, &e); err != nil {
		t.Errorf("half an event, %q: %v", l.Event, err)
	}
	return e.Text
}

// read returns the texts of a closed log from offset on.
func read(t testing.TB, b *Book, path string, offset int64) []string {
	t.Helper()
	var texts []string
	err := b.Follow(context.Background(), path, offset, func(l Line) error {
		texts = append(texts, text(t, l))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return texts
}

func TestFollowFromAnyOffset(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	for i := range 5 {
		w.Emit(say(strings.Repeat("ä\n", i)))
	}
	closeLog(t, w)
	var whole []Line
	if err := b.Follow(t.Context(), path, 0, func(l Line) error {
		whole = append(whole, Line{l.Next, append([]byte(nil), l.Event...)})
		return nil
	}); err != nil || len(whole) != 5 {
		t.Fatalf("%d lines, %v", len(whole), err)
	}
	size := whole[4].Next
	for offset := range size + 10 {
		want := whole // those that end after the offset
		for len(want) > 0 && want[0].Next <= offset {
			want = want[1:]
		}
		got := 0
		if err := b.Follow(t.Context(), path, offset, func(l Line) error {
			if got >= len(want) || l.Next != want[got].Next || string(l.Event) != string(want[got].Event) {
				t.Errorf("from %d: line %d is %q", offset, got, l.Event)
			}
			got++
			return nil
		}); err != nil || got != len(want) {
			t.Fatalf("from %d: %d lines of %d, %v", offset, got, len(want), err)
		}
	}
}

// A line longer than any buffer is one line still.
func TestLongLines(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	long := strings.Repeat("x", 300<<10)
	w.Emit(say(long))
	w.Emit(say("end"))
	closeLog(t, w)
	for _, offset := range []int64{0, 200 << 10} {
		if d := cmp.Diff([]string{long, "end"}, read(t, &b, path, offset)); d != "" {
			t.Errorf("from %d the log differs", offset)
		}
	}
}

// Two hundred readers follow a build and one of them never reads on. The build does not wait for it, every other reader
// sees every line, and so does the slow one, once it reads.
func TestReadersNeverHoldUpTheWriter(t *testing.T) {
	t.Parallel()
	const readers, lines = 200, 300
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	stuck, release := make(chan struct{}), make(chan struct{})
	counts := make([]int, readers)
	errs := make([]error, readers)
	var fast, slow sync.WaitGroup
	follow := func(i int, group *sync.WaitGroup, first func()) {
		group.Go(func() {
			errs[i] = b.Follow(t.Context(), path, 0, func(l Line) error {
				if counts[i] == 0 {
					first()
				}
				if got := text(t, l); got != fmt.Sprint(counts[i]) {
					return fmt.Errorf("line %d is %q", counts[i], got)
				}
				counts[i]++
				return nil
			})
		})
	}
	for i := range readers - 1 {
		follow(i, &fast, func() {})
	}
	follow(readers-1, &slow, func() { close(stuck); <-release })
	w.Emit(say("0"))
	<-stuck
	for i := 1; i < lines; i++ {
		w.Emit(say(fmt.Sprint(i)))
	}
	closeLog(t, w)
	fast.Wait()
	close(release)
	slow.Wait()
	for i := range readers {
		if counts[i] != lines || errs[i] != nil {
			t.Errorf("reader %d saw %d lines, %v", i, counts[i], errs[i])
		}
	}
}

// The writer waits for the reader before each next line, so a wake-up that is lost hangs the test.
func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	const readers, lines = 4, 500
	seen := make(chan string)
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			if err := b.Follow(t.Context(), path, 0, func(l Line) error { seen <- text(t, l); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range lines {
		w.Emit(say(fmt.Sprint(i)))
		for range readers {
			if got := <-seen; got != fmt.Sprint(i) {
				t.Errorf("line %d is %q", i, got)
			}
		}
	}
	closeLog(t, w)
	all.Wait()
}

// Followers that come while a log is closed see all of it, and end.
func TestCloseEndsFollowers(t *testing.T) {
	t.Parallel()
	var b Book
	dir := t.TempDir()
	for i := range 100 {
		path := filepath.Join(dir, fmt.Sprint(i))
		w := open(t, &b, path)
		w.Emit(say("first"))
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if d := cmp.Diff([]string{"first", "last"}, read(t, &b, path, 0)); d != "" {
					t.Error(d)
				}
			})
		}
		w.Emit(say("last"))
		closeLog(t, w)
		all.Wait()
	}
	if len(b.open) != 0 {
		t.Errorf("%d logs are still open", len(b.open))
	}
}

func TestFollowEndsWithItsContextAndItsReader(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	defer closeLog(t, w)
	w.Emit(say("one"))
	ctx, cancel := context.WithCancelCause(t.Context())
	err := b.Follow(ctx, path, 0, func(Line) error { cancel(build.ErrStopping); return nil })
	if !errors.Is(err, build.ErrStopping) {
		t.Errorf("the context ended: %v", err)
	}
	if err := b.Follow(t.Context(), path, 0, func(Line) error { return syscall.EPIPE }); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the reader left: %v", err)
	}
	if err := b.Follow(t.Context(), path+".none", 0, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
}

// A reader that meets the first half of a line waits for the second.
func TestHalfWrittenLine(t *testing.T) {
	t.Parallel()
	var b Book
	path := filepath.Join(t.TempDir(), "log")
	w := open(t, &b, path)
	w.Emit(say("one"))
	seen := make(chan string, 3)
	done := make(chan error, 1)
	go func() { done <- b.Follow(t.Context(), path, 0, func(l Line) error { seen <- text(t, l); return nil }) }()
	<-seen
	for _, part := range []string{`{"kind":"say",`, `"text":"two"}`, "\n"} {
		select {
		case got := <-seen:
			t.Errorf("%q was read before the line had ended", got)
		default:
		}
		if _, err := w.f.WriteString(part); err != nil {
			t.Fatal(err)
		}
		w.wake.notify()
	}
	if got := <-seen; got != "two" {
		t.Error(got)
	}
	closeLog(t, w)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A crash in the middle of a line does not spoil what the next daemon writes.
func TestOpenDropsHalfALine(t *testing.T) {
	t.Parallel()
	for name, half := range map[string]string{
		"short": `{"kind":"say","te`, "long": `{"text":"` + strings.Repeat("x", 200<<10), "none": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, before := range []string{"", `{"text":"before"}` + "\n"} {
				path := filepath.Join(t.TempDir(), "log")
				if err := os.WriteFile(path, []byte(before+half), 0o600); err != nil {
					t.Fatal(err)
				}
				var b Book
				w := open(t, &b, path)
				w.Emit(say("after"))
				closeLog(t, w)
				want := []string{"after"}
				if before != "" {
					want = []string{"before", "after"}
				}
				if d := cmp.Diff(want, read(t, &b, path, 0)); d != "" {
					t.Error(d)
				}
				if d := cmp.Diff([]string{"after"}, read(t, &b, path, int64(len(before)))); d != "" {
					t.Error("a reader that goes on after the crash:", d)
				}
			}
		})
	}
}
