package sshguest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// busyPath is a PATH with the few commands that the smallest guest has, and no scp.
func busyPath(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sh", "cat", "chmod", "rm", "mkdir", "tar", "ls", "ln", "seq", "sleep", "kill"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue // a builtin of sh
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
