package cloud

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// newLinux makes a disk with one partition, whose file system has the home of an account with a key.
func newLinux(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"mke2fs", "sfdisk", "debugfs", "e2fsck"} {
		needTool(t, tool)
	}
	dir := t.TempDir()
	home := filepath.Join(dir, "root", "home", "admin", ".ssh")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "authorized_keys"), []byte("theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "disk.raw")
	const script = `set -e; truncate -s 17M "$1"; echo 'start=2048, type=83' | sfdisk --quiet --label dos "$1"; mke2fs -q -F -t ext4 -d "$2" -E offset=1048576 "$1" 16M`
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", disk, filepath.Join(dir, "root")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return disk
}

// TestPersonalise: the key of an instance is beside those that are there, also when the guest has left a journal behind.
func TestPersonalise(t *testing.T) {
	t.Parallel()
	disk := newLinux(t)
	for _, g := range []Guest{{Disk: disk, Key: "first"}, {Disk: disk, Key: "second"}} {
		if err := personalise(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "debugfs", "-w", "-R", "feature needs_recovery", disk+"?offset=1048576").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), "debugfs", "-R", "cat /home/admin/.ssh/authorized_keys", disk+"?offset=1048576").Output()
	if want := "theirs\nfirst\nsecond\n"; err != nil || string(out) != want {
		t.Errorf("the keys are %q (%v), not %q", out, err, want)
	}
	if out, err := exec.CommandContext(t.Context(), "e2fsck", "-fn", disk+"?offset=1048576").CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
}

// TestNoLinux: other disks are left as they are.
func TestNoLinux(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(disk, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := personalise(t.Context(), Guest{Disk: disk, Key: "key"}); err != nil {
		t.Error(err)
	}
}
