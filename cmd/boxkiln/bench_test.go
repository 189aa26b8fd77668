package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/fake"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// patience is how long a test waits for what must come, on a machine that is busy with other things.
const patience = 5 * time.Minute

// bench is a user at a host: a hypervisor, a data directory, a folder for results, an environment.
type bench struct {
	t    *testing.T
	host *fake.Host
	root string // the hypervisor's records
	data string
	dir  string
	env  map[string]string
	wrap func(hypervisor.Driver) hypervisor.Driver
}

func newBench(t *testing.T) *bench { return newBenchWith(t, fake.Options{}) }

func newBenchWith(t *testing.T, o fake.Options) *bench {
	t.Helper()
	dir := shortDir(t)
	b := &bench{t: t, root: filepath.Join(dir, "vms"), data: filepath.Join(dir, "data"), dir: filepath.Join(dir, "work"),
		env: map[string]string{}, wrap: func(d hypervisor.Driver) hypervisor.Driver { return d }}
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.host, err = fake.NewHost(b.root, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.host.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// shortDir is a temporary folder whose name is short enough for a socket in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// write makes a file in the bench's folder and returns its path.
func (b *bench) write(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// result is what a command left.
type result struct {
	code           int
	stdout, stderr string
}

// says tells whether all texts were printed.
func (r result) says(texts ...string) bool {
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			return false
		}
	}
	return true
}

func (r result) wants(t *testing.T, code int, texts ...string) {
	t.Helper()
	wrong := r.code != code
	if wrong {
		t.Errorf("exit status %d, want %d", r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("the output does not have %q", text)
			wrong = true
		}
	}
	if wrong {
		t.Logf("stdout:\n%s\nstderr:\n%s", r.stdout, r.stderr)
	}
}

// run runs the command to its end.
func (b *bench) run(args ...string) result { b.t.Helper(); return b.start(args...).wait() }

// running is a command that runs in this process.
type running struct {
	b              *bench
	cancel         context.CancelFunc
	stdout, stderr *stream
	done           chan int
}

// start runs the command in the background, with the context's end for ctrl-C.
func (b *bench) start(args ...string) *running {
	b.t.Helper()
	in, err := os.Open(os.DevNull)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.startWith(in, args...)
}

// startWith is start with an input, which is closed at the command's end.
func (b *bench) startWith(in *os.File, args ...string) *running {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &running{b: b, cancel: cancel, stdout: newStream(b.t), stderr: newStream(b.t), done: make(chan int, 1)}
	env := b.environment(in, c.stdout.w, c.stderr.w)
	go func() {
		code := run(ctx, args, env)
		cancel()
		_ = in.Close()
		c.stdout.end()
		c.stderr.end()
		c.done <- code
	}()
	b.t.Cleanup(cancel)
	return c
}

// environment is that of a command of this user.
func (b *bench) environment(in, out, errs *os.File) *environment {
	if b.env["BOXKILN_DATA"] == "" {
		b.env["BOXKILN_DATA"] = b.data
	}
	vars := map[string]string{}
	for k, v := range b.env {
		vars[k] = v
	}
	return &environment{stdin: in, stdout: out, stderr: errs,
		getenv: func(k string) string { return vars[k] }, environ: func() []string { return pairs(vars) },
		parts: fakeParts, drivers: fakeDrivers(b.host, b.wrap)}
}

func pairs(vars map[string]string) []string {
	var list []string
	for k, v := range vars {
		list = append(list, k+"="+v)
	}
	return list
}

func (c *running) wait() result {
	c.b.t.Helper()
	select {
	case code := <-c.done:
		return result{code, c.stdout.text(), c.stderr.text()}
	case <-time.After(patience):
		c.b.t.Fatalf("the command does not end\nstdout:\n%s\nstderr:\n%s", c.stdout.text(), c.stderr.text())
		return result{}
	}
}

// stream collects what is written to a pipe and lets others wait for a part of it.
type stream struct {
	t *testing.T
	w *os.File

	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed and replaced when something came
	done chan struct{}
}

func newStream(t *testing.T) *stream {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, w: w, more: make(chan struct{}), done: make(chan struct{})}
	go s.read(r)
	return s
}

func (s *stream) read(r *os.File) {
	defer close(s.done)
	defer r.Close()
	part := make([]byte, 32<<10)
	for {
		n, err := r.Read(part)
		s.mu.Lock()
		s.buf.Write(part[:n])
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// end closes the writing side and waits until everything is read.
func (s *stream) end() {
	_ = s.w.Close()
	<-s.done
}

func (s *stream) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// await returns when text was written.
func (s *stream) await(text string) {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		found, more := bytes.Contains(s.buf.Bytes(), []byte(text)), s.more
		s.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-s.done:
			if strings.Contains(s.text(), text) {
				return
			}
			s.t.Fatalf("the output ended without %q:\n%s", text, s.text())
		case <-timeout:
			s.t.Fatalf("%q did not come:\n%s", text, s.text())
		}
	}
}

// builds lists the builds of the data directory.
func (b *bench) builds() []build.Record {
	b.t.Helper()
	r := b.run("builds", "ls", "--json")
	if r.code != exitOK {
		b.t.Fatalf("builds ls: %d, %s", r.code, r.stderr)
	}
	var records []build.Record
	dec := json.NewDecoder(strings.NewReader(r.stdout))
	for {
		var one build.Record
		err := dec.Decode(&one)
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			b.t.Fatal(err)
		}
		records = append(records, one)
	}
}

// nothingLeft fails if the hypervisor has machines, the ledger rows, or builds folders with work in them. It is called
// when no daemon runs.
func (b *bench) nothingLeft() {
	b.t.Helper()
	host, err := fake.NewHost(b.root, fake.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer host.Close()
	db, err := sqlitedb.Open(b.t.Context(), filepath.Join(b.data, "boxkiln.db"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	entries, err := os.ReadDir(b.root)
	if err != nil || len(entries) != 0 {
		b.t.Errorf("machines are left: %v (%v)", entries, err)
	}
	var rows int
	if err := db.R.QueryRowContext(b.t.Context(), "SELECT count(*) FROM resources").Scan(&rows); err != nil || rows != 0 {
		b.t.Errorf("the ledger holds %d rows (%v)", rows, err)
	}
	for _, dir := range []string{"work", "scratch"} {
		left, err := filepath.Glob(filepath.Join(b.data, "builds", "*", "attempt-*", dir))
		if err != nil || len(left) != 0 {
			b.t.Errorf("folders are left: %v (%v)", left, err)
		}
	}
}

// exists tells whether there is a file in the bench's folder.
func (b *bench) exists(name string) bool {
	_, err := os.Stat(b.path(name))
	return err == nil
}

const pairTemplate = "testdata/pair"

// pair are the arguments that build testdata/pair into the bench's folder.
func (b *bench) pair(args ...string) []string {
	return append(append([]string{"build", "-color=false", "-var", "out=" + b.path("out")}, args...), pairTemplate)
}

// plan resolves a template with one source.
func (b *bench) plan(path string) build.Plan {
	b.t.Helper()
	c := newStream(b.t)
	defer c.end()
	env := &environment{stderr: c.w, environ: func() []string { return nil }}
	parts := fakeParts()
	t, err := env.load(path, templateOptions{}, parts)
	if err != nil {
		b.t.Fatalf("%v: %s", err, c.text())
	}
	plans, _, err := env.plans(t, parts, build.PlanOptions{Cwd: b.dir, Options: build.Options{OnError: build.OnErrorCleanup}})
	if err != nil || len(plans) != 1 {
		b.t.Fatalf("%d plans, %v: %s", len(plans), err, c.text())
	}
	return plans[0]
}

func asWire(err error, target **wire.Error) bool { return errors.As(err, target) }
