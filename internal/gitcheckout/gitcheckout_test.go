package gitcheckout

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// checkout makes a repository with one commit, and a template in a folder of it.
func checkout(t *testing.T) (run func(args ...string) string, dir string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	root := t.TempDir()
	run = func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", root, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...)
		cmd.Env = append(cmd.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	run("init", "-q")
	dir = filepath.Join(root, "debian")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "x.pkr.hcl"), "one")
	write(t, filepath.Join(root, "other"), "one")
	run("add", ".")
	run("commit", "-q", "-m", "first")
	return run, dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	run, dir := checkout(t)
	s, ok := Look(t.Context(), dir)
	if !ok || s.Modified || s.Remote != "" || s.Commit != run("rev-parse", "HEAD")[:40] {
		t.Errorf("%+v, %t", s, ok)
	}
	run("remote", "add", "origin", "https://me:hunter2@example.org/templates.git")
	write(t, filepath.Join(dir, "..", "other"), "two")
	write(t, filepath.Join(dir, "new"), "untracked")
	if s, _ := Look(t.Context(), dir); s.Modified || s.Remote != "https://example.org/templates.git" {
		t.Errorf("with changes elsewhere: %+v", s)
	}
	write(t, filepath.Join(dir, "x.pkr.hcl"), "two")
	if s, _ := Look(t.Context(), dir); !s.Modified {
		t.Errorf("with a change: %+v", s)
	}
}

func TestLookWhereThereIsNone(t *testing.T) {
	t.Parallel()
	if s, ok := Look(t.Context(), t.TempDir()); ok {
		t.Errorf("a folder of its own is taken for a checkout: %+v", s)
	}
	if s, ok := Look(t.Context(), filepath.Join(t.TempDir(), "missing")); ok {
		t.Errorf("a missing folder is taken for a checkout: %+v", s)
	}
}

func TestWithoutUser(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"git@example.org:a/b.git": "git@example.org:a/b.git", "ssh://git@example.org/a": "ssh://example.org/a", "/srv/git/a": "/srv/git/a", "https://t0ken@h/a": "https://h/a",
	} {
		if got := withoutUser(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
