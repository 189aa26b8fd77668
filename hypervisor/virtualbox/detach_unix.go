//go:build unix

package virtualbox

import (
	"os/exec"
	"syscall"
)

// detach puts the process into a group of its own, so that a Ctrl-C at the terminal reaches only us: we decide then what
// is cancelled, and what cleans up must not be interrupted itself. VirtualBox's service, which the first call starts, stays
// in that group.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
