package main

import (
	"os"
	"strings"
	"testing"
)

// with are the faults of a call.
func with(faults string) []string { return []string{"BOXKILN_SIM_FAULTS=" + faults} }

// A session that is locked for the first calls of one command, and only for those.
func TestFaultLocked(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1", with("locked:modifyvm:2")...)
	r.ok("createvm", "--name", "vm", "--register")
	for range 2 {
		r.fails(exitFailure, "VBOX_E_INVALID_OBJECT_STATE (0x80bb0007)", "modifyvm", "vm", "--memory", "64")
	}
	r.ok("modifyvm", "vm", "--memory", "64")
}

// An error that the exit code hides.
func TestFaultExitZero(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1")
	a := r.call(with("exit0:createvm"), "createvm", "--name", "vm", "--register")
	if a.exit != 0 || a.out != "" || !strings.Contains(a.err, "VBoxManage: error: ") {
		t.Errorf("%+v", a)
	}
	if got := r.ok("list", "vms"); got != "" {
		t.Errorf("the command did something: %s", got)
	}
}

// Operations that break off leave nothing.
func TestFaultProgress(t *testing.T) {
	t.Parallel()
	needQEMU(t)
	r := newRig(t, "7.0")
	r.typewriter("tw")
	for fault, text := range map[string]string{"progress": "Progress state: VBOX_E_FILE_ERROR\n", "diskfull": "VERR_DISK_FULL"} {
		a := r.call(with(fault+":export"), "export", "tw", "--output", "x.ovf")
		if a.exit != exitFailure || a.out != "" || !strings.HasPrefix(a.err, "0%...\nProgress state: VBOX_E_FILE_ERROR\n") || !strings.Contains(a.err, text) {
			t.Errorf("%s: %+v", fault, a)
		}
		for _, name := range []string{"x.ovf", "x-disk001.vmdk"} {
			if _, err := os.Stat(r.path(name)); !os.IsNotExist(err) {
				t.Errorf("%s: %s is left: %v", fault, name, err)
			}
		}
	}
}

func TestFaultNoVMX(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1")
	r.ok("createvm", "--name", "vm", "--register")
	a := r.call(with("novmx"), "startvm", "vm", "--type", "headless")
	want := "VBoxManage: error: VT-x is not available (VERR_VMX_NO_VMX)\n" +
		"VBoxManage: error: Details: code NS_ERROR_FAILURE (0x80004005), component ConsoleWrap, interface IConsole, callee nsISupports\n"
	if a.exit != exitFailure || a.out != "Waiting for VM \"vm\" to power on...\n" || a.err != want {
		t.Errorf("%+v; want %q", a, want)
	}
}

// A session that never ends.
func TestFaultStuck(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1")
	r.typewriter("tw")
	if a := r.call(with("stuck"), "startvm", "tw"); a.exit != 0 {
		t.Fatalf("%+v", a)
	}
	r.ok("controlvm", "tw", "poweroff")
	r.waitState("tw", "poweroff")
	r.stop() // the lingering is over
	r.fails(exitFailure, "is already locked for a session", "modifyvm", "tw", "--memory", "64")
}

// A state that is late.
func TestFaultSlowState(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1", with("slowstate")...)
	r.typewriter("tw")
	r.ok("startvm", "tw")
	r.ok("controlvm", "tw", "poweroff")
	if got := r.ok("showvminfo", "tw", "--machinereadable"); !strings.Contains(got, "VMState=\"stopping\"") {
		t.Errorf("the state is not late:\n%s", got)
	}
	r.waitState("tw", "poweroff")
}

func TestFaultDriver(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1", with("vboxdrv")...)
	if got := r.ok("--version"); !strings.HasPrefix(got, "WARNING: The vboxdrv kernel module is not loaded.") || !strings.HasSuffix(got, "\n6.1.36r152435\n") {
		t.Errorf("%q", got)
	}
}

// Translations change texts, not codes, and only where they are wanted.
func TestFaultNLS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ profile, lang, want string }{
		{"7.0", "de_DE.UTF-8", "Es wurde keine registrierte Maschine gefunden mit dem Namen 'nope'\nVBoxManage: error: Details: Code VBOX_E_OBJECT_NOT_FOUND"},
		{"7.0", "C.UTF-8", "Could not find a registered machine named 'nope'\n"},
		{"6.1", "de_DE.UTF-8", "Could not find a registered machine named 'nope'\n"},
	} {
		r := newRig(t, c.profile, append(with("nls"), "LANG="+c.lang)...)
		r.fails(exitFailure, c.want, "showvminfo", "nope")
	}
}

func TestFaultCRLF(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1", with("crlf")...)
	if got := r.ok("--version"); got != "6.1.36r152435\r\n" {
		t.Errorf("%q", got)
	}
	if got := r.call(nil, "showvminfo", "nope").err; strings.Count(got, "\r\n") != 3 || strings.Count(got, "\n") != 3 {
		t.Errorf("%q", got)
	}
}
