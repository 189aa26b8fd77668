package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/sector"
)

// program is what the test binary is when it is called by that name.
const program = "VBoxManage"

func TestMain(m *testing.M) {
	qemu.Supervise()
	if filepath.Base(os.Args[0]) == program {
		os.Exit(run(os.Args))
	}
	os.Exit(m.Run())
}

// patience is for a machine that others use too.
const patience = time.Minute

// rig is a VirtualBox of its own.
type rig struct {
	t       *testing.T
	dir     string // its VMs and everything else
	bin     string // the folder with the program, for PATH
	profile string
	env     []string
}

func newRig(t *testing.T, profile string, env ...string) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, dir: dir, bin: filepath.Join(dir, "bin"), profile: profile, env: env}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(r.bin, program)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) environ() []string {
	return append(os.Environ(), append([]string{
		"PATH=" + r.bin + ":" + os.Getenv("PATH"), "VBOX_USER_HOME=" + r.path("home"), "BOXKILN_SIM_VBOX_MACHINES=" + r.path("vms"),
		"BOXKILN_SIM_VBOX_PROFILE=" + r.profile, "BOXKILN_SIM_LINGER=300ms", "LC_ALL=", "LANG=C",
	}, r.env...)...)
}

// endSessions ends the machines of a test and their sessions, at once.
func (r *rig) endSessions() {
	r.t.Helper()
	dirs, _ := filepath.Glob(r.path("home/machines/*"))
	for _, dir := range dirs {
		if err := qemu.EndSession(dir); err != nil {
			r.t.Error(err)
		}
	}
}

// stop ends the machines that a test has left running.
func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dirs, _ := filepath.Glob(r.path("home/machines/*"))
	for _, dir := range dirs {
		if g, err := qemu.Connect(ctx, dir); err == nil {
			g.Quit(ctx)
			g.Close()
		}
		if err := qemu.WaitUnlocked(ctx, dir); err != nil {
			r.t.Error(err)
		}
	}
}

// answer is what a command said.
type answer struct {
	out, err string
	exit     int
}

// call runs the simulator, with more environment for this one call.
func (r *rig) call(env []string, args ...string) answer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, program), args...)
	cmd.Env, cmd.Dir = append(r.environ(), env...), r.dir
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	exit := 0
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		exit = e.ExitCode()
	} else if err != nil {
		r.t.Fatal(err)
	}
	return answer{out.String(), stderr.String(), exit}
}

// ok runs a command that must succeed, and returns its standard output.
func (r *rig) ok(args ...string) string {
	r.t.Helper()
	a := r.call(nil, args...)
	if a.exit != 0 || strings.Contains(a.err, "error:") {
		r.t.Fatalf("%s: exit code %d\n%s%s", strings.Join(args, " "), a.exit, a.out, a.err)
	}
	return a.out
}

// fails runs a command that must fail so, and returns what it said on standard error.
func (r *rig) fails(exit int, text string, args ...string) string {
	r.t.Helper()
	a := r.call(nil, args...)
	if a.exit != exit || !strings.Contains(a.err, text) {
		r.t.Errorf("%s: exit code %d, want %d; want %q in\n%s", strings.Join(args, " "), a.exit, exit, text, a.err)
	}
	return a.err
}

// needQEMU skips a test where there is none.
func needQEMU(t *testing.T) {
	t.Helper()
	for _, p := range []string{"qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// typewriter makes a machine that boots the typewriter from a VDI, with its serial port in a file.
func (r *rig) typewriter(name string, options ...string) {
	r.t.Helper()
	needQEMU(r.t)
	raw, disk := r.path(name+".img"), r.path(name+".vdi")
	if err := os.WriteFile(raw, append(sector.Typewriter(), make([]byte, 1<<20-512)...), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if out, err := exec.CommandContext(r.t.Context(), "qemu-img", "convert", "-O", "vdi", raw, disk).CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
	r.ok("createvm", "--name", name, "--ostype", "Debian_64", "--register")
	r.ok(append([]string{"modifyvm", name, "--memory", "64", "--uart1", "0x3F8", "4", "--uartmode1", "file", r.path(name + ".serial")}, options...)...)
	r.ok("storagectl", name, "--name", "SATA", "--add", "sata", "--portcount", "2")
	r.ok("storageattach", name, "--storagectl", "SATA", "--port", "0", "--device", "0", "--type", "hdd", "--medium", disk)
}

// waitSerial waits until a typewriter has written a text.
func (r *rig) waitSerial(name, text string) {
	r.t.Helper()
	var got []byte
	r.wait(func() bool {
		got, _ = os.ReadFile(r.path(name + ".serial"))
		return strings.Contains(string(got), text)
	}, func() string { return "the guest wrote " + string(got) + "; want " + text })
}

// waitState waits until a machine is in a state, by what machines read.
func (r *rig) waitState(name, state string) {
	r.t.Helper()
	r.wait(func() bool {
		return strings.Contains(r.ok("showvminfo", name, "--machinereadable"), "VMState=\""+state+"\"")
	},
		func() string { return name + " is not " + state })
}

func (r *rig) wait(done func() bool, complaint func() string) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal(complaint())
		}
	}
}

// waitUnlocked waits until a session has ended.
func (r *rig) waitUnlocked(name string) {
	r.t.Helper()
	r.wait(func() bool { return r.call(nil, "modifyvm", name, "--memory", "64").exit == 0 }, func() string { return name + " stays locked" })
}

// esc switches a typewriter off.
func (r *rig) esc(name string) {
	r.t.Helper()
	r.ok("controlvm", name, "keyboardputscancode", "01", "81")
	r.waitState(name, "poweroff")
}
