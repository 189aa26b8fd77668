package main

import (
	"fmt"
	"image/png"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/test/sim/sector"
)

// A machine's life by the words of the command line: its guest is typed at, looked at and switches itself off, and its session
// lingers after that.
func TestLife(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"6.1", "7.0", "7.1", "7.2"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, profile, "BOXKILN_SIM_LINGER=10m")
			r.typewriter("tw")
			if got, want := r.ok("startvm", "tw", "--type", "headless"), "Waiting for VM \"tw\" to power on...\nVM \"tw\" has been successfully started.\n"; got != want {
				t.Errorf("startvm says %q; want %q", got, want)
			}
			r.waitState("tw", "running")
			r.waitSerial("tw", sector.Greeting)
			r.ok("controlvm", "tw", "keyboardputscancode", "1e", "9e", "2a", "1E", "AA", "9e", "e0", "48", "e0", "c8")
			r.waitSerial("tw", ">aAH")
			r.ok("controlvm", "tw", "keyboardputstring", "Say \"Hi!\"\n")
			r.waitSerial("tw", ">aAHSay \"Hi!\"\r")
			checkScreen(t, r)
			r.ok("controlvm", "tw", "pause")
			r.waitState("tw", "paused")
			r.ok("controlvm", "tw", "resume")
			r.waitState("tw", "running")
			if got := r.ok("list", "runningvms"); !strings.HasPrefix(got, "\"tw\" {") {
				t.Errorf("running machines: %q", got)
			}
			r.fails(exitFailure, "is already locked for a session (or being unlocked)", "modifyvm", "tw", "--memory", "65")
			r.esc("tw")
			r.fails(exitFailure, "Cannot unregister the machine 'tw' while it is locked", "unregistervm", "tw", "--delete")
			r.endSessions()
			r.waitUnlocked("tw")
			r.ok("unregistervm", "tw", "--delete")
			for _, left := range []string{"tw.vdi", "vms/tw"} {
				if _, err := os.Stat(r.path(left)); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", left, err)
				}
			}
			if got := r.ok("list", "vms") + r.ok("list", "hdds"); got != "" {
				t.Errorf("left registered: %s", got)
			}
		})
	}
}

func checkScreen(t *testing.T, r *rig) {
	t.Helper()
	r.ok("controlvm", "tw", "screenshotpng", "screen.png")
	f, err := os.Open(r.path("screen.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Error(err)
	}
}

// A machine that is switched off from outside, and one whose process is gone.
func TestEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1")
	r.typewriter("tw")
	r.ok("startvm", "tw", "--type", "headless")
	a := r.call(nil, "controlvm", "tw", "poweroff")
	if a.exit != 0 || a.out != "" || a.err != "0%...10%...20%...30%...40%...50%...60%...70%...80%...90%...100%\n" {
		t.Errorf("poweroff: %+v", a)
	}
	r.waitState("tw", "poweroff")
	r.fails(exitFailure, "Machine 'tw' is not currently running\n", "controlvm", "tw", "poweroff")
	r.waitUnlocked("tw")
	if a := r.call([]string{"BOXKILN_SIM_FAULTS=vanish"}, "startvm", "tw"); a.exit != 0 {
		t.Errorf("startvm: %+v", a)
	}
	r.waitState("tw", "aborted")
}

// Ports of the host lead into the guest while it runs. One that is taken is passed over, and only the log tells.
func TestForwards(t *testing.T) {
	t.Parallel()
	r := newRig(t, "7.0")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken, free := l.Addr().(*net.TCPAddr).Port, freePort(t)
	r.typewriter("tw", "--nat-pf1", fmt.Sprintf("taken,tcp,127.0.0.1,%d,,22", taken))
	r.ok("startvm", "tw", "--type", "headless")
	log, err := os.ReadFile(filepath.Join(r.path("vms/tw/Logs/VBox.log")))
	if err != nil || !strings.Contains(string(log), "VERR_NET_ADDRESS_IN_USE") {
		t.Errorf("the log says %q, %v", log, err)
	}
	r.ok("controlvm", "tw", "natpf1", fmt.Sprintf("later,tcp,127.0.0.1,%d,,22", free))
	wantOpen(t, free, true)
	if got := r.ok("showvminfo", "tw", "--machinereadable"); !regexp.MustCompile(`(?s)tcpWndRcv="64"\nForwarding\(0\)="later,tcp,127\.0\.0\.1,\d+,,22"\nForwarding\(1\)="taken,tcp,.*"\nnic2=`).MatchString(got) {
		t.Errorf("forwards are not where they belong:\n%s", got)
	}
	r.ok("controlvm", "tw", "natpf1", "delete", "later")
	wantOpen(t, free, false)
	r.ok("controlvm", "tw", "natpf1", "delete", "taken")
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func wantOpen(t *testing.T, port int, open bool) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		conn.Close()
	}
	if (err == nil) != open {
		t.Errorf("port %d: %v; want open %t", port, err, open)
	}
}
