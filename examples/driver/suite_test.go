package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// TestMain is the tests, or the process that a test kills.
func TestMain(m *testing.M) {
	if text := os.Getenv(victim); text != "" {
		fmt.Fprintln(os.Stderr, work(text))
		os.Exit(1)
	}
	leaktest.Main(m)
}

// needQEMU skips a test where QEMU is not installed; under BOXKILN_REQUIRE_TOOLS it fails instead.
func needQEMU(t *testing.T) {
	t.Helper()
	for _, tool := range []string{program, "qemu-img"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
			t.Fatalf("%s is needed", tool)
		}
		t.Skipf("%s is not installed", tool)
	}
}

// machine is a spec as a template's arguments and a build make it, whose disk begins with the code.
func machine(t *testing.T, install string, code []byte) hypervisor.Spec {
	t.Helper()
	spec, err := Planner{}.Plan(json.RawMessage(`{"memory": 16, "disk_size": "1M"}`))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	spec.Name, spec.Tag, spec.Dir = "m-"+uuid.NewString(), hypervisor.Tag{Install: install, Build: "b1", Attempt: 1}, filepath.Join(dir, "machine")
	spec.Disks[0].Image, spec.Disks[0].ImageFormat = hypervisortest.WriteSector(t, dir, code), disk.Raw
	if err := os.Mkdir(spec.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestSuite(t *testing.T) {
	needQEMU(t)
	root := t.TempDir()
	const ours, theirs = "ours", "theirs"
	hypervisortest.Suite{
		New:     func(*testing.T) hypervisor.Driver { return New(Options{Install: ours, Root: root}) },
		Foreign: func(*testing.T) hypervisor.Driver { return New(Options{Install: theirs, Root: root}) },
		Ending:  func(t *testing.T) hypervisor.Spec { return machine(t, ours, hypervisortest.NanoGuest()) },
		Lasting: func(t *testing.T) hypervisor.Spec { return machine(t, ours, hypervisortest.EchoGuest()) },
		ForeignTag: func(s hypervisor.Spec) hypervisor.Spec {
			s.Tag.Install = theirs
			return s
		},
		Crash: func(t *testing.T, m hypervisor.Machine) {
			if err := syscall.Kill(process(m.Handle()), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
		GuestPort: 22, Parallel: true,
	}.Run(t)
}

// TestTypedTextReachesTheGuest: the suite asks whether keys are accepted; this, whether they arrive.
func TestTypedTextReachesTheGuest(t *testing.T) {
	t.Parallel()
	needQEMU(t)
	d := New(Options{Install: "i", Root: t.TempDir()})
	m, err := d.Create(t.Context(), machine(t, "i", hypervisortest.EchoGuest()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	serial := m.(hypervisor.SerialPort).SerialLog()
	await(t, serial, hypervisortest.Ready)
	keys := []hypervisor.KeyEvent{{Key: "h", Down: true}, {Key: "h"}, {Key: "i", Down: true}, {Key: "i"}}
	if err := m.(hypervisor.Keyboard).Type(t.Context(), keys, 0); err != nil {
		t.Fatal(err)
	}
	await(t, serial, hypervisortest.Ready+"hi")
}

// await waits for the serial log of a real guest.
func await(t *testing.T, path, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		text, err := os.ReadFile(path)
		if string(text) == want {
			return
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			t.Fatalf("%s: %q, %v; want %q", path, text, err, want)
		}
	}
}

// victim is the variable that makes this test's program the process of a daemon that is killed: a spec and a root.
const victim = "BOXKILN_EXAMPLE_VICTIM"

type order struct {
	Root string
	Spec hypervisor.Spec
}

// work makes and starts a machine, and waits to be killed.
func work(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	m, err := New(Options{Install: o.Spec.Tag.Install, Root: o.Root}).Create(context.Background(), o.Spec)
	if err == nil {
		err = m.Start(context.Background())
	}
	if err == nil {
		err = m.Wait(context.Background())
	}
	return err
}

// TestKilled kills the process that uses the driver at many moments between the first call and a running guest, without a
// warning. What the ledger knows then, a handle without a UUID, is enough to remove all that is there.
func TestKilled(t *testing.T) {
	t.Parallel()
	needQEMU(t)
	const step, last = 50 * time.Millisecond, 700 * time.Millisecond
	ran := false
	for after := step; after <= last; after += step {
		o := order{t.TempDir(), machine(t, "i", hypervisortest.EchoGuest())}
		ran = killed(t, o, after) || ran
		handle := hypervisor.Handle{Driver: Name, Name: o.Spec.Name, Tag: o.Spec.Tag, Dir: o.Spec.Dir}
		d := New(Options{Install: "i", Root: o.Root})
		m, err := d.Open(t.Context(), handle)
		if err == nil {
			err = m.Destroy(t.Context())
		}
		if err != nil && !errors.Is(err, hypervisor.ErrNotFound) {
			t.Fatalf("killed after %s: %v", after, err)
		}
		for _, dir := range []string{o.Root, o.Spec.Dir} {
			if left, err := os.ReadDir(dir); len(sound(left)) > 0 || err != nil {
				t.Errorf("killed after %s: %s holds %v (%v)", after, dir, left, err)
			}
		}
		if left := withArgument(o.Spec.Dir); len(left) > 0 {
			t.Errorf("killed after %s: processes %v are left", after, left)
		}
	}
	if !ran {
		t.Error("no guest ever ran: the moments are too early to show anything")
	}
}

// sound leaves out what fsx says may stay of a file that was being written.
func sound(entries []os.DirEntry) (rest []os.DirEntry) {
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), fsx.TempPrefix) {
			rest = append(rest, e)
		}
	}
	return rest
}

// killed runs work for a time and tells whether a guest ran at its end.
func killed(t *testing.T, o order, after time.Duration) bool {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), after) // whose end is SIGKILL
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), victim+"="+string(text))
	if out, err := cmd.CombinedOutput(); ctx.Err() == nil {
		t.Fatalf("it was not killed: %v: %s", err, out)
	}
	return len(withArgument(o.Spec.Dir)) > 0
}

// withArgument lists the processes that were told something of a directory.
func withArgument(dir string) (found []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		if args, err := os.ReadFile(path); err == nil && strings.Contains(string(args), dir) {
			found = append(found, filepath.Dir(path))
		}
	}
	return found
}

// TestPlan: the arguments become a machine, and all that is wrong with them is said at once.
func TestPlan(t *testing.T) {
	t.Parallel()
	spec, err := Planner{}.Plan(json.RawMessage(`{"cpus": 2, "ssh_port": 2200}`))
	if err != nil || spec.CPUs != 2 || spec.MemoryMiB != defaultMemory || spec.Disks[0].Size != 40<<30 || len(spec.Network.Forward) != 1 || spec.Network.Forward[0] != 2200 {
		t.Errorf("%+v, %v", spec, err)
	}
	_, err = Planner{}.Plan(json.RawMessage(`{"cpus": -1, "disk_size": "much", "accelerator": "steam"}`))
	for _, want := range []string{"cpus = -1", "much", `accelerator = "steam": use one of tcg, kvm`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if b := schema.New(Name, "The example.", Groups()...); b == nil {
		t.Error("the arguments make no schema")
	}
}
