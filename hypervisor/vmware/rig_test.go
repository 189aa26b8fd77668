package vmware

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	simtool "github.com/boxkiln/boxkiln/test/sim/vmware/ovftool"
	"github.com/boxkiln/boxkiln/test/sim/vmware/power"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vdiskmanager"
	simrun "github.com/boxkiln/boxkiln/test/sim/vmware/vmrun"
)

// TestMain is VMware's simulator when it is called by the name of one of its programs, which the tests link to their own.
func TestMain(m *testing.M) {
	qemu.Supervise()
	power.Process()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	switch args := os.Args[1:]; filepath.Base(os.Args[0]) {
	case vmrun:
		os.Exit(simrun.Main(ctx, args, os.Stdout))
	case diskManager:
		os.Exit(vdiskmanager.Main(ctx, args, os.Stdout, os.Stderr))
	case ovfTool:
		os.Exit(simtool.Main(ctx, args, os.Stdout))
	case "vmware":
		_, _ = os.Stderr.WriteString("VMware Workstation 17.6.2 build-24409262 Release\n")
		os.Exit(0)
	}
	stop()
	leaktest.Main(m)
}

// guestTimeout bounds a test with guests: two of them share a busy processor.
const guestTimeout = 2 * time.Minute

// rig is an installation of the simulator.
type rig struct {
	home  host.Home
	bin   string
	state string
	env   []string
}

// newRig makes an installation without ovftool. env are further settings of the simulator.
func newRig(t testing.TB, env ...string) *rig {
	t.Helper()
	needTool(t, "qemu-img")
	needTool(t, "qemu-system-x86_64")
	r := &rig{home: host.Home{Dir: t.TempDir()}, bin: t.TempDir(), state: t.TempDir()}
	for _, name := range []string{vmrun, diskManager, "vmware"} {
		r.install(t, name)
	}
	r.env = append([]string{host.EnvHome + "=" + r.home.Dir, host.EnvPorts + "=2222", host.EnvFaults + "=", host.EnvTools + "="}, env...)
	t.Cleanup(func() { r.stopAll(t) })
	return r
}

func (r *rig) install(t testing.TB, program string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(r.bin, program)); err != nil {
		t.Fatal(err)
	}
}

// needTool skips a test whose program is missing, and fails it where all tools were installed.
func needTool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	} else if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%v: test/setup/packages.sh test installs it", err)
	} else {
		t.Skip(err)
	}
}

// stopAll ends what a test left running.
func (r *rig) stopAll(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	records, err := r.home.All()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, m := range records {
		t.Errorf("the test left the machine %s running", m.VMX)
		if g, err := power.Guest(ctx, r.home, m.VMX); err == nil {
			_ = g.Quit(ctx)
			_ = g.Close()
		}
	}
}

// driver makes a driver of the installation called install, with faults of the simulator's.
func (r *rig) driver(install string, faults ...host.Fault) *Driver {
	d := New(Options{Install: install, State: r.state, Etc: r.home.Etc()})
	var names []string
	for _, f := range faults {
		names = append(names, string(f))
	}
	d.tools = tools{dir: r.bin, env: append(slices.Clone(r.env), host.EnvFaults+"="+strings.Join(names, ","))}
	return d
}

const testInstall = "ours"

// spec plans a machine from template arguments and lets it boot from a CD with a boot sector.
func (r *rig) spec(t testing.TB, args map[string]any, code []byte) hypervisor.Spec {
	t.Helper()
	spec := planned(t, Planner{}, args)
	spec.CDs = []string{bootableCD(t, t.TempDir(), code)}
	return spec
}

// planned plans a machine and gives it what a build adds.
func planned(t testing.TB, k Planner, args map[string]any) hypervisor.Spec {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := k.Plan(raw)
	if err != nil {
		t.Fatalf("Plan: %v", err)
	}
	spec.Name = "bk-test-" + uuid.NewString()[:8]
	spec.Tag = hypervisor.Tag{Install: testInstall, Build: "b1", Attempt: 1}
	spec.Dir = filepath.Join(t.TempDir(), "vm")
	if err := os.Mkdir(spec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return spec
}

// small are the arguments of a machine that costs little.
func small() map[string]any {
	return map[string]any{"disk_size": 8, "memory": 32, "communicator": "none"}
}

// with adds arguments.
func with(args map[string]any, more map[string]any) map[string]any {
	all := map[string]any{}
	for _, m := range []map[string]any{args, more} {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

// created makes a machine that is destroyed when the test ends.
func created(t *testing.T, d *Driver, spec hypervisor.Spec) *Machine {
	t.Helper()
	m, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), guestTimeout)
		defer cancel()
		if err := m.Destroy(ctx); err != nil {
			t.Errorf("Destroy when the test ended: %v", err)
		}
	})
	return m.(*Machine)
}

// started makes a running machine.
func started(t *testing.T, d *Driver, spec hypervisor.Spec) *Machine {
	t.Helper()
	m := created(t, d, spec)
	if err := m.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return m
}

// poll waits for something that a process does.
func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(guestTimeout); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// serial waits until the guest has written something to its serial port.
func serial(t testing.TB, m *Machine, want string) {
	t.Helper()
	poll(t, "the guest to write "+want, func() bool {
		text, err := os.ReadFile(m.SerialLog())
		return err == nil && strings.Contains(string(text), want)
	})
}
