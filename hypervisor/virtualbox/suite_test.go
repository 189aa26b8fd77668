package virtualbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/test/sim/qemu"
)

func TestMain(m *testing.M) { leaktest.Main(tests{m}) }

// tests are those of this package, which remove the simulator when they are done.
type tests struct{ *testing.M }

func (t tests) Run() int {
	defer os.RemoveAll(simulatorDir)
	return t.M.Run()
}

// simulatorDir holds the simulator; empty before it was built.
var simulatorDir string

// simulator builds the simulator of VBoxManage once, and returns its path.
var simulator = sync.OnceValues(func() (string, error) {
	var err error
	if simulatorDir, err = os.MkdirTemp("", "boxkiln-vbox-sim-"); err != nil {
		return "", err
	}
	path := filepath.Join(simulatorDir, program)
	out, err := exec.Command("go", "build", "-o", path, "github.com/boxkiln/boxkiln/test/sim/vbox").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the simulator: %w\n%s", err, out)
	}
	return path, nil
})

// needSimulator skips a test where the simulator's guests cannot run; under BOXKILN_REQUIRE_TOOLS it fails instead.
func needSimulator(t testing.TB) string {
	t.Helper()
	for _, tool := range []string{"go", "qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
			t.Fatalf("%s is needed", tool)
		}
		t.Skipf("%s is not installed", tool)
	}
	path, err := simulator()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// host is a computer with VirtualBox of one version, as the simulator plays it.
type host struct {
	env  []string
	path string
	home string
}

// newHost makes one with nothing on it. When the test ends, nothing may be left there.
func newHost(t testing.TB, profile string, env ...string) *host {
	t.Helper()
	h := &host{path: needSimulator(t), home: tempDir(t)}
	h.env = append([]string{"VBOX_USER_HOME=" + h.home, "HOME=" + h.home, "BOXKILN_SIM_VBOX_PROFILE=" + profile, "BOXKILN_SIM_LINGER=300ms"}, env...)
	t.Cleanup(func() {
		for _, list := range []string{"vms", "hdds"} {
			if out, err := h.manage(context.WithoutCancel(t.Context()), "list", list); err != nil || strings.TrimSpace(out) != "" {
				t.Errorf("VBoxManage list %s when the test ended: %v\n%s", list, err, out)
			}
		}
	})
	return h
}

// manage runs a command without the driver.
func (h *host) manage(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, h.path, args...)
	cmd.Env = append(os.Environ(), h.env...)
	out, err := cmd.Output()
	return string(out), err
}

// driver is that of an installation on the host.
func (h *host) driver(install string) *Driver {
	d := New(Options{Install: install})
	d.poll = 50 * time.Millisecond
	d.vbox.find = func() (string, error) { return h.path, nil }
	d.vbox.env = h.env
	d.vbox.pause = 50 * time.Millisecond
	return d
}

// tempDir is a directory with a short path: sockets of simulated machines are below it.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bkvb-")
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

// guestTimeout is more than a boot sector takes under emulation on a busy host.
const guestTimeout = 3 * time.Minute

// plan makes a spec of template arguments, with a name, a tag and a directory of its own.
func plan(t testing.TB, typ, install string, args map[string]any) hypervisor.Spec {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Planner{Type: typ}.Plan(raw)
	if err != nil {
		t.Fatalf("Plan: %v", err)
	}
	spec.Name = "bk-test-" + uuid.NewString()[:8]
	spec.Tag = hypervisor.Tag{Install: install, Build: "b1", Attempt: 1}
	spec.Dir = filepath.Join(tempDir(t), "vm")
	if err := os.Mkdir(spec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return spec
}

// withGuest puts a boot sector on the first disk.
func withGuest(t testing.TB, spec hypervisor.Spec, code []byte) hypervisor.Spec {
	t.Helper()
	base := filepath.Dir(spec.Dir)
	raw, vdi := hypervisortest.WriteSector(t, base, code), filepath.Join(base, "sector.vdi")
	if err := os.Truncate(raw, 1<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "vdi", raw, vdi).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	spec.Disks[0].Image, spec.Disks[0].Size = vdi, 1<<20
	spec.MemoryMiB = 32
	return spec
}

// smallArgs are those of the machines for boot sectors.
func smallArgs() map[string]any {
	return map[string]any{"disk_size": 1, "hard_drive_interface": "sata", "guest_additions_mode": "disable", "headless": true}
}

func TestConformance(t *testing.T) {
	for _, profile := range []string{"6.1", "7.0", "7.1"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			testConformance(t, newHost(t, profile))
		})
	}
}

func testConformance(t *testing.T, h *host) {
	install := "test-" + uuid.NewString()
	foreign := "other-" + install
	spec := func(t *testing.T, code []byte) hypervisor.Spec {
		return withGuest(t, plan(t, TypeISO, install, smallArgs()), code)
	}
	hypervisortest.Suite{
		New:     func(*testing.T) hypervisor.Driver { return h.driver(install) },
		Foreign: func(*testing.T) hypervisor.Driver { return h.driver(foreign) },
		Ending:  func(t *testing.T) hypervisor.Spec { return spec(t, hypervisortest.NanoGuest()) },
		Lasting: func(t *testing.T) hypervisor.Spec { return spec(t, hypervisortest.MarkedGuest()) },
		ForeignTag: func(s hypervisor.Spec) hypervisor.Spec {
			s.Tag.Install = foreign
			return s
		},
		Crash:       func(t *testing.T, m hypervisor.Machine) { h.crash(t, m) },
		GuestPort:   22,
		Unfreezable: func(t *testing.T) hypervisor.Spec { return spec(t, hypervisortest.MarkedGuest()) },
		Format:      "ovf", DiskFormat: "vmdk", Content: diskContent,
		Timeout: guestTimeout,
	}.Run(t)
}

// crash kills the process of a machine.
func (h *host) crash(t *testing.T, m hypervisor.Machine) {
	t.Helper()
	pid, ok := qemu.PID(filepath.Join(h.home, "machines", m.Handle().UUID))
	if !ok {
		t.Fatalf("no process of %s", m.Handle().UUID)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// diskContent is the digest of what a VMDK holds.
func diskContent(t *testing.T, f hypervisor.File) string {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "disk.raw")
	if out, err := exec.Command("qemu-img", "convert", "-f", "vmdk", "-O", "raw", f.Path, raw).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	disk, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, disk); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
