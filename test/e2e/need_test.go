package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Environment variables of this package, and the places that they name unless set.
const (
	envRun       = "BOXKILN_E2E"       // 1: run the tests
	envBin       = "BOXKILN_BIN"       // the command, bin/boxkiln
	envISO       = "BOXKILN_ISO"       // the installer CD, build/iso/debian12-mini.iso
	envArtefacts = "BOXKILN_ARTEFACTS" // what the tests keep to be looked at, build/artefacts
)

// root is the repository.
const root = "../.."

// need skips a test unless end-to-end tests are wanted, and fails it if a program is missing that it needs.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv(envRun) != "1" {
		t.Skipf("boots real guests: set %s=1, or run test/test.sh", envRun)
	}
	for _, p := range append(programs, "virsh", "qemu-img", "qemu-system-x86_64") {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%v: test/setup/packages.sh test installs it", err)
		}
	}
	if _, err := os.Stat(command(t)); err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startup)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "virsh", "-c", "qemu:///system", "version").CombinedOutput(); err != nil {
		t.Fatalf("libvirt does not answer (test/setup/libvirt.sh starts it): %v: %s", err, out)
	}
}

func command(t *testing.T) string { return fromEnv(t, envBin, "bin/boxkiln") }

// installer is the installer CD; the file with its checksum lies beside it.
func installer(t *testing.T) string {
	t.Helper()
	iso := fromEnv(t, envISO, "build/iso/debian12-mini.iso")
	for _, name := range []string{iso, iso + ".sha256"} {
		if _, err := os.Stat(name); err != nil {
			t.Fatalf("%v: make iso makes it", err)
		}
	}
	return iso
}

func fromEnv(t *testing.T, name, fallback string) string {
	t.Helper()
	if path := os.Getenv(name); path != "" {
		return path
	}
	return absolute(t, filepath.Join(root, fallback))
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

var began = time.Now()

// progress tells where a test is, and how long all of them have run.
func progress(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("[%4.0f s] "+format, append([]any{time.Since(began).Seconds()}, args...)...)
}
