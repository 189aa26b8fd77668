package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// stages are builds that stop at one place for ever, and what the log says when they are there.
var stages = []struct {
	name, text string
	template   func(b *bench) string
}{
	{"boot wait", "Waiting 1h0m0s for boot...", func(b *bench) string {
		return b.solo(map[string]string{"boot_wait": `"1h"`, "boot_command": `["<enter>"]`}, "")
	}},
	{"typing", "Typing the boot command...", func(b *bench) string {
		return b.solo(map[string]string{"boot_command": `["a<wait1h>b"]`}, "")
	}},
	{"ssh", "Waiting for SSH", func(b *bench) string {
		return b.solo(map[string]string{"fake_no_ssh": "true"}, "")
	}},
	{"provisioner", "at the gate", func(b *bench) string {
		return b.solo(nil, inline("echo at the gate", "read line < "+b.barrier("gate")))
	}},
	{"shutdown", "Gracefully halting", func(b *bench) string {
		return b.solo(map[string]string{"shutdown_command": `"true"`}, "")
	}},
}

// TestInterrupt: ctrl-C ends a build wherever it is, with status 1 and nothing left.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c := b.start("build", "-color=false", stage.template(b))
			c.stdout.await(stage.text)
			c.cancel()
			c.wait().wants(t, exitFailed, "Cancelling the builds and cleaning up", "the build was cancelled")
			if diff := cmp.Diff([]build.State{build.Canceled}, b.states()); diff != "" {
				t.Error(diff)
			}
			b.nothingLeft()
			if b.exists("out") {
				t.Error("the output directory is left")
			}
		})
	}
}

// process is the command in a process of its own.
type process struct {
	*exec.Cmd
	b              *bench
	stdout, stderr *stream
}

// spawn starts this test's binary as the command, over the bench's hypervisor.
func (b *bench) spawn(env []string, args ...string) *process {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	p := &process{exec.Command(self, args...), b, newStream(b.t), newStream(b.t)}
	p.Stdout, p.Stderr = p.stdout.w, p.stderr.w
	temp := filepath.Join(filepath.Dir(b.root), "tmp") // for what a killed process leaves
	if err := os.MkdirAll(temp, 0o755); err != nil {
		b.t.Fatal(err)
	}
	p.Env = append(append(os.Environ(), asCommand+"="+b.root, "BOXKILN_DATA="+b.data, "TMPDIR="+temp), env...)
	if err := p.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			p.wait()
		}
	})
	return p
}

// wait waits for the end of the process.
func (p *process) wait() result {
	p.b.t.Helper()
	timer := time.AfterFunc(patience, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	_ = p.Wait() // the status tells
	p.stdout.end()
	p.stderr.end()
	return result{p.ProcessState.ExitCode(), p.stdout.text(), p.stderr.text()}
}

func (p *process) signal(s syscall.Signal) {
	p.b.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.b.t.Fatal(err)
	}
}

// spawnServe starts a daemon in a process of its own.
func (b *bench) spawnServe() *process {
	b.t.Helper()
	p := b.spawn(nil, "serve", "--listen", "127.0.0.1:0")
	p.stdout.await(" on http://")
	return p
}

// TestKill kills the daemon in the middle of a build, wherever it is, and starts another one.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			d := b.spawnServe()
			c := b.start("build", "-color=false", stage.template(b))
			c.stdout.await(stage.text)
			d.signal(syscall.SIGKILL)
			d.wait()
			c.wait().wants(t, exitFailed, "no daemon answers")
			if left, err := os.ReadDir(b.root); err != nil || len(left) == 0 {
				t.Fatalf("the machine went with the daemon, so this shows nothing: %v (%v)", left, err)
			}

			d = b.spawnServe()
			if diff := cmp.Diff([]build.State{build.Interrupted}, b.states()); diff != "" {
				t.Error(diff)
			}
			id := string(b.builds()[0].ID)
			b.run("builds", "log", id, "-color=false").wants(t, exitOK, stage.text)
			d.signal(syscall.SIGTERM)
			d.wait().wants(t, exitOK)
			b.nothingLeft()
			if b.exists("out") {
				t.Error("the output directory is left")
			}
			b.run("builds", "ls").wants(t, exitOK, id, "interrupted")
		})
	}
}

// TestKillOwnDaemon kills a build that is its own daemon. The next build cleans up after it.
func TestKillOwnDaemon(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.spawn(nil, "build", "-color=false", b.solo(map[string]string{"fake_no_ssh": "true"}, ""))
	p.stdout.await("Waiting for SSH")
	p.signal(syscall.SIGKILL)
	p.wait()
	next := b.spawn(nil, "build", b.solo(nil, ""))
	next.wait().wants(t, exitOK)
	if diff := cmp.Diff([]build.State{build.Succeeded, build.Interrupted}, b.states()); diff != "" {
		t.Error(diff)
	}
	b.nothingLeft()
}

// TestSecondInterrupt: the second ctrl-C leaves although the machine takes an hour to go. A daemon of the build's own still
// cleans up then; a third one ends that too, and the next daemon finishes.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	slow := []string{slowDestroy + "=1h"}
	left := "left while the builds are being cancelled"
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		d := b.spawn(slow, "serve", "--listen", "127.0.0.1:0")
		d.stdout.await(" on http://")
		b.interruptTwice(nil).wait().wants(t, exitFailed, left)
		b.run("builds", "ls").wants(t, exitOK, "canceling")
		d.signal(syscall.SIGKILL)
		d.wait()
		b.cleanedByNext()
	})
	t.Run("own daemon", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		p := b.interruptTwice(slow)
		p.stdout.await(left)
		p.signal(syscall.SIGINT)
		if r := p.wait(); r.code == exitOK {
			t.Errorf("%+v", r)
		}
		b.cleanedByNext()
	})
}

// interruptTwice starts a build that never ends in a process of its own and sends it two interrupts.
func (b *bench) interruptTwice(env []string) *process {
	b.t.Helper()
	p := b.spawn(env, "build", "-color=false", b.solo(map[string]string{"fake_no_ssh": "true"}, ""))
	p.stdout.await("Waiting for SSH")
	p.signal(syscall.SIGINT)
	p.stderr.await("interrupt again to leave at once")
	p.signal(syscall.SIGINT)
	return p
}

// cleanedByNext starts another daemon and looks at what it leaves.
func (b *bench) cleanedByNext() {
	b.t.Helper()
	d := b.spawnServe()
	d.signal(syscall.SIGTERM)
	d.wait().wants(b.t, exitOK)
	b.nothingLeft()
}

// TestTwoBuilds: of two builds at once the second is a client of the first, which stays until both have ended.
func TestTwoBuilds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	gate := b.barrier("gate")
	first := b.start("build", "-color=false", b.solo(nil, inline("echo the first is here")))
	first.stdout.await("the first is here")
	second := b.start("build", "-color=false", b.solo(map[string]string{"output_directory": literal(b.path("two"))}, inline("echo the second is here", "read line < "+gate)))
	second.stdout.await("the second is here")
	first.stdout.await("Builds finished")
	select {
	case <-first.done:
		t.Fatal("the first build has left, and its daemon with it, while the second runs")
	default:
	}
	b.lift(gate)
	second.wait().wants(t, exitOK, "VM files in directory: "+b.path("two"))
	first.wait().wants(t, exitOK, "VM files in directory: "+b.path("out"))
	if diff := cmp.Diff([]build.State{build.Succeeded, build.Succeeded}, b.states()); diff != "" {
		t.Error(diff)
	}
	b.nothingLeft()
}

// TestRace starts several builds at the same instant on a fresh data directory: one becomes the daemon.
func TestRace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var all []*running
	for _, name := range []string{"a", "b", "c"} {
		template := b.solo(map[string]string{"output_directory": literal(b.path(name))}, "")
		moved := strings.Replace(template, "solo.pkr.hcl", name+".pkr.hcl", 1)
		if err := os.Rename(template, moved); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.start("build", moved))
	}
	for _, c := range all {
		c.wait().wants(t, exitOK)
	}
	b.nothingLeft()
}

// TestOnError: what is left after a failure is what the user asked for.
func TestOnError(t *testing.T) {
	t.Parallel()
	body := inline("exit 7") + "  error-cleanup-provisioner \"shell\" {\n    inline = [\"echo sweeping\"]\n  }\n"
	for _, test := range []struct {
		value        string
		sweeps, left bool
	}{{"cleanup", true, false}, {"abort", false, true}, {"run-cleanup-provisioner", true, true}, {"ask", true, false}} {
		t.Run(test.value, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.run("build", "-color=false", "-on-error="+test.value, b.solo(nil, body))
			r.wants(t, exitFailed, "status 7")
			if got := strings.Contains(r.stdout, "fake.solo: sweeping"); got != test.sweeps {
				t.Errorf("the cleanup provisioner ran: %t, want %t", got, test.sweeps)
			}
			machines, err := filepath.Glob(filepath.Join(b.root, "*"))
			if err != nil || (len(machines) > 0) != test.left {
				t.Errorf("left are %v (%v), want some: %t", machines, err, test.left)
			}
			if test.left && !strings.Contains(r.stdout, "Leaving the machine") {
				t.Errorf("nobody says what is left: %s", r.stdout)
			}
		})
	}
}

// TestDebug pauses after each step; without a terminal it goes on by itself.
func TestDebug(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(b.pair("-debug")...).wants(t, exitOK, "pair.fake.beta: VM files")
}
