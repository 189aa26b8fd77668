package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/test/sim/sector"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
)

// fault makes a rig with faults and a machine.
func fault(t *testing.T, faults, more string) *rig {
	t.Helper()
	r := newRig(t, host.EnvFaults+"="+faults)
	r.machine(more)
	return r
}

func (r *rig) startAndStop() {
	r.t.Helper()
	r.ok("vmrun", "start", "x.vmx", "nogui")
	r.ok("vmrun", "stop", "x.vmx", "hard")
}

// TestStaleLock leaves locks behind that nobody holds. The next start takes them over.
func TestStaleLock(t *testing.T) {
	t.Parallel()
	r := fault(t, "stale-lock", "")
	r.startAndStop()
	poll(t, "the process to end", func() bool { return !host.InUse(r.path("x.vmx")) })
	if !r.exists("x.vmx.lck") || !r.exists("disk.vmdk.lck") {
		t.Error("the locks are gone")
	}
	r.env = append(r.env, host.EnvFaults+"=")
	r.ok("vmrun", "start", "x.vmx", "nogui")
}

// TestLockHeld holds the files longer than usual.
func TestLockHeld(t *testing.T) {
	t.Parallel()
	r := fault(t, "lock-held=6", "")
	r.ok("vmrun", "start", "x.vmx", "nogui")
	began := time.Now()
	r.ok("vmrun", "stop", "x.vmx", "hard")
	if a := r.run("vmware-vdiskmanager", "-d", "disk.vmdk"); a.code != 1 || !strings.Contains(a.stdout, "Failed to open the disk 'disk.vmdk' : Failed to lock the file (0x4000003ef)") {
		t.Errorf("a disk that is held: %+v", a)
	}
	r.refused("The file is already in use", "start", "x.vmx", "nogui")
	if got := r.ok("vmrun", "list"); got != "Total running VMs: 0\n" || !r.exists("x.vmx.lck") || !r.exists("disk.vmdk.lck") {
		t.Errorf("the machine is off and its files are held, but the list says %q", got)
	}
	poll(t, "the locks to go", func() bool { return !r.exists("x.vmx.lck") })
	if took := time.Since(began); took < 6*time.Second {
		t.Errorf("the locks were held for %v only", took)
	}
}

func TestScreenFaults(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r := fault(t, "vnc-not-served", vnc(port))
	r.ok("vmrun", "start", "x.vmx", "nogui")
	r.serial(sector.Greeting)
	if conn, err := tryVNC(port, "secret12"); err == nil {
		conn.Close()
		t.Error("somebody serves the screen")
	}
	foreign := freePort(t)
	r = fault(t, "vnc-foreign", vnc(foreign))
	r.ok("vmrun", "start", "x.vmx", "nogui")
	if conn, err := tryVNC(foreign, "secret12"); err == nil || !strings.Contains(err.Error(), "password is refused") {
		t.Errorf("the foreign screen: %v, %v", conn, err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r = fault(t, "", vnc(taken.Addr().(*net.TCPAddr).Port))
	r.ok("vmrun", "start", "x.vmx", "nogui")
	if !strings.Contains(r.read("vmware.log"), "Failed to bind to port") {
		t.Error("the log does not say that the port is taken")
	}
}

func (r *rig) leases() []string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.home.Etc(), "vmnet8/dhcpd/dhcpd.leases"))
	if err != nil {
		r.t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^lease .* \{`).FindAllString(string(data), -1)
}

func TestLeaseFaults(t *testing.T) {
	t.Parallel()
	r := fault(t, "lease-missing", "")
	r.startAndStop()
	if got := r.leases(); len(got) != 0 {
		t.Errorf("leases: %v", got)
	}
	r = fault(t, "lease-duplicate", "")
	r.startAndStop()
	if got := r.leases(); len(got) != 3 || !strings.Contains(got[0], ".126 ") || !strings.Contains(got[2], ".127 ") {
		t.Errorf("leases: %v", got)
	}
	r = fault(t, "", "ethernet0.connectionType = \"bridged\"\n")
	r.startAndStop()
	if got := r.leases(); len(got) != 0 {
		t.Errorf("leases of a bridged machine: %v", got)
	}
}

func TestToolFaults(t *testing.T) {
	t.Parallel()
	for faults, want := range map[string]string{"address-unknown": `^unknown\n$`, "address-gateway": `^127\.8\.\d+\.1\n$`} {
		r := fault(t, faults, "guestinfo.boxkiln-sim.tools = \"running\"\n")
		r.ok("vmrun", "start", "x.vmx", "nogui")
		if got := r.ok("vmrun", "getGuestIPAddress", "x.vmx"); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %q", faults, got)
		}
	}
	r := fault(t, "tools-down", "")
	r.env = append(r.env, host.EnvTools+"=running")
	r.ok("vmrun", "start", "x.vmx", "nogui")
	if got := r.ok("vmrun", "checkToolsState", "x.vmx"); got != "installed\n" {
		t.Errorf("tools that do not run are %q", got)
	}
	r.refused("The VMware Tools are not running", "getGuestIPAddress", "x.vmx")
}

func TestStartFaults(t *testing.T) {
	t.Parallel()
	for faults, want := range map[string]string{"canceled": "Error: The operation was canceled\n", "unknown-error": "Error: Unknown error\n"} {
		r := fault(t, faults, "")
		if a := r.run("vmrun", "start", "x.vmx", "nogui"); a.code != 255 || a.stdout != want {
			t.Errorf("%s: %+v", faults, a)
		}
		if log := r.read("vmware.log"); faults == "canceled" && !strings.Contains(log, "Msg_Post: Error") {
			t.Errorf("the log does not know why:\n%s", log)
		}
		if r.exists("x.vmx.lck") || r.exists("x.nvram") {
			t.Errorf("%s: the start has left something", faults)
		}
	}
}

// TestVanish kills the guest's process. Locks and VMX stay as they were, and the machine can be started again.
func TestVanish(t *testing.T) {
	t.Parallel()
	r := fault(t, "vanish=0.2", "")
	r.ok("vmrun", "start", "x.vmx", "nogui")
	poll(t, "the machine to vanish", func() bool { return r.ok("vmrun", "list") == "Total running VMs: 0\n" })
	poll(t, "its process to end", func() bool { return !host.InUse(r.path("x.vmx")) })
	if !r.exists("x.vmx.lck") || !strings.Contains(r.read("x.vmx"), `cleanShutdown = "FALSE"`) {
		t.Error("somebody has tidied up")
	}
	r.env = append(r.env, host.EnvFaults+"=")
	r.ok("vmrun", "start", "x.vmx", "nogui")
}

func TestDiskFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, host.EnvFaults+"=disk-full,vdisk-noise,slow-stop=0.5")
	r.machine("")
	a := r.run("vmware-vdiskmanager", "-c", "-s", "1M", "-a", "ide", "-t", "0", "new.vmdk")
	if a.code != 1 || !strings.HasPrefix(a.stdout, "Failed to create disk: There is not enough space") || r.exists("new.vmdk") {
		t.Errorf("a full disk: %+v", a)
	}
	if a := r.run("vmware-vdiskmanager", "-d", "disk.vmdk"); a.code != 0 || !strings.Contains(a.stderr, "VixDiskLib: Invalid configuration file parameter.") {
		t.Errorf("noise: %+v", a)
	}
	r.refused("There is not enough space", "clone", "x.vmx", "y/y.vmx", "full")
	if a := r.run("ovftool", "x.vmx", "x.ovf"); a.code != 1 || r.exists("x-disk1.vmdk") {
		t.Errorf("ovftool on a full disk: %+v", a)
	}
	r.ok("vmrun", "start", "x.vmx", "nogui")
	began := time.Now()
	if r.ok("vmrun", "stop", "x.vmx", "hard"); time.Since(began) < 500*time.Millisecond {
		t.Error("the stop is not slow")
	}
}

func TestUnknownFault(t *testing.T) {
	t.Parallel()
	for _, faults := range []string{"gremlins", "lock-held=soon"} {
		r := newRig(t, host.EnvFaults+"="+faults)
		r.refused(host.EnvFaults, "list")
	}
}
