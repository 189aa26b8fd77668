package virtualbox

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Texts of VirtualBox 6.1 and 7.0, as they were captured from real ones.
const (
	lockedText = "VBoxManage: error: The machine 'x' is already locked for a session (or being unlocked)\n" +
		"VBoxManage: error: Details: code VBOX_E_INVALID_OBJECT_STATE (0x80bb0007), component MachineWrap, interface IMachine, callee nsISupports\n" +
		"VBoxManage: error: Context: \"LockMachine(a->session, LockType_Write)\" at line 554 of file VBoxManageModifyVM.cpp\n"
	missingText = "VBoxManage: error: Could not find a registered machine named 'nope'\n" +
		"VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component VirtualBoxWrap, interface IVirtualBox, callee nsISupports\n"
	vmxText = "VBoxManage: error: VT-x is not available (VERR_VMX_NO_VMX)\n" +
		"VBoxManage: error: Details: code NS_ERROR_FAILURE (0x80004005), component ConsoleWrap, interface IConsole\n"
	bareText   = "VBoxManage: error: Code NS_ERROR_INVALID_ARG (0x80070057) - Invalid argument value (extended info not available)\n"
	fullText   = "0%...10%...\nProgress state: VBOX_E_FILE_ERROR\nVBoxManage: error: Appliance write failed\nVBoxManage: error: Could not write (VERR_DISK_FULL)\n"
	syntaxText = "Oracle VM VirtualBox Command Line Management Interface Version 6.1.36\nUsage:\n\n  VBoxManage ...\n\nSyntax error: Unknown option: --x\n"
	germanText = "VBoxManage: error: Die Maschine 'x' ist schon gesperrt\nVBoxManage: error: Details: Code VBOX_E_INVALID_OBJECT_STATE (0x80BB0007)\n"
)

func TestParseError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		exit   int
		stderr string
		code   code
		says   string
	}{
		"locked":           {1, lockedText, codeInvalidObjectState, "already locked for a session"},
		"not found":        {1, missingText, codeObjectNotFound, "named 'nope'"},
		"exit status 0":    {0, missingText, codeObjectNotFound, "VBoxManage showvminfo x: Could not"},
		"Windows":          {0, strings.NewReplacer("VBoxManage:", "VBoxManage.exe:", "\n", "\r\n").Replace(lockedText), codeInvalidObjectState, "already locked"},
		"no VT-x":          {1, vmxText, 0x80004005, "nested virtualization"},
		"only a code":      {1, bareText, 0x80070057, "NS_ERROR_INVALID_ARG"},
		"full disk":        {1, fullText, 0, "Appliance write failed; Could not write (VERR_DISK_FULL); the disk of this host is full"},
		"syntax of 6.1":    {2, syntaxText, 0, "Syntax error: Unknown option: --x"},
		"German":           {1, germanText, codeInvalidObjectState, "gesperrt"},
		"nothing was said": {1, "", 0, "exit status 1"},
	} {
		err := parseError([]string{"showvminfo", "x", "--machinereadable"}, c.exit, c.stderr)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != c.code || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "Context:") {
			t.Errorf("%s: %v, code %#x; want %#x and %q", name, err, e.Code, c.code, c.says)
		}
	}
	if err := parseError(nil, 0, "0%...50%...100%\nWaiting for VM \"x\" to power on...\n"); err != nil {
		t.Errorf("progress was taken for an error: %v", err)
	}
	if err := parseError(nil, 1, fullText); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v is no full disk", err)
	}
}

func FuzzParseError(f *testing.F) {
	for _, text := range []string{lockedText, missingText, vmxText, bareText, fullText, syntaxText, germanText, ""} {
		f.Add(1, text)
	}
	f.Fuzz(func(t *testing.T, exit int, stderr string) {
		err := parseError([]string{"list"}, exit, stderr)
		if exit != 0 && err == nil {
			t.Error("a failure was taken for success")
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Error("an error without a text")
		}
	})
}

// script is a manager of a shell script that plays VBoxManage.
func script(t *testing.T, body string) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), program)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return &manager{find: func() (string, error) { return path, nil }, log: slog.New(slog.DiscardHandler), patience: 10 * time.Second, pause: time.Millisecond}
}

// TestRetry waits for a lock, and only for that.
func TestRetry(t *testing.T) {
	t.Parallel()
	locked := `echo x >> "$0.calls"; [ $(wc -l < "$0.calls") -ge 4 ] && { echo done; exit 0; }; printf '%s' "` + strings.ReplaceAll(lockedText, `"`, `\"`) + `" >&2; exit 1`
	m := script(t, locked)
	if out, err := m.run(t.Context(), "modifyvm", "x"); err != nil || out != "done\n" {
		t.Errorf("%q, %v; want success at the fourth try", out, err)
	}
	m = script(t, `echo x >> "$0.calls"; printf '%s' "`+missingText+`" >&2; exit 1`)
	_, err := m.run(t.Context(), "modifyvm", "x")
	path, _ := m.find()
	calls, readErr := os.ReadFile(path + ".calls")
	if !isCode(err, codeObjectNotFound) || readErr != nil || len(calls) != 2 {
		t.Errorf("%v after %q (%v); want one call", err, calls, readErr)
	}
}

// TestRetryEnds: patience has an end, and so has a build that is cancelled meanwhile.
func TestRetryEnds(t *testing.T) {
	t.Parallel()
	m := script(t, `printf '%s' "`+strings.ReplaceAll(lockedText, `"`, `\"`)+`" >&2; exit 1`)
	m.patience = 20 * time.Millisecond
	if _, err := m.run(t.Context(), "modifyvm", "x"); !isCode(err, codeInvalidObjectState) || !strings.Contains(err.Error(), "close what else") {
		t.Errorf("%v; want the lock and what to do", err)
	}
	m.patience, m.pause = 3*time.Hour, time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := m.run(ctx, "modifyvm", "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v; want the end of the context", err)
	}
}

// TestRunEnvironment: VBoxManage is asked in one language, and lines end in one way.
func TestRunEnvironment(t *testing.T) {
	t.Parallel()
	m := script(t, `printf "$LANG $LC_ALL\r\n"`)
	if out, err := m.run(t.Context(), "list"); err != nil || out != "C.UTF-8 C.UTF-8\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestInterrupt: a cancelled call may clean up.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	m := script(t, `trap 'touch "$0.cancelled"; exit 1' INT; touch "$0.ready"; while :; do sleep 0.05; done`)
	path, _ := m.find()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := m.run(ctx, "export", "x")
		done <- err
	}()
	waitFor(t, func() bool { _, err := os.Stat(path + ".ready"); return err == nil })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v; want the cancellation", err)
	}
	if _, err := os.Stat(path + ".cancelled"); err != nil {
		t.Errorf("the process was not interrupted but killed: %v", err)
	}
}

// waitFor polls until something is so.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); {
		if time.Now().After(end) {
			t.Fatal("it did not come about within a minute")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	m := script(t, `printf '0%%...10%%...2' >&2; printf '0%%...100%%\n' >&2`)
	var seen []int
	if _, err := m.watched(t.Context(), func(p int) { seen = append(seen, p) }, "export"); err != nil || !slices.Equal(seen, []int{0, 10, 20, 100}) {
		t.Errorf("%v, %v", seen, err)
	}
}

func TestFindProgram(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, program)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "/nowhere")
	for name, env := range map[string]map[string]string{
		"installer":        {"VBOX_INSTALL_PATH": dir},
		"several folders":  {"VBOX_MSI_INSTALL_PATH": "/nowhere/;" + dir + "/"},
		"first is nowhere": {"VBOX_INSTALL_PATH": "/nowhere", "VBOX_MSI_INSTALL_PATH": dir},
	} {
		if got, err := findProgram(func(k string) string { return env[k] }); err != nil || got != path {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := findProgram(func(string) string { return "" }); !errors.Is(err, ErrNoProgram) {
		t.Errorf("%v; want ErrNoProgram", err)
	}
	d := New(Options{Install: "x"})
	caps, err := d.Probe(t.Context())
	if err != nil || caps.Available || !caps.Absent || len(caps.Problems) != 1 || caps.Problems[0].Remedy == "" {
		t.Errorf("Probe without VirtualBox = %+v, %v", caps, err)
	}
	if list, err := d.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("List without VirtualBox = %v, %v", list, err)
	}
}
