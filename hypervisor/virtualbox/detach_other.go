//go:build !unix

package virtualbox

import "os/exec"

func detach(*exec.Cmd) {}
