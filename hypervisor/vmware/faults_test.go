package vmware

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
	"github.com/boxkiln/boxkiln/internal/rfb"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
)

// nothingLeft checks that a machine has left neither files nor a name.
func (r *rig) nothingLeft(t *testing.T, spec hypervisor.Spec) {
	t.Helper()
	if left, err := os.ReadDir(spec.Dir); err != nil || len(left) > 0 {
		t.Errorf("%s holds %v (%v)", spec.Dir, left, err)
	}
	if left, err := os.ReadDir(r.state); err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
		t.Errorf("the folder of links holds %v (%v)", left, err)
	}
	if records, err := r.home.All(); err != nil && !errors.Is(err, os.ErrNotExist) || len(records) > 0 {
		t.Errorf("VMware runs %v (%v)", records, err)
	}
}

func TestStaleLock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.driver(testInstall, host.StaleLock)
	m := started(t, d, r.spec(t, small(), nanoGuest()))
	for range 2 { // once more with what is left of the first
		if err := m.Wait(t.Context()); err != nil {
			t.Fatalf("Wait: %v", err)
		}
		if locks, err := locksIn(m.folder()); err != nil || len(locks) > 0 {
			t.Errorf("there are the locks %+v (%v)", locks, err)
		}
		if err := m.Start(t.Context()); err != nil {
			t.Fatalf("Start: %v", err)
		}
	}
}

func TestLockHeld(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := started(t, r.driver(testInstall, host.LockHeld+"=4"), r.spec(t, small(), nanoGuest()))
	if err := m.Wait(t.Context()); err != nil {
		t.Fatalf("Wait: %v", err)
	}
	if locks, err := locksIn(m.folder()); err != nil || len(locks) > 0 {
		t.Errorf("Wait is over and there are the locks %+v (%v)", locks, err)
	}
	if _, err := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Name: "x"}); err != nil {
		t.Errorf("Export: %v", err)
	}
}

func TestNoConsole(t *testing.T) {
	t.Parallel()
	for fault, want := range map[host.Fault]error{host.VNCNotServed: syscall.ECONNREFUSED, host.VNCTaken: rfb.ErrPassword} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			d := r.driver(testInstall, fault)
			d.patience = time.Second
			m := created(t, d, r.spec(t, small(), typewriter()))
			err := m.Start(t.Context())
			if !errors.Is(err, want) || !strings.Contains(err.Error(), "disable_vnc") {
				t.Errorf("Start: %v; want %v and a remedy", err, want)
			}
			if s, err := m.State(t.Context()); err != nil || s != hypervisor.Off {
				t.Errorf("the machine is %s (%v)", s, err)
			}
		})
	}
}

// TestPortTaken leaves a machine one port for its console, which somebody else has.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	m := created(t, r.driver(testInstall), r.spec(t, with(small(), map[string]any{"vnc_port_min": port, "vnc_port_max": port}), typewriter()))
	if err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "vnc_port_min") {
		t.Errorf("Start: %v", err)
	}
}

func TestWithoutConsole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := started(t, r.driver(testInstall), r.spec(t, with(small(), map[string]any{"disable_vnc": true}), typewriter()))
	if _, err := m.Capture(t.Context()); !errors.Is(err, hypervisor.ErrUnsupported) {
		t.Errorf("Capture: %v", err)
	}
	f, err := readVMX(m.path)
	if err != nil {
		t.Fatal(err)
	}
	if f.Bool("RemoteDisplay.vnc.enabled") {
		t.Error("the machine has a console")
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		faults []host.Fault
		tools  string
		known  bool
	}{
		"lease":                         {nil, "", true},
		"several leases":                {[]host.Fault{host.LeaseDuplicate}, "", true},
		"no lease":                      {[]host.Fault{host.LeaseMissing}, "", false},
		"no lease, but tools":           {[]host.Fault{host.LeaseMissing}, "running", true},
		"no lease, and tools that stop": {[]host.Fault{host.LeaseMissing, host.ToolsDown}, "running", false},
		"no lease, and tools are lost":  {[]host.Fault{host.LeaseMissing, host.AddressUnknown}, "running", false},
		"no lease, and the host's own":  {[]host.Fault{host.LeaseMissing, host.AddressGateway}, "running", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, host.EnvTools+"="+c.tools)
			m := started(t, r.driver(testInstall, c.faults...), r.spec(t, small(), typewriter()))
			e, err := m.Guest(t.Context(), 2222)
			if !c.known {
				if !errors.Is(err, hypervisor.ErrNoAddress) {
					t.Errorf("Guest = %v, %v; want ErrNoAddress", e, err)
				}
				return
			}
			record, ok := r.home.Get(m.path)
			if err != nil || !ok || e.Host != record.Address || e.Port != 2222 {
				t.Errorf("Guest = %v, %v; want %s", e, err, record.Address)
			}
		})
	}
}

func TestNoPowerButton(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := started(t, r.driver(testInstall), r.spec(t, small(), typewriter()))
	if err := m.Shutdown(t.Context()); !errors.Is(err, hypervisor.ErrUnsupported) || !strings.Contains(err.Error(), "shutdown_command") {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := r.spec(t, small(), nanoGuest())
	if _, err := r.driver(testInstall, host.DiskFull).Create(t.Context(), spec); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Create: %v", err)
	}
	r.nothingLeft(t, spec)

	created(t, r.driver(testInstall), spec)
	full, err := r.driver(testInstall, host.DiskFull).Open(t.Context(), hypervisor.Handle{Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := full.Export(t.Context(), dir, hypervisor.ExportOptions{Name: "x"}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Export: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the export has left %v (%v)", left, err)
	}
}

// TestRefusedStart has VMware refuse without a reason, which only its log tells.
func TestRefusedStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := created(t, r.driver(testInstall, host.Canceled), r.spec(t, small(), nanoGuest()))
	err := m.Start(t.Context())
	if !errors.Is(err, errDialog) || !strings.Contains(err.Error(), "vmware.log says: The simulator was asked to refuse this.") {
		t.Errorf("Start: %v", err)
	}
}

func TestVanish(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := started(t, r.driver(testInstall, host.Vanish+"=1"), r.spec(t, small(), typewriter()))
	if err := m.Wait(t.Context()); !errors.Is(err, hypervisor.ErrCrashed) {
		t.Errorf("Wait: %v", err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Errorf("Start after that: %v", err)
	}
}

// TestHalfMade finds a machine whose creation a crash cut short, in the way of the daemon's reaper and in that of Create.
func TestHalfMade(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.driver(testInstall)
	for _, again := range []bool{false, true} {
		spec := r.spec(t, small(), nanoGuest())
		half := &Machine{driver: d, path: vmxPath(spec.Dir), tools: d.tools, owner: owner{Name: spec.Name, UUID: "u", Tag: spec.Tag}}
		if err := os.MkdirAll(half.folder(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := half.claim(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(half.folder(), diskName(0)), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
		if again {
			m := created(t, d, spec)
			if m.UUID == "u" || !m.whole {
				t.Errorf("the half-made machine was taken for whole: %+v", m.Handle())
			}
			continue
		}
		all, err := d.List(t.Context())
		if err != nil || len(all) != 1 || all[0].Name != spec.Name {
			t.Errorf("List = %+v, %v", all, err)
		}
		m, err := r.driver(testInstall).Open(t.Context(), hypervisor.Handle{Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir})
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		if err := m.Destroy(t.Context()); err != nil {
			t.Fatalf("Destroy: %v", err)
		}
		r.nothingLeft(t, spec)
	}
}

func TestCancelledCreate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := r.spec(t, small(), nanoGuest())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.driver(testInstall).Create(ctx, spec); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
	for _, limit := range []time.Duration{time.Millisecond, 20 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		m, err := r.driver(testInstall).Create(ctx, spec)
		cancel()
		if err == nil { // it was faster
			if err := m.Destroy(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	r.nothingLeft(t, spec)
}

// TestForeignFile leaves a VMX file alone that is in the place of ours.
func TestForeignFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := r.spec(t, small(), nanoGuest())
	path := vmxPath(spec.Dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	const text = "config.version = \"8\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.driver(testInstall).Create(t.Context(), spec); !errors.Is(err, hypervisor.ErrForeign) {
		t.Errorf("Create: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != text {
		t.Errorf("the file is %q now (%v)", got, err)
	}
}

// TestNames has two machines of one name in different folders.
func TestNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.driver(testInstall)
	spec := r.spec(t, small(), nanoGuest())
	created(t, d, spec)
	other := r.spec(t, small(), nanoGuest())
	other.Name, other.Tag.Build = spec.Name, "b2"
	if _, err := d.Create(t.Context(), other); !errors.Is(err, hypervisor.ErrForeign) {
		t.Errorf("Create: %v", err)
	}
	if left, err := os.ReadDir(other.Dir); err != nil || len(left) > 0 {
		t.Errorf("the refused machine has left %v (%v)", left, err)
	}
}

func TestNotInstalled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.driver(testInstall)
	d.tools.dir = t.TempDir()
	spec := r.spec(t, small(), nanoGuest())
	if _, err := d.Create(t.Context(), spec); !errors.Is(err, hypervisor.ErrUnreachable) {
		t.Errorf("Create: %v", err)
	}
	r.nothingLeft(t, spec)
	caps, err := d.Probe(t.Context())
	if err != nil || caps.Available || !caps.Absent {
		t.Errorf("Probe = %+v, %v", caps, err)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.driver(testInstall).tools.vmrun(t.Context(), "list"); err != nil { // installs the simulator's files
		t.Fatal(err)
	}
	caps, err := r.driver(testInstall).Probe(t.Context())
	if err != nil || !caps.Available || caps.Version != "VMware Workstation 17.6.2 build-24409262" {
		t.Errorf("Probe = %+v, %v", caps, err)
	}
	// The simulator has no virtual network on this host.
	if len(caps.Problems) != 1 || !strings.Contains(caps.Problems[0].What, host.HostAddress) {
		t.Errorf("problems: %+v", caps.Problems)
	}
	bind, seen, err := r.driver(testInstall).SeedHost(t.Context(), hypervisor.Spec{})
	if err != nil || bind != "127.0.0.1" || seen != host.HostAddress {
		t.Errorf("SeedHost = %q, %q, %v", bind, seen, err)
	}
}

// TestTyping types what needs shift, and looks at the screen.
func TestTyping(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := started(t, r.driver(testInstall), r.spec(t, small(), typewriter()))
	serial(t, m, ">")
	const text = "aZ:/_{~?9"
	program, _, err := bootcmd.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Type(t.Context(), program.Events(), 0); err != nil {
		t.Fatal(err)
	}
	serial(t, m, ">"+text)
	img, err := m.Capture(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if bounds := img.Bounds(); bounds.Dx() < 320 || bounds.Dy() < 200 {
		t.Errorf("the picture is %v", bounds)
	}
	escape, _, err := bootcmd.Parse("<esc>")
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Type(t.Context(), escape.Events(), 0) // the console ends with the machine, maybe before the key comes up
	if err := m.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
}
