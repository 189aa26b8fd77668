package disk

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the process when we are killed, so that no conversion outlives a daemon that could
// not stop it.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
