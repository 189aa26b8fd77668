package window

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newSpool(t *testing.T) *Spool {
	t.Helper()
	s, err := NewSpool(filepath.Join(t.TempDir(), "serial"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// collect returns what a reader that begins at an offset gets.
func collect(t *testing.T, follow func(fn func(int64, []byte) error) error) string {
	t.Helper()
	var all bytes.Buffer
	if err := follow(func(_ int64, chunk []byte) error { all.Write(chunk); return nil }); err != nil {
		t.Error(err)
	}
	return all.String()
}

// A reader sees everything once, whenever it comes and wherever it goes on.
func TestFollow(t *testing.T) {
	t.Parallel()
	s := newSpool(t)
	var want strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&want, "line %d\r\n", i)
	}
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for line := range strings.SplitAfterSeq(want.String(), "\n") {
			_, _ = io.WriteString(s, line)
		}
		_ = s.Close()
	}()
	var got bytes.Buffer
	pause := errors.New("pause")
	for at, done := int64(0), false; !done; { // comes back again and again
		err := s.Follow(t.Context(), at, func(next int64, chunk []byte) error {
			got.Write(chunk)
			if at += int64(len(chunk)); next != at {
				t.Errorf("place %d after %d bytes", next, at)
			}
			return pause
		})
		done = err == nil
		if err != nil && !errors.Is(err, pause) {
			t.Fatal(err)
		}
	}
	<-writing
	if got.String() != want.String() {
		t.Errorf("%d bytes instead of %d", got.Len(), want.Len())
	}
	for offset, tail := range map[int64]string{0: want.String(), 3: want.String()[3:], -6: "4999\r\n", -1 << 40: want.String(), 1 << 40: ""} {
		if collect(t, func(fn func(int64, []byte) error) error { return s.Follow(t.Context(), offset, fn) }) != tail {
			t.Errorf("following from %d", offset)
		}
		if collect(t, func(fn func(int64, []byte) error) error { return ReadSpool(t.Context(), s.path, offset, fn) }) != tail {
			t.Errorf("reading from %d", offset)
		}
	}
	if _, err := NewSpool(s.path); err == nil {
		t.Error("a spool was overwritten")
	}
}

func TestFollowEndsWithItsReader(t *testing.T) {
	t.Parallel()
	s := newSpool(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	left := errors.New("left")
	_, _ = io.WriteString(s, "x")
	if err := s.Follow(ctx, 0, func(int64, []byte) error { cancel(left); return nil }); !errors.Is(err, left) {
		t.Error(err)
	}
}

func TestSpoolIsCut(t *testing.T) {
	t.Parallel()
	s := newSpool(t)
	s.limit = 10
	for range 5 {
		if n, err := io.WriteString(s, "1234"); n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(s.path)
	if text := string(data); err != nil || !strings.HasPrefix(text, "1234123412\r\n[") || strings.Count(text, "left out") != 1 || len(text) > 100 {
		t.Errorf("%q, %v", text, err)
	}
}

// machineLog is a serial log as a hypervisor writes it.
type machineLog struct {
	t    *testing.T
	path string
}

func (m machineLog) prints(text string) {
	m.t.Helper()
	f, err := os.OpenFile(m.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err != nil || f.Close() != nil {
		m.t.Fatal(err)
	}
}

// rotates moves the logs as virtlogd does: X becomes X.0, X.0 becomes X.1 and so on, and the last one goes.
func (m machineLog) rotates() {
	m.t.Helper()
	for i := 2; i >= 0; i-- {
		from := m.path
		if i > 0 {
			from = fmt.Sprintf("%s.%d", m.path, i-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", m.path, i)); err != nil && !os.IsNotExist(err) {
			m.t.Fatal(err)
		}
	}
}

// TestTail looks by hand, so that it is known what happens between two looks.
func TestTail(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do   func(m machineLog, look func())
		want string
	}{
		"nothing": {func(_ machineLog, look func()) { look(); look() }, ""},
		"grows": {func(m machineLog, look func()) {
			look()
			m.prints("a")
			look()
			m.prints("b")
			look()
			look()
		}, "ab"},
		"rotates": {func(m machineLog, look func()) {
			m.prints("a")
			look()
			m.prints("b")
			m.rotates()
			m.prints("c")
			look()
		}, "abc"},
		"between": {func(m machineLog, look func()) {
			m.prints("a")
			look()
			m.prints("b")
			m.rotates()
			look()
			m.prints("c")
			look()
		}, "abc"},
		"rotates thrice": {func(m machineLog, look func()) {
			m.prints("a")
			look()
			m.rotates()
			m.prints("b")
			m.rotates()
			m.prints("c")
			m.rotates()
			m.prints("d")
			look()
		}, "abcd"},
		"later": {func(m machineLog, look func()) {
			m.prints("a")
			look()
			m.rotates()
			m.prints("b")
			look()
			m.prints("c")
			look()
			m.rotates()
			m.prints("d")
			look()
		}, "abcd"},
		"emptied": {func(m machineLog, look func()) {
			m.prints("long")
			look()
			_ = os.Truncate(m.path, 0)
			m.prints("b")
			look()
		}, "longb"},
		"removed": {func(m machineLog, look func()) {
			m.prints("a")
			look()
			m.prints("b")
			_ = os.Remove(m.path)
			look()
			look()
		}, "ab"},
		"made anew": {func(m machineLog, look func()) { m.prints("a"); look(); _ = os.Remove(m.path); m.prints("b"); look() }, "ab"},
		"is not readable": {func(m machineLog, look func()) {
			_ = os.Mkdir(m.path, 0o700)
			look()
			_ = os.Remove(m.path)
			m.prints("a")
			look()
		}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machineLog{t, filepath.Join(t.TempDir(), "serial.log")}
			var got bytes.Buffer
			tail := &Tail{To: &got, Path: func() string { return m.path }}
			tt.do(m, tail.Look)
			tail.close()
			if got.String() != tt.want {
				t.Errorf("%q, want %q", &got, tt.want)
			}
		})
	}
}

// A build has one machine after another; the last words of each are copied, the very last ones too.
func TestTailOfSeveralMachines(t *testing.T) {
	t.Parallel()
	one, two := machineLog{t, filepath.Join(t.TempDir(), "log")}, machineLog{t, filepath.Join(t.TempDir(), "log")}
	path := ""
	var got bytes.Buffer
	tail := &Tail{To: &got, Path: func() string { return path }}
	tail.Look()
	path = one.path
	one.prints("one")
	tail.Look()
	one.prints(" ends;")
	path = two.path
	two.prints("two")
	tail.Look()
	path = "" // the machine is gone
	two.prints(" ends")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tail.Copy(ctx)
	if got.String() != "one ends;two ends" {
		t.Errorf("%q", &got)
	}
}

func TestCopyGoesOn(t *testing.T) {
	t.Parallel()
	m, s := machineLog{t, filepath.Join(t.TempDir(), "log")}, newSpool(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&Tail{To: s, Path: func() string { return m.path }, Every: time.Millisecond}).Copy(ctx)
		_ = s.Close()
	}()
	m.prints("0")
	seen := collect(t, func(fn func(int64, []byte) error) error {
		return s.Follow(t.Context(), 0, func(next int64, chunk []byte) error {
			if next < 5 {
				m.prints(fmt.Sprint(next))
			} else {
				cancel()
			}
			return fn(next, chunk)
		})
	})
	<-done
	if seen != "01234" {
		t.Errorf("%q", seen)
	}
}
