package virtualbox

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
)

const install = "faults"

// spec is a machine whose guest runs until it is stopped.
func lasting(t *testing.T) hypervisor.Spec {
	t.Helper()
	return withGuest(t, plan(t, TypeISO, install, smallArgs()), hypervisortest.MarkedGuest())
}

// made creates a machine that is destroyed when the test ends.
func made(t *testing.T, d *Driver, spec hypervisor.Spec) *Machine {
	t.Helper()
	m, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), guestTimeout)
		defer cancel()
		if err := m.Destroy(ctx); err != nil {
			t.Errorf("Destroy: %v", err)
		}
	})
	return m.(*Machine)
}

// wantNothing checks that a directory is as it was made.
func wantNothing(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%s holds %v (%v); want nothing", dir, left, err)
	}
}

// TestLockedSession: what holds a machine for a moment delays a call, and does not fail it.
func TestLockedSession(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0", "BOXKILN_SIM_FAULTS=locked:modifyvm:2,locked:startvm:2,locked:unregistervm:3,locked:storageattach:1")
	m := made(t, h.driver(install), lasting(t))
	if err := m.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
}

// TestLockForEver: a lock that never goes ends a call with the reason and what to do, and nothing is left.
func TestLockForEver(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0", "BOXKILN_SIM_FAULTS=locked:storagectl")
	d := h.driver(install)
	d.vbox.patience = 300 * time.Millisecond
	spec := lasting(t)
	_, err := d.Create(t.Context(), spec)
	if !isCode(err, codeInvalidObjectState) || !strings.Contains(err.Error(), "close what else has the machine open") {
		t.Errorf("Create: %v", err)
	}
	wantNothing(t, spec.Dir)
}

// TestFailedCreate lets each step of making a machine fail, in the ways that VirtualBox knows. Nothing may be left.
func TestFailedCreate(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]string{
		"exit0:createvm": "", "exit0:modifyvm": "", "exit0:storagectl": "", "exit0:createmedium": "", "exit0:storageattach": "", "exit0:setextradata": "",
		"diskfull:createmedium": "VERR_DISK_FULL", "progress:createmedium": "",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "7.0", "BOXKILN_SIM_FAULTS="+fault+":1")
			args := smallArgs()
			args["disk_additional_size"] = []int{1} // made by VBoxManage
			spec := plan(t, TypeISO, install, args)
			_, err := h.driver(install).Create(t.Context(), spec)
			if _, ours := errors.AsType[*Error](err); !ours || !strings.Contains(err.Error(), want) {
				t.Fatalf("Create: %v; want an error of VBoxManage with %q", err, want)
			}
			if full := strings.HasPrefix(fault, "diskfull"); errors.Is(err, syscall.ENOSPC) != full {
				t.Errorf("Create: %v; is it a full disk? %t", err, full)
			}
			wantNothing(t, spec.Dir)
			made(t, h.driver(install), spec) // the fault is over
		})
	}
}

// TestCancelledCreate cancels at no particular point. Nothing may be left.
func TestCancelledCreate(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.1")
	d := h.driver(install)
	for _, after := range []time.Duration{0, 10 * time.Millisecond, 30 * time.Millisecond, 60 * time.Millisecond, 100 * time.Millisecond} {
		spec := lasting(t)
		ctx, cancel := context.WithTimeout(t.Context(), after)
		m, err := d.Create(ctx, spec)
		cancel()
		if err == nil { // it was faster
			if err := m.Destroy(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %s: %v", after, err)
		}
		wantNothing(t, spec.Dir)
	}
}

// TestHalfMade: a process that was killed leaves a machine in the middle. It is found, made anew, and destroyed.
func TestHalfMade(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0")
	d := h.driver(install)
	begin := func(spec hypervisor.Spec) hypervisor.Handle {
		if _, err := h.manage(t.Context(), "createvm", "--name", spec.Name, "--ostype", "Other", "--register", "--basefolder", spec.Dir); err != nil {
			t.Fatal(err)
		}
		return hypervisor.Handle{Driver: Name, Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir}
	}
	spec := lasting(t)
	m, err := d.Open(t.Context(), begin(spec))
	if err != nil {
		t.Fatalf("Open of a machine without a record in our directory: %v", err)
	}
	if err := m.Destroy(t.Context()); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	wantNothing(t, spec.Dir)
	begin(spec)
	again := made(t, d, spec)
	if err := again.Start(t.Context()); err != nil {
		t.Errorf("Start of a machine that was made anew: %v", err)
	}
	elsewhere := spec
	elsewhere.Dir = t.TempDir()
	elsewhere.Name = "somebodys"
	h.manageOK(t, "createvm", "--name", "somebodys", "--ostype", "Other", "--register")
	defer h.manageOK(t, "unregistervm", "somebodys", "--delete")
	if _, err := d.Create(t.Context(), elsewhere); !errors.Is(err, hypervisor.ErrForeign) {
		t.Errorf("Create over somebody's machine: %v; want ErrForeign", err)
	}
	_, err = d.Open(t.Context(), hypervisor.Handle{Driver: Name, Name: "somebodys", Tag: spec.Tag, Dir: elsewhere.Dir})
	if !errors.Is(err, hypervisor.ErrNotFound) || !errors.Is(err, hypervisor.ErrForeign) {
		t.Errorf("Open of somebody's machine: %v; want ErrNotFound and ErrForeign", err)
	}
}

// manageOK runs a command of the user, which succeeds.
func (h *host) manageOK(t *testing.T, args ...string) string {
	t.Helper()
	out, err := h.manage(context.WithoutCancel(t.Context()), args...)
	if err != nil {
		t.Fatalf("VBoxManage %q: %v", args, err)
	}
	return out
}

// TestNoVirtualization: the error says what the host lacks.
func TestNoVirtualization(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0", "BOXKILN_SIM_FAULTS=novmx")
	err := made(t, h.driver(install), lasting(t)).Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "VERR_VMX_NO_VMX") || !strings.Contains(err.Error(), "nested virtualization") {
		t.Errorf("Start: %v", err)
	}
}

// TestVanished: a machine that is gone right after it started has crashed.
func TestVanished(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0", "BOXKILN_SIM_FAULTS=vanish")
	m := made(t, h.driver(install), lasting(t))
	err := m.Start(t.Context())
	if err == nil {
		err = m.Wait(t.Context())
	}
	if !errors.Is(err, hypervisor.ErrCrashed) {
		t.Errorf("%v; want ErrCrashed", err)
	}
}

// TestSlowState: the state of a machine lags behind, and Destroy and Export wait for it.
func TestSlowState(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0", "BOXKILN_SIM_FAULTS=slowstate")
	m := made(t, h.driver(install), withGuest(t, plan(t, TypeISO, install, smallArgs()), hypervisortest.NanoGuest()))
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Wait(t.Context()); err != nil {
		t.Fatalf("Wait: %v", err)
	}
	if _, err := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Name: "x"}); err != nil {
		t.Errorf("Export: %v", err)
	}
}

// TestOccupiedPort: a port that somebody listens on is not chosen, and when none is left the error says so.
func TestOccupiedPort(t *testing.T) {
	t.Parallel()
	h := newHost(t, "6.1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	args := smallArgs()
	args["host_port_min"], args["host_port_max"] = taken, taken
	m := made(t, h.driver(install), withGuest(t, plan(t, TypeISO, install, args), hypervisortest.MarkedGuest()))
	if err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "host_port_min") || !strings.Contains(err.Error(), strconv.Itoa(taken)) {
		t.Errorf("Start: %v; want the port %d", err, taken)
	}
}

// TestUnboundPort: a port that was taken while the machine started, and is free again, is exchanged.
func TestUnboundPort(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0")
	d := h.driver(install)
	m := made(t, d, lasting(t))
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := m.Guest(t.Context(), 22)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	idle := l.Addr().(*net.TCPAddr).Port
	h.manageOK(t, "controlvm", m.uuid, "natpf1", "delete", rulePrefix+"22")
	h.manageOK(t, "controlvm", m.uuid, "natpf1", rule(22, loopback, idle)) // in vain: it is taken
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.checkForwards(t.Context()); err != nil {
		t.Fatalf("checkForwards: %v", err)
	}
	after, err := m.Guest(t.Context(), 22)
	if err != nil || after.Port == idle {
		t.Fatalf("Guest = %v, %v; it was at %v, and nobody listens on %d", after, err, before, idle)
	}
	conn, err := net.Dial("tcp", after.String())
	if err != nil {
		t.Fatalf("the new port: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// TestUnhealthyHost: what VirtualBox prints where its kernel module is missing, in another language, with the line ends of
// Windows.
func TestUnhealthyHost(t *testing.T) {
	t.Parallel()
	caps, err := newHost(t, "7.0", "BOXKILN_SIM_FAULTS=vboxdrv").driver(install).Probe(t.Context())
	if err != nil || caps.Available || !strings.Contains(caps.Version, "7.0.12") || !strings.Contains(caps.Problems[0].What, "vboxdrv") {
		t.Errorf("Probe = %+v, %v", caps, err)
	}
	h := newHost(t, "7.1", "BOXKILN_SIM_FAULTS=nls,crlf", "LANG=de_DE.UTF-8")
	d := h.driver(install)
	m := made(t, d, lasting(t))
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := d.List(t.Context())
	if err != nil || len(list) != 1 || list[0] != m.Handle() {
		t.Errorf("List = %v, %v", list, err)
	}
	if _, err := m.Capture(t.Context()); err != nil {
		t.Errorf("Capture: %v", err)
	}
}

// TestFullDiskAtExport: what was written of an export is removed, and the machine can be exported when there is room.
func TestFullDiskAtExport(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0", "BOXKILN_SIM_FAULTS=diskfull:export:1")
	m := made(t, h.driver(install), lasting(t))
	dir := t.TempDir()
	if _, err := m.Export(t.Context(), dir, hypervisor.ExportOptions{Name: "x"}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Export: %v; want a full disk", err)
	}
	wantNothing(t, dir)
	var done int64
	a, err := m.Export(t.Context(), dir, hypervisor.ExportOptions{Name: "x", Progress: func(n, _ int64) { done = n }})
	if err != nil || len(a.Files) != 2 || a.Files[0].Role != hypervisor.RoleDescriptor || a.Files[1].Role != hypervisor.RoleDisk || done != 100 {
		t.Errorf("Export = %+v, %v, progress %d", a, err, done)
	}
	if _, err := m.Export(t.Context(), dir, hypervisor.ExportOptions{Name: "x"}); err == nil {
		t.Error("an export over another one did not fail")
	}
	if _, err := os.Stat(filepath.Join(dir, "x.ovf")); err != nil {
		t.Errorf("the first export is gone: %v", err)
	}
}
