// Package vmware drives machines of VMware Workstation, Fusion and Player.
//
// [Planner] reads the arguments of Packer's vmware-iso and vmware-vmx builders into a Spec without looking at the host.
// [Driver.Create] writes a VMX file and makes its disks (vmware-vdiskmanager), or starts from an existing machine: a VMX, an OVF
// or an OVA. [Machine.Start] powers it on (vmrun) with a VNC server on loopback, through which the boot command is typed and
// pictures are taken; Guest finds its address in the leases of VMware's DHCP server; Export leaves a folder for a box, or an OVF
// or OVA; Destroy leaves nothing.
//
// To VMware a machine is a file, and nobody keeps a list of machines that are off. So the file is the record: keys that begin with
// tagPrefix, which VMware keeps as it keeps all that it does not know, hold the tag, the machine's id and whether it is complete.
// They are in the first file that Create writes. A folder of the user's (see [Options]) has a link to the file of each machine,
// under its name: List reads that, and two machines cannot have the same name. A link that leads nowhere is nobody's.
// All files of a machine are in a folder of its own within Spec.Dir, so Destroy removes the folder.
//
// What is known of a running machine comes from three places. `vmrun list` says what runs. The lock beside the VMX file names the
// process that has it, which is how a lock that a crash left is told from one that goes in a moment. And VMware writes
// cleanShutdown into the file when a machine ends as it should.
//
// The working disks are growable and in one file, whatever the template wants of the exported ones: such a disk can be copied as a
// file. Freeze copies the disks of a machine that is off, Thaw copies them back. Memory cannot be kept: a snapshot of VMware's
// belongs to the one machine that it was taken of.
//
// No real VMware product has run this yet; the tests run simulators of its programs over QEMU (test/sim/vmware).
package vmware

import "time"

// Name is the driver's name in the table of drivers.
const Name = "vmware"

// DefaultKeyPace is the time between two key events when the template sets none. VMware's own limit is not known; Packer waits
// 100 ms. QEMU's keyboard, which the simulators have, loses nothing from 5 ms on.
const DefaultKeyPace = 20 * time.Millisecond
