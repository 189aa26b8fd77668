// Command VBoxManage is a simulator of VirtualBox's command line, with real guests behind it.
//
// VirtualBox cannot be installed where Boxkiln is tested. This program takes the same arguments, prints the same texts on the
// same streams, ends with the same codes and keeps real disk images; its machines are QEMU's (package
// [github.com/boxkiln/boxkiln/test/sim/qemu]). Its facts come from VirtualBox's source and from outputs that others have
// published, not from Boxkiln's driver, with which it shares no code. Unmodified Packer and Vagrant work with it.
//
// # State
//
// Everything is kept in $VBOX_USER_HOME (~/.config/VirtualBox): one file under a lock, and a folder for each running machine.
// Machines' own folders are in "VirtualBox VMs" of the home directory, or in $BOXKILN_SIM_VBOX_MACHINES.
//
// # Settings
//
//	BOXKILN_SIM_VBOX_PROFILE    6.1 (the default), 7.0, 7.1 or 7.2: which VirtualBox this is
//	BOXKILN_SIM_LINGER          how long a session is locked after its machine's end, 1500ms
//	BOXKILN_SIM_VBOX_ADDITIONS  what is named as the image of the guest additions
//	BOXKILN_SIM_FAULTS          what goes wrong
//
// # Faults
//
// Faults are separated by commas. FAULT, FAULT:COMMAND or FAULT:COMMAND:N, where the N first calls of that command fail (all,
// unless given; counted in the state folder). COMMAND is the first argument; for controlvm, snapshot, list and modifynvram also
// "controlvm poweroff" and the like.
//
//	locked:CMD    VBOX_E_INVALID_OBJECT_STATE: the machine is locked by a session
//	exit0:CMD     the command prints an error, does nothing and ends with 0
//	progress:CMD  the progress bar stops with VBOX_E_FILE_ERROR
//	diskfull:CMD  likewise, with VERR_DISK_FULL
//	novmx         startvm fails: no hardware virtualisation (VERR_VMX_NO_VMX)
//	vanish        the machine aborts right after startvm
//	stuck         the session of a machine started now never ends, whatever becomes of the machine
//	slowstate     VMState lags two seconds behind a machine's end
//	vboxdrv       --version warns of a missing kernel module
//	nls           the host has translations: with LANG=de_DE.UTF-8 profiles 7.x speak German
//	crlf          lines end as on Windows
//
// A forward to an occupied port needs no fault: as in VirtualBox the machine starts, and only VBox.log tells.
//
// # What is not like VirtualBox
//
//   - Speed, and everything inside the virtual machine: chipset, firmware (SeaBIOS, OVMF) and devices are QEMU's. SCSI of kind
//     LsiLogic and BusLogic is an LSI 53C895A (driver sym53c8xx), as QEMU has no 53C1030; LsiLogicSAS is an LSI SAS 1068.
//   - NAT is QEMU's. Where 7.x keeps guests from the host's loopback, the guest reaches nothing but forwarded ports. Other
//     kinds of networks lead nowhere. Every machine with a "hostonly" card has it on a network of its own.
//   - savestate and discardstate: QEMU cannot save a machine with VDI disks, so the state of memory is lost: savestate fails.
//   - Differencing images are whole copies: a snapshot costs a copy of the disks, and their sizes tell nothing. Only machines
//     that are off can have their snapshot taken.
//   - Secure Boot is reported, not enforced. Serial ports lead to files, or nowhere.
//   - There are no guest additions: no guest properties by the guest, no run levels, no shared folders (they are remembered).
//   - Line numbers in "Context:" lines, usage texts, log files, .vbox files (which hold little) and human-readable showvminfo.
//   - clonemedium, import and export do not lock what they read. Snapshots and clonevm keep every other command waiting.
//   - What is not listed by "VBoxManage help" here does not exist.
package main

import (
	"os"
	"path/filepath"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
)

func main() {
	qemu.Supervise()
	os.Exit(run(os.Args))
}

// run is the command with its name and arguments; it returns the exit code.
func run(argv []string) int {
	c, err := newCall(filepath.Base(argv[0]))
	if err != nil {
		c.report(err)
		return exitFailure
	}
	defer c.flush()
	return c.main(argv[1:])
}
