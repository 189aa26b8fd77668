package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is a running process with its output.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *output // both streams
	done chan struct{}
	end  context.CancelFunc
}

// launch starts a program that may take that long. It is killed when the test ends.
func launch(t *testing.T, limit time.Duration, env []string, name string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	p := &program{t: t, cmd: exec.CommandContext(ctx, name, args...), out: newOutput(), done: make(chan struct{}), end: cancel}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.WaitDelay = time.Minute
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the status tells
		p.out.close()    // whoever waits for more need not
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
	})
	return p
}

// wait waits for the end and returns the exit status.
func (p *program) wait() int {
	<-p.done
	p.end()
	return p.cmd.ProcessState.ExitCode()
}

// succeed waits for the end, which must be a good one, and returns the output.
func (p *program) succeed() string {
	p.t.Helper()
	if code := p.wait(); code != 0 {
		p.t.Fatalf("%s: exit status %d\n%s", strings.Join(p.cmd.Args, " "), code, p.out.text())
	}
	return p.out.text()
}

func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// await waits until the program has said text, for at most that long.
func (p *program) await(text string, limit time.Duration) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	if !p.out.await(ctx, text) {
		p.t.Fatalf("%s did not say %q within %s:\n%s", strings.Join(p.cmd.Args, " "), text, limit, p.out.text())
	}
}

// output collects what a program writes.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	more  chan struct{} // closed and replaced when something came
	ended bool
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	o.wake()
	return len(p), nil
}

func (o *output) wake() {
	close(o.more)
	o.more = make(chan struct{})
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.wake()
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) await(ctx context.Context, text string) bool {
	for {
		o.mu.Lock()
		found, ended, more := bytes.Contains(o.buf.Bytes(), []byte(text)), o.ended, o.more
		o.mu.Unlock()
		if found || ended {
			return found
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}

// run runs a program to its good end and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	return launch(t, startup, nil, name, args...).succeed()
}
