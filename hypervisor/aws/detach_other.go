//go:build !linux

package aws

import "os/exec"

// detach does nothing where a process cannot be told to end with its parent.
func detach(*exec.Cmd) {}
