package virtualbox

import (
	"os/exec"
	"syscall"
)

// detach puts the process into a group of its own, so that a Ctrl-C at the terminal reaches only us: we decide then what
// is cancelled, and what cleans up must not be interrupted itself. When we are killed it is interrupted, so that no import
// goes on for a daemon that will not know of it. VirtualBox's service and machines are not its children.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
}
