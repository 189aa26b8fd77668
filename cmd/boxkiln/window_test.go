package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/sshtest"
)

// paused is a build under a daemon that waits at a gate in its guest.
type paused struct {
	*bench
	*running
	id, gate string
}

// gatedBuild starts a daemon and a build and waits until the build is at its gate. What the guest does then is up to body.
func gatedBuild(t *testing.T, b *bench, body string) *paused {
	t.Helper()
	b.serve()
	p := &paused{bench: b, gate: b.barrier("gate")}
	p.running = b.start("build", "-color=false", b.solo(nil, inline("echo at the gate", "read line < "+p.gate)+body))
	p.stdout.await("at the gate")
	p.id = string(b.builds()[0].ID)
	return p
}

// machine is the name of the build's machine.
func (p *paused) machine() string { return "boxkiln-" + p.id + "-1" }

func (p *paused) open() { p.lift(p.gate) }

// ends waits for the end of the build.
func (p *paused) ends(code int) {
	p.bench.t.Helper()
	p.running.wait().wants(p.bench.t, code)
}

func TestWatch(t *testing.T) {
	t.Parallel()
	p := gatedBuild(t, newBench(t), inline("echo and on"))
	picture := p.path("screen.png")
	log := p.bench.start("watch", "-color=false", "--screen", picture, p.id)
	serial := p.bench.start("watch", "--serial", p.id)
	log.stdout.await("==> fake.solo: Creating the machine")
	log.stdout.await("at the gate")
	serial.stdout.await("booting")
	p.bench.run("watch", "--timeline", p.id).wants(t, exitOK, "attempt 1", "create-machine", "provision[1] shell", "runs")
	p.open()
	p.ends(exitOK)
	log.wait().wants(t, exitOK, "and on", "attempt 1", "post-process", "succeeded")
	serial.wait().wants(t, exitOK, "the machine is off")
	f, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dx() != 320 {
		t.Errorf("the picture: %v", err)
	}
	p.bench.run("watch", "--serial", p.id).wants(t, exitOK, "booting", "the machine is off") // the kept copy

	r := p.bench.run("watch", "--timeline", "--json", p.id)
	var names []string
	for line := range strings.Lines(r.stdout) {
		var m build.Moment
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		names = append(names, m.Name)
	}
	if len(names) < 10 || names[0] != "queued" || names[len(names)-1] != "succeeded" {
		t.Errorf("%q", names)
	}
}

// A build that fails leaves its picture, its serial log and its timeline, and its error names them.
func TestWatchFailure(t *testing.T) {
	t.Parallel()
	p := gatedBuild(t, newBench(t), inline("exit 9"))
	w := p.bench.start("watch", "-color=false", p.id)
	w.stdout.await("at the gate")
	p.open()
	r := p.running.wait()
	r.wants(t, exitFailed, "timeline: ", "last screen: ", "last serial lines (")
	w.wait().wants(t, exitFailed, "failed", "provision[2] shell", "exit status 9")
	for _, name := range []string{"timeline.json", "screen.png", "serial"} {
		path := filepath.Join(p.data, "builds", p.id, "attempt-1", name)
		if info, err := os.Stat(path); err != nil || info.Size() == 0 || !strings.Contains(r.stdout, path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.bench.run("watch", p.id).wants(t, exitFailed, "provision[2] shell")
	p.bench.run("watch", "--screen", p.path("kept.png"), p.id)
	kept, err := os.ReadFile(filepath.Join(p.data, "builds", p.id, "attempt-1", "screen.png"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(p.path("kept.png")); err != nil || !bytes.Equal(got, kept) {
		t.Errorf("the kept picture is another (%v)", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	p := gatedBuild(t, newBench(t), "")
	p.bench.run("keys", p.id, "Secret1<enter><wait1ms>").wants(t, exitOK, "typed 18 key events")
	if got := p.host.Typed(p.machine()); got != "Secret1\n" {
		t.Errorf("%q reached the machine", got)
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteString("more\n"); err != nil || out.Close() != nil {
		t.Fatal(err)
	}
	p.startWith(in, "keys", p.id, "-").wait().wants(t, exitOK, "typed 8 key events")
	if got := p.host.Typed(p.machine()); got != "Secret1\nmore" {
		t.Errorf("%q reached the machine", got)
	}
	for want, args := range map[string][]string{
		"no such build":               {"20000101-000000-ffff", "x"},
		"there is nothing to type":    {p.id, ""},
		"pauses of 2m0s are too long": {p.id, "<wait2m>"},
		"a meaning only in a boot":    {p.id, "<waitScreen>"},
		"are too much to type":        {p.id, strings.Repeat("x", 5000)},
		"accepts 2 arg":               {p.id},
	} {
		p.bench.run(append([]string{"keys"}, args...)...).wants(t, exitFailed, want)
	}
	p.bench.run("keys", p.id, "<entr>").wants(t, exitOK, "Warning", "<enter>")
	p.open()
	p.ends(exitOK)
	p.bench.run("keys", p.id, "x").wants(t, exitFailed, "has ended (succeeded)")
	log := p.bench.run("builds", "log", "-color=false", p.id)
	log.wants(t, exitOK, "typed by operator: 18 key events", "No further checkpoint is kept of this build: an operator typed at it")
	if log.says("Secret1") {
		t.Error("the log tells what was typed")
	}
}

// mute makes machines that can nothing but run.
type mute struct{ hypervisor.Driver }

type plainMachine struct{ hypervisor.Machine }

func (m mute) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	machine, err := m.Driver.Create(ctx, spec)
	return plainMachine{machine}, err
}

// TestNothingToSee looks where there is nothing: a machine without abilities, a build without machine, no build.
func TestNothingToSee(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.wrap = func(d hypervisor.Driver) hypervisor.Driver { return mute{d} }
	p := gatedBuild(t, b, "")
	p.bench.run("keys", p.id, "x").wants(t, exitFailed, "cannot type")
	p.bench.run("watch", "--serial", p.id).wants(t, exitFailed, "no serial console")
	p.bench.run("watch", "--screen", p.path("x.png"), p.id).wants(t, exitFailed, "the screen of machines")
	for _, args := range [][]string{{"watch", "nobody"}, {"watch", "--serial", "nobody"}, {"watch", "--timeline", "nobody"}, {"ssh", "nobody"}} {
		p.bench.run(args...).wants(t, exitFailed, "no such build")
	}
	p.open()
	p.ends(exitOK)
	p.bench.run("ssh", p.id, "--", "true").wants(t, exitFailed, "has ended (succeeded)")
	newBench(t).run("watch", "nobody").wants(t, exitNoDaemon, "boxkiln serve")
}

func TestQueuedHasNoMachine(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve("--memory-budget", "600")
	first := b.start("build", b.solo(map[string]string{"fake_no_ssh": "true"}, ""))
	first.stdout.await("Waiting for SSH")
	running := string(b.builds()[0].ID)
	b.run("ssh", running).wants(t, exitFailed, "has not logged in")
	second := b.start("build", "-color=false", b.solo(map[string]string{"output_directory": literal(b.path("second"))}, ""))
	second.stdout.await("Queued: builds before it take the room")
	queued := string(b.builds()[0].ID)
	b.run("keys", queued, "x").wants(t, exitFailed, "has no machine now")
	b.run("ssh", queued).wants(t, exitFailed, "has no machine now")
	d.stop()
	first.wait()
	second.wait()
}

func TestSSH(t *testing.T) {
	t.Parallel()
	p := gatedBuild(t, newBench(t), inline("cat seen"))
	r := p.bench.run("ssh", p.id, "--", "echo out; echo err >&2; exit 7")
	if r.wants(t, 7); r.stdout != "out\n" || r.stderr != "err\n" {
		t.Errorf("%q, %q", r.stdout, r.stderr)
	}
	p.bench.run("ssh", p.id, "--", "echo", "from the shell", ">", "seen").wants(t, exitOK)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	shell := p.startWith(in, "ssh", p.id)
	if _, err := out.WriteString("echo reads its input; exit 3\n"); err != nil || out.Close() != nil {
		t.Fatal(err)
	}
	shell.wait().wants(t, 3, "reads its input\n")
	p.open()
	p.ends(exitOK)
	p.bench.run("builds", "log", "-color=false", p.id).wants(t, exitOK, "from the shell", "an operator opened a shell", "ended with status 7")
}

// tty is a terminal with somebody at it.
type tty struct {
	ours, theirs *os.File
	screen       *stream
}

func newTTY(t *testing.T) *tty {
	t.Helper()
	ours, theirs, err := sshtest.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	s := newStream(t)
	x := &tty{ours, theirs, s}
	x.resize(t, 33, 99)
	go func() {
		_, _ = io.Copy(s.w, ours) // ends with EIO when the other side is closed
		s.end()
	}()
	t.Cleanup(func() { ours.Close() })
	return x
}

func (x *tty) resize(t *testing.T, rows, cols uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(x.theirs.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		t.Fatal(err)
	}
}

func (x *tty) types(t *testing.T, text string) {
	t.Helper()
	if _, err := x.ours.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestSSHOnATerminal works in a guest as a person does. It is not parallel: the signal that a terminal has another size is
// one for the whole process.
func TestSSHOnATerminal(t *testing.T) {
	p := gatedBuild(t, newBench(t), "")
	x := newTTY(t)
	before, err := unix.IoctlGetTermios(int(x.theirs.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	p.env["TERM"] = "vt220"
	done := make(chan int, 1)
	env := p.environment(x.theirs, x.theirs, x.theirs)
	go func() { done <- run(t.Context(), []string{"ssh", p.id}, env) }()
	x.types(t, "echo $TERM; stty size\r")
	x.screen.await("vt220")
	x.screen.await("33 99")
	x.resize(t, 44, 111)
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	x.types(t, "until stty size | grep '44 111'; do sleep 0.01; done\r")
	x.screen.await("44 111\r\n")
	x.types(t, `sh -c 'trap "echo no; exit" INT; echo go; while :; do sleep 0.01; done'`+"\r")
	x.screen.await("go\r\n")
	x.types(t, "\x03") // is for the guest
	x.screen.await("no\r\n")
	x.types(t, "exit 5\r")
	select {
	case code := <-done:
		if code != 5 {
			t.Errorf("exit status %d: %s", code, x.screen.text())
		}
	case <-time.After(patience):
		t.Fatal(x.screen.text())
	}
	after, err := unix.IoctlGetTermios(int(x.theirs.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is not as it was: %v", err)
	}
	x.theirs.Close()
	p.open()
	p.ends(exitOK)
}

func TestConsole(t *testing.T) {
	t.Parallel()
	colored := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for name, tt := range map[string]struct{ in, out string }{
		"text":          {"[    0.0] Linux\r\nlogin: ", "[    0.0] Linux\nlogin: "},
		"colours":       {"\x1b[1;32mok\x1b[0m \x1b[mx", "\x1b[1;32mok\x1b[0m \x1b[mx"},
		"cursor":        {"a\x1b[2J\x1b[10;10Hb\x1b[?25lc", "abc"},
		"title":         {"a\x1b]0;evil\ab\x1b]2;x\x1b\\c\x1bPq\x1b\\d", "abcd"},
		"charset":       {"a\x1b(0b\x1bcc", "abc"},
		"returns":       {"10%\r20%\r\r\nend\r", "10%\n20%\nend"},
		"bells":         {"a\a\b\x00\x7fb\tc", "ab\tc"},
		"characters":    {"grün \u009b31m €", "grün 31m €"},
		"broken":        {"a\xff\xc3b\xe2\x82", "ab"},
		"long":          {"\x1b[" + strings.Repeat("1;", 500) + "mx", "x"},
		"not a colour":  {"\x1b[>4;1mx", "x"},
		"broken escape": {"\x1b\x1b[31mx", "[31mx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 3, 1000} {
				var got, plain bytes.Buffer
				c, p := &console{w: &got, colors: true}, &console{w: &plain}
				for part := range chunks(tt.in, size) {
					for _, w := range []io.Writer{c, p} {
						if _, err := io.WriteString(w, part); err != nil {
							t.Fatal(err)
						}
					}
				}
				if got.String() != tt.out {
					t.Errorf("in parts of %d: %q, want %q", size, &got, tt.out)
				}
				if want := colored.ReplaceAllString(tt.out, ""); plain.String() != want {
					t.Errorf("without colours: %q, want %q", &plain, want)
				}
			}
		})
	}
}

func chunks(s string, size int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for ; len(s) > size; s = s[size:] {
			if !yield(s[:size]) {
				return
			}
		}
		yield(s)
	}
}

// FuzzConsole: whatever a guest prints, the terminal is commanded nothing but colours.
func FuzzConsole(f *testing.F) {
	for _, s := range []string{"\x1b[31mred\x1b[0m", "\x1b]0;t\a", "a\r\nb\rc", "\xe2\x82\xac\xc2\x9b", "\x1b\x1b[m"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		if _, err := (&console{w: &out, colors: true}).Write(data); err != nil {
			t.Fatal(err)
		}
		rest := strings.ReplaceAll(colorCode.ReplaceAllString(out.String(), ""), "\n", "")
		if printable(rest) != rest {
			t.Errorf("%q becomes %q", data, &out)
		}
	})
}
