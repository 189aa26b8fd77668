//go:build !nolibvirt

package libvirt

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) {
	// Tests with guests wait for libvirtd more than they compute. -parallel on the command line, read later, wins.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	// libvirt's event loop runs as long as the process.
	leaktest.Main(m, goleak.IgnoreAnyFunction("github.com/boxkiln/boxkiln/hypervisor/libvirt.runEvents"))
}

// needLibvirt skips a test where the system's libvirtd does not answer; under BOXKILN_REQUIRE_TOOLS it fails instead.
func needLibvirt(t *testing.T) {
	t.Helper()
	d := newDriver(t, "probe")
	ctx, cancel := context.WithTimeout(t.Context(), guestTimeout)
	defer cancel()
	caps, err := d.Probe(ctx)
	if err == nil && caps.Available {
		return
	}
	if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("libvirt is needed: %v %+v", err, caps.Problems)
	}
	t.Skipf("libvirt is not available: %v %+v", err, caps.Problems)
}

// uriVariable names another connection for all tests with guests, such as qemu:///session.
const uriVariable = "BOXKILN_TEST_LIBVIRT_URI"

func newDriver(t *testing.T, install string) *Driver {
	t.Helper()
	d := New(Options{Install: install, URI: os.Getenv(uriVariable)})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// openDir makes a directory that QEMU's account can reach, which those of t.TempDir are not.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "boxkiln-libvirt-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// specOf plans a machine from template arguments and gives it a disk with the boot sector.
func specOf(t testing.TB, install string, args map[string]any, code []byte) hypervisor.Spec {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Planner{}.Plan(raw)
	if err != nil {
		t.Fatalf("Plan: %v", err)
	}
	base := openDir(t)
	spec.Name = "bk-test-" + uuid.NewString()[:8]
	spec.Tag = hypervisor.Tag{Install: install, Build: "b1", Attempt: 1}
	spec.Dir = filepath.Join(base, "vm")
	if err := os.Mkdir(spec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	spec.MemoryMiB = 32
	if len(spec.Disks) > 0 && code != nil {
		spec.Disks[0].Image, spec.Disks[0].ImageFormat = hypervisortest.WriteSector(t, base, code), "raw"
		spec.Disks[0].Size = 1 << 20
	}
	return spec
}

func TestConformance(t *testing.T) {
	needLibvirt(t)
	install := "test-" + uuid.NewString()
	foreign := "other-" + install
	args := map[string]any{"disk_size": "1M"}
	hypervisortest.Suite{
		New:     func(t *testing.T) hypervisor.Driver { return newDriver(t, install) },
		Foreign: func(t *testing.T) hypervisor.Driver { return newDriver(t, foreign) },
		Ending:  func(t *testing.T) hypervisor.Spec { return specOf(t, install, args, hypervisortest.NanoGuest()) },
		Lasting: func(t *testing.T) hypervisor.Spec { return specOf(t, install, args, hypervisortest.MarkedGuest()) },
		ForeignTag: func(s hypervisor.Spec) hypervisor.Spec {
			s.Tag.Install = foreign
			return s
		},
		Crash:     func(t *testing.T, m hypervisor.Machine) { killQEMU(t, m.Handle().Name) },
		GuestPort: 22,
		Memory:    &hypervisortest.Marker{Set: setMemory, Get: func(t *testing.T, m hypervisor.Machine) string { return ask1(t, m, "spc") }},
		Disk:      &hypervisortest.Marker{Set: setDisk, Get: func(t *testing.T, m hypervisor.Machine) string { return ask1(t, m, "slash") }},
		FrozenDir: frozenDir,
		Unfreezable: func(t *testing.T) hypervisor.Spec {
			return specOf(t, install, map[string]any{"disk_size": "1M", "qemuargs": [][]string{
				{"-device", "nvme,serial=x,drive=drive0"}, {"-drive", "if=none,id=drive0,file.driver=null-co,file.size=1M,format=raw"},
			}}, hypervisortest.EchoGuest())
		},
		Timeout:  guestTimeout,
		Parallel: true,
	}.Run(t)
}

// answerOf presses keys in a hypervisortest.MarkedGuest and returns the character that it writes.
func answerOf(t *testing.T, m hypervisor.Machine, keys ...hypervisor.KeyEvent) string {
	t.Helper()
	r := rig{ctx: t.Context()}
	if len(m.(*Machine).meta.Disks[0].Backing) == 0 { // not thawed: it boots
		r.serialHas(t, m.(*Machine), hypervisortest.Ready)
	}
	before, err := os.ReadFile(m.(*Machine).SerialLog())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.(hypervisor.Keyboard).Type(r.ctx, keys, 0); err != nil {
		t.Fatalf("Type: %v", err)
	}
	text := r.serialLen(t, m.(*Machine), len(before)+1)
	return strings.TrimRight(text[len(before):], "\x00")
}

func press(key hypervisor.Key) []hypervisor.KeyEvent {
	return []hypervisor.KeyEvent{{Key: key, Down: true}, {Key: key}}
}

func ask1(t *testing.T, m hypervisor.Machine, key hypervisor.Key) string {
	t.Helper()
	return answerOf(t, m, press(key)...)
}

func setMemory(t *testing.T, m hypervisor.Machine, mark string) {
	t.Helper()
	if got := ask1(t, m, hypervisor.Key(mark)); got != mark {
		t.Fatalf("the guest answered %q to %q", got, mark)
	}
}

func setDisk(t *testing.T, m hypervisor.Machine, mark string) {
	t.Helper()
	keys := append(append([]hypervisor.KeyEvent{{Key: "shift", Down: true}}, press(hypervisor.Key(mark))...), hypervisor.KeyEvent{Key: "shift"})
	if got := answerOf(t, m, keys...); got != mark {
		t.Fatalf("the guest answered %q to %q for its disk", got, mark)
	}
}

// killQEMU ends the QEMU process of a machine with SIGKILL.
func killQEMU(t *testing.T, name string) {
	t.Helper()
	pid, err := qemuPID(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// qemuPID finds the QEMU process of a machine by its command line, in which libvirt writes guest=NAME.
func qemuPID(name string) (int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(line), "guest="+name+",") {
			continue
		}
		return strconv.Atoi(filepath.Base(filepath.Dir(path)))
	}
	return 0, fmt.Errorf("no QEMU process of %q", name)
}
