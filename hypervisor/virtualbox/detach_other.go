//go:build !linux

package virtualbox

import "os/exec"

// detach does nothing where a process cannot be tied to ours.
func detach(*exec.Cmd) {}
