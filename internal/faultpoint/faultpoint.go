// Package faultpoint lets a test end the process, or break it, at a chosen point of a piece of code.
//
// Code that must survive a crash anywhere calls [Hit] between its steps. Without the environment variable [Env] that does
// nothing. A test runs itself again as a child whose Env is "POINT=kill", waits until the child is gone, and looks at what
// it left; with "POINT=full" the point fails as a full disk does.
package faultpoint

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Env is the environment variable that names a point and what happens there: POINT=kill or POINT=full.
const Env = "BOXKILN_FAULTPOINT"

// Hit is the point called name. It returns nil unless Env names it; with "kill" it does not return, because the process is
// killed with SIGKILL, and with "full" it returns an error that wraps syscall.ENOSPC.
func Hit(name string) error {
	want := os.Getenv(Env)
	if want == "" {
		return nil
	}
	point, act, _ := strings.Cut(want, "=")
	if point != name {
		return nil
	}
	switch act {
	case "kill":
		return kill()
	case "full":
		return fmt.Errorf("fault point %s: %w", name, syscall.ENOSPC)
	}
	return fmt.Errorf("%s=%q: a point can be killed (=kill) or fail for want of space (=full)", Env, want)
}

// kill ends the process as kill -9 does: no deferred function runs and no buffer is flushed.
func kill() error {
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		return err
	}
	select {} // the signal is on its way
}
