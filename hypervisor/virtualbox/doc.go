// Package virtualbox drives VirtualBox through VBoxManage.
//
// There are three kinds of builders: virtualbox-iso installs from a medium, virtualbox-ovf starts from an exported machine
// and virtualbox-vm from one that is registered already. Their arguments are declared in groups; [Groups] returns those of
// a kind, and [Planner] reads them into a Spec without looking at the host. What all builders with a console share (medium,
// seed, boot command, communicator, shutdown) is declared by its owners. Sources: packer-plugin-virtualbox
// builder/virtualbox/{common,iso,ovf,vm}.
//
// [Driver.Create] looks at the host: it asks for the version, because 6.1 and 7.x know different switches, registers the
// machine in Spec.Dir, gives it hardware, disks and media, and runs the template's own commands. [Machine.Start] gives it
// what only this build needs, a forward to the guest and a serial port, and powers it on; Export takes that away again and
// writes an OVF or OVA; Destroy leaves nothing.
//
// What is known of a machine is kept with it, as its extra data: VirtualBox itself is the record of what exists, so that a
// restarted daemon finds its machines, and no others. A machine is registered before that can be written; until then its
// folder tells whose it is, because Spec.Dir belongs to one machine alone.
//
// A machine of virtualbox-vm stays its user's: it is borrowed. Destroy powers it off and takes away what was added.
//
// [Machine.Freeze] keeps the disks of a machine that is off, as copies: a disk of VirtualBox can be the base of others only
// while the register of media names it, and files of checkpoints come and go. Memory is never kept: a saved state fits the
// machine that it was saved of, and no other.
//
// VBoxManage answers in the language of its user and fails with exit status 0 too. So nothing here depends on its words but
// the prefix of an error; kinds of errors are told by their COM codes.
package virtualbox

import "time"

// Name is the driver's name in the table of drivers.
const Name = "virtualbox"

// DefaultKeyPace is the time that each key event counts for when the template sets none. VirtualBox's keyboard queues what
// is typed and tells when it is full, so this only leaves the guest time to react.
const DefaultKeyPace = 5 * time.Millisecond
