package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/power"
)

var programs = []string{"vmrun", "vmware-vdiskmanager", "ovftool", "vmware", "vmware-vmx"}

// TestMain is the simulator when it is called by one of its names, which the tests link to their own program.
func TestMain(m *testing.M) {
	qemu.Supervise()
	power.Process()
	if slices.Contains(programs, filepath.Base(os.Args[0])) {
		main()
	}
	os.Exit(m.Run())
}

// rig is an installation of the simulator with a folder for machines.
type rig struct {
	t    *testing.T
	dir  string // of the machines
	home host.Home
	bin  string
	env  []string
}

// newRig makes an installation. faults and other settings are of the environment's form.
func newRig(t *testing.T, env ...string) *rig {
	t.Helper()
	needTool(t, "qemu-img")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: t.TempDir(), home: host.Home{Dir: t.TempDir()}, bin: t.TempDir()}
	for _, name := range programs {
		if err := os.Symlink(self, filepath.Join(r.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.env = append(os.Environ(), host.EnvHome+"="+r.home.Dir, host.EnvPorts+"=2222", host.EnvFaults+"=", host.EnvTools+"=")
	r.env = append(r.env, env...)
	t.Cleanup(r.stopAll)
	return r
}

// needTool skips a test whose program is missing, and fails it where all tools were installed.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	} else if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%v: test/setup/packages.sh test installs it", err)
	} else {
		t.Skip(err)
	}
}

// stopAll ends what a test left running, and waits until its files are let go.
func (r *rig) stopAll() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	records, err := r.home.All()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Error(err)
	}
	for _, m := range records {
		if g, err := power.Guest(ctx, r.home, m.VMX); err == nil {
			g.Quit(ctx)
			g.Close()
		}
	}
	poll(r.t, "the end of all machines", func() bool {
		records, err := r.home.All()
		return len(records) == 0 || err != nil
	})
}

// poll waits for something that a process does.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// answer is how a program ended.
type answer struct {
	code           int
	stdout, stderr string
}

// run runs a program in the folder of the machines.
func (r *rig) run(program string, args ...string) answer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, program), args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		r.t.Fatalf("%s %q: %v", program, args, err)
	}
	return answer{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// ok runs a program that must succeed, and returns what it wrote to its standard output.
func (r *rig) ok(program string, args ...string) string {
	r.t.Helper()
	a := r.run(program, args...)
	if a.code != 0 {
		r.t.Fatalf("%s %q: %+v", program, args, a)
	}
	return a.stdout
}

// refused runs a program that must fail in vmrun's way, with text in what it says.
func (r *rig) refused(text string, args ...string) {
	r.t.Helper()
	a := r.run("vmrun", args...)
	if a.code != 255 || a.stderr != "" || !strings.HasPrefix(a.stdout, "Error: ") || !strings.Contains(a.stdout, text) {
		r.t.Errorf("vmrun %q: %+v; want 255 and %q on stdout", args, a, text)
	}
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) exists(name string) bool {
	_, err := os.Lstat(r.path(name))
	return err == nil
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, name := range []string{"vmware", "vmware-vmx"} {
		if a := r.run(name, "-v"); a.code != 0 || a.stdout != "" || a.stderr != "VMware Workstation 17.6.2 build-24409262 Release\n" {
			t.Errorf("%s -v: %+v", name, a)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), "simulator", nil, &out, &errs); code != 1 || !strings.Contains(errs.String(), "built as vmrun") {
		t.Errorf("by an unknown name: %d, %q", code, errs.String())
	}
}
