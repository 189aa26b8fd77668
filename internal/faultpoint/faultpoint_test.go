package faultpoint

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestHit(t *testing.T) {
	for _, c := range []struct {
		env  string
		full bool
		bad  bool
	}{
		{"", false, false},
		{"other=kill", false, false},
		{"here.too=full", false, false},
		{"here=full", true, true},
		{"here=explode", false, true},
		{"here", false, true},
	} {
		t.Setenv(Env, c.env)
		err := Hit("here")
		if (err != nil) != c.bad || errors.Is(err, syscall.ENOSPC) != c.full {
			t.Errorf("%q: %v", c.env, err)
		}
	}
}

// The child process is killed, and so writes nothing after the point.
func TestKill(t *testing.T) {
	if os.Getenv(Env) != "" {
		err := Hit("here")
		t.Fatalf("Hit returned %v", err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), Env+"=here=kill")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the child ended with %v: %s", err, out)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("the child ended with %v: %s", err, out)
	}
}
