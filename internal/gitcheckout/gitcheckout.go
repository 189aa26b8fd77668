// Package gitcheckout tells which commit a folder of a git checkout is at.
package gitcheckout

import (
	"context"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// State is what Look found.
type State struct {
	Commit   string // hexadecimal, 40 or 64 digits
	Remote   string // URL of the remote "origin", without user and password; empty without one
	Modified bool   // a tracked file in the folder, or below it, is not as in the commit
}

// patience is how long git may take in all: on a file system that hangs nobody waits for it.
const patience = 5 * time.Second

var commitForm = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// Look asks git about dir. It returns false where dir is in no checkout, has no commit yet, or git is not installed.
func Look(ctx context.Context, dir string) (State, bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	commit, err := git(ctx, dir, "rev-parse", "--verify", "HEAD")
	if err != nil || !commitForm.MatchString(commit) {
		return State{}, false
	}
	s := State{Commit: commit}
	changes, err := git(ctx, dir, "status", "--porcelain", "--untracked-files=no", "--", ".")
	s.Modified = err != nil || changes != "" // what cannot be told is not claimed to be clean
	if remote, err := git(ctx, dir, "remote", "get-url", "origin"); err == nil {
		s.Remote = withoutUser(remote)
	}
	return s, true
}

// git runs git without the programs that a checkout's own configuration may name.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	args = append([]string{"-C", dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, args...)
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(cmd.Environ(), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// withoutUser takes user and password out of a URL. "git@host:path" has a user that is none of anybody's secrets, and stays.
func withoutUser(remote string) string {
	u, err := url.Parse(remote)
	if err != nil || u.Host == "" {
		return remote
	}
	u.User = nil
	return u.String()
}
