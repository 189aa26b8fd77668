// Command VBoxManage is a simulator of VirtualBox's command line.
package main

import "github.com/boxkiln/boxkiln/test/sim/qemu"

func main() { qemu.Supervise() }
