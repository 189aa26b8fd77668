// Package guesttest is the conformance suite of the provisioners.Guest port. Each guest, real or fake, calls [Run] in its
// tests with a way to make one; a guest that passes can be used by every provisioner.
package guesttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/provisioners"
)

// Subject is a guest to be tested.
type Subject struct {
	Guest provisioners.Guest // the suite closes it
	Dir   string             // an empty directory in the guest, absolute, with a POSIX shell's path syntax
	Drop  func()             // cuts the guest's connection; nil if that cannot be done
}

// Run runs the suite. New is called once for each test, at the same time as others; what it opens besides the guest it
// closes by t.Cleanup.
func Run(t *testing.T, newSubject func(t *testing.T) Subject) {
	tests := map[string]func(*testing.T, Subject){
		"exit status":             testStatus,
		"streams":                 testStreams,
		"unread input":            testUnreadInput,
		"several commands":        testSeveral,
		"failing output":          testFailingOutput,
		"cancellation":            testCancel,
		"files":                   testFiles,
		"modes":                   testModes,
		"missing and forbidden":   testMissing,
		"broken source":           testBrokenSource,
		"directories":             testTree,
		"lost connection":         testDrop,
		"closed":                  testClosed,
		"cancelled before a call": testCancelledBefore,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSubject(t)
			t.Cleanup(func() {
				if err := s.Guest.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test(t, s)
		})
	}
}

// limit ends a test that hangs, long before the test binary does.
func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func testStatus(t *testing.T, s Subject) {
	for line, want := range map[string]int{"true": 0, "exit 1": 1, "exit 255": 255, "kill -TERM $$": 128 + 15} {
		got, err := s.Guest.Run(limit(t), provisioners.Command{Line: line})
		if err != nil || got != want {
			t.Errorf("%s: status %d and error %v, want %d", line, got, err, want)
		}
	}
}

func testStreams(t *testing.T, s Subject) {
	var out, errOut bytes.Buffer
	status, err := s.Guest.Run(limit(t), provisioners.Command{
		Line: "cat; echo complaint >&2; exit 4", Stdin: strings.NewReader("input\n"), Stdout: &out, Stderr: &errOut,
	})
	if err != nil || status != 4 || out.String() != "input\n" || errOut.String() != "complaint\n" {
		t.Errorf("status %d, error %v, output %q, error output %q", status, err, &out, &errOut)
	}
	var both bytes.Buffer // one writer for both
	_, err = s.Guest.Run(limit(t), provisioners.Command{Line: "seq 1 2000; seq 1 2000 >&2", Stdout: &both, Stderr: &both})
	if err != nil || strings.Count(both.String(), "\n") != 4000 {
		t.Errorf("%v; %d lines, want 4000", err, strings.Count(both.String(), "\n"))
	}
}

func testUnreadInput(t *testing.T, s Subject) {
	status, err := s.Guest.Run(limit(t), provisioners.Command{Line: "exit 3", Stdin: bytes.NewReader(make([]byte, 8<<20))})
	if err != nil || status != 3 {
		t.Errorf("status %d and error %v, want 3", status, err)
	}
}

func testSeveral(t *testing.T, s Subject) {
	ctx := limit(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			var out bytes.Buffer
			if _, err := s.Guest.Run(ctx, provisioners.Command{Line: "echo hello", Stdout: &out}); err != nil || out.String() != "hello\n" {
				t.Errorf("%q, %v", &out, err)
			}
		})
	}
	wg.Wait()
}

type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }

func testFailingOutput(t *testing.T, s Subject) {
	full := errors.New("disk full")
	_, err := s.Guest.Run(limit(t), provisioners.Command{Line: "while :; do echo x; done", Stdout: brokenWriter{full}})
	if !errors.Is(err, full) {
		t.Errorf("got %v, want the writer's error", err)
	}
	if status, err := s.Guest.Run(limit(t), provisioners.Command{Line: "exit 5"}); status != 5 || err != nil {
		t.Errorf("afterwards: %d, %v", status, err)
	}
}

// firstWrite tells that something was written.
type firstWrite struct {
	once sync.Once
	seen chan struct{}
}

func (f *firstWrite) Write(p []byte) (int, error) {
	f.once.Do(func() { close(f.seen) })
	return len(p), nil
}

func testCancel(t *testing.T, s Subject) {
	died := errors.New("the machine died")
	ctx, cancel := context.WithCancelCause(limit(t))
	running := &firstWrite{seen: make(chan struct{})}
	go func() {
		<-running.seen
		cancel(died)
	}()
	began := time.Now()
	_, err := s.Guest.Run(ctx, provisioners.Command{Line: "echo $$ > " + s.Dir + "/pid; echo running; exec sleep 1000", Stdout: running})
	if !errors.Is(err, died) || time.Since(began) > 2*time.Minute {
		t.Fatalf("got %v after %v, want the context's cause at once", err, time.Since(began))
	}
	status, err := s.Guest.Run(limit(t), provisioners.Command{
		Line: "i=0; while kill -0 $(cat " + s.Dir + "/pid) 2>/dev/null; do i=$((i+1)); [ $i -lt 300 ] || exit 1; sleep 0.2; done",
	})
	if err != nil || status != 0 {
		t.Errorf("the cancelled command still runs (%d, %v)", status, err)
	}
}

func testCancelledBefore(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Guest.Run(ctx, provisioners.Command{Line: "true"})
	for what, err := range map[string]error{
		"run": err,
		"put": s.Guest.Put(ctx, s.Dir+"/f", 0o600, strings.NewReader("x")),
		"get": s.Guest.Get(ctx, s.Dir+"/f", io.Discard),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", what, err)
		}
	}
}

func testDrop(t *testing.T, s Subject) {
	if s.Drop == nil {
		t.Skip("this guest's connection cannot be cut")
	}
	running := &firstWrite{seen: make(chan struct{})}
	go func() {
		<-running.seen
		s.Drop()
	}()
	_, err := s.Guest.Run(limit(t), provisioners.Command{Line: "echo running; exec sleep 1000", Stdout: running})
	if !errors.Is(err, provisioners.ErrDisconnected) {
		t.Errorf("got %v, want ErrDisconnected", err)
	}
	if status, err := s.Guest.Run(limit(t), provisioners.Command{Line: "exit 6"}); status != 6 || err != nil {
		t.Errorf("no new connection: %d, %v", status, err)
	}
	s.Drop()
	if err := s.Guest.Put(limit(t), s.Dir+"/f", 0o600, strings.NewReader("x")); err != nil {
		t.Errorf("no new connection for a file: %v", err)
	}
}

func testClosed(t *testing.T, s Subject) {
	if err := s.Guest.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Guest.Run(limit(t), provisioners.Command{Line: "true"}); err == nil {
		t.Error("a closed guest ran a command")
	}
	if err := s.Guest.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func put(t *testing.T, s Subject, name string, mode fs.FileMode, content string) {
	t.Helper()
	// A reader of unknown length, as from a network.
	if err := s.Guest.Put(limit(t), s.Dir+"/"+name, mode, io.MultiReader(strings.NewReader(content))); err != nil {
		t.Errorf("put %q: %v", name, err)
	}
}

func get(t *testing.T, s Subject, name string) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Guest.Get(limit(t), s.Dir+"/"+name, &b); err != nil {
		t.Errorf("get %q: %v", name, err)
	}
	return b.String()
}

func testFiles(t *testing.T, s Subject) {
	big := strings.Repeat("\x00\xff\r\n'\"", 500_000)
	for name, content := range map[string]string{
		"plain": "hello\n", "empty": "", "big": big,
		"two words": "a", "it's": "b", `quo"te`: "c", "-n": "d", "$HOME": "e", "`id`": "f", "semi;colon": "g", "é*?[x]": "h", "back\\slash": "i",
	} {
		put(t, s, name, 0o644, content)
		if got := get(t, s, name); got != content {
			t.Errorf("%q: %d bytes came back, want %d", name, len(got), len(content))
		}
	}
	put(t, s, "plain", 0o644, "short")
	if got := get(t, s, "plain"); got != "short" {
		t.Errorf("a file that was there: got %q", got)
	}
}

func testModes(t *testing.T, s Subject) {
	for _, tc := range []struct {
		mode fs.FileMode
		want string
	}{{0o600, "-rw-------"}, {0o755, "-rwxr-xr-x"}, {0o644, "-rw-r--r--"}, {0o400, "-r--------"}} {
		put(t, s, "file", tc.mode, "x")
		var out bytes.Buffer
		if _, err := s.Guest.Run(limit(t), provisioners.Command{Line: "ls -l " + s.Dir + "/file", Stdout: &out}); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := strings.Cut(out.String(), " "); strings.TrimRight(got, ".+") != tc.want {
			t.Errorf("mode %v: got %s, want %s", tc.mode, got, tc.want)
		}
	}
}

func testMissing(t *testing.T, s Subject) {
	if err := s.Guest.Get(limit(t), s.Dir+"/none", io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get: %v, want fs.ErrNotExist", err)
	}
	if err := s.Guest.Put(limit(t), s.Dir+"/no/directory/f", 0o644, strings.NewReader("x")); err == nil {
		t.Error("put into a directory that is not there worked")
	}
	if err := s.Guest.Put(limit(t), s.Dir, 0o644, strings.NewReader("x")); err == nil {
		t.Error("put onto a directory worked")
	}
	if err := s.Guest.Get(limit(t), s.Dir, io.Discard); err == nil {
		t.Error("get of a directory worked")
	}
}

func testBrokenSource(t *testing.T, s Subject) {
	broken := errors.New("source ended early")
	src := io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000)), &errorReader{broken})
	if err := s.Guest.Put(limit(t), s.Dir+"/part", 0o644, src); !errors.Is(err, broken) {
		t.Errorf("put: %v, want the source's error", err)
	}
	if status, err := s.Guest.Run(limit(t), provisioners.Command{
		Line: "for i in 1 2 3 4 5 6 7 8 9 10; do test -e " + s.Dir + "/part || exit 0; sleep 0.2; done; exit 1",
	}); status != 0 || err != nil {
		t.Logf("half a file was left (%d, %v); provisioners must not rely on its absence", status, err)
	}
}

type errorReader struct{ err error }

func (r *errorReader) Read([]byte) (int, error) { return 0, r.err }

// received collects what GetDir brings.
type received map[string]string

type receivedFile struct {
	bytes.Buffer
	into received
	name string
}

func (f *receivedFile) Close() error {
	f.into[f.name] = f.String()
	return nil
}

func (r received) create(name string, _ fs.FileMode) (io.WriteCloser, error) {
	return &receivedFile{into: r, name: name}, nil
}

func testTree(t *testing.T, s Subject) {
	tree, ok := s.Guest.(provisioners.Tree)
	if !ok {
		t.Skip("this guest copies no directories")
	}
	if err := tree.PutDir(limit(t), s.Dir+"/to/here", source()); err != nil {
		t.Fatal(err)
	}
	if status, err := s.Guest.Run(limit(t), provisioners.Command{Line: "test -x " + s.Dir + "/to/here/sub/run && ln -s a " + s.Dir + "/to/here/link"}); status != 0 || err != nil {
		t.Errorf("the mode was not kept (%d, %v)", status, err)
	}
	want := received{"a": "1", "link": "1", "sub/run": "2", "sub/deep/two words": "3"}
	got := received{}
	if err := tree.GetDir(limit(t), s.Dir+"/to/here/", got.create); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	got = received{}
	if err := tree.GetDir(limit(t), s.Dir+"/to/here", got.create); err != nil {
		t.Fatal(err)
	}
	if got["here/sub/run"] != "2" || len(got) != len(want) {
		t.Errorf("the directory itself: %v", got)
	}
	if err := tree.GetDir(limit(t), s.Dir+"/none", got.create); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v, want fs.ErrNotExist", err)
	}
}
