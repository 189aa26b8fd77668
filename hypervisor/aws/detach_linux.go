package aws

import (
	"os/exec"
	"syscall"
)

// detach puts the process into a group of its own, so that a Ctrl-C at the terminal reaches only us, and has it end with us.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
