// Package libvirt drives QEMU machines through libvirt.
//
// [Planner] reads the arguments of Packer's qemu builder (and libvirt_uri, volume and network_interface) into a Spec
// without looking at the host. [Driver.Create] looks: it chooses the accelerator and the firmware, applies qemuargs,
// describes the machine in libvirt's XML, defines it and makes its disks in Spec.Dir. [Machine.Start] powers it on,
// Wait tells how it ended, Export flattens its disks, Destroy leaves nothing.
//
// A machine is a persistent domain that is started with AUTODESTROY. Persistent, because then libvirt itself is the
// record of what exists: a restarted daemon lists its machines by the tag in their metadata, off or running, and how one
// ended can still be asked after it did; a transient domain has vanished by then. AUTODESTROY, because libvirtd then
// powers the machine off as soon as the connection of its owner closes, so not even a daemon that is killed leaves a
// running guest; what remains is a definition, which the daemon finds in List when it starts again.
// The domain is defined before its first file is made, and markerFile is written when all are there: a crash in between
// leaves a domain that Create completes or Destroy removes.
//
// [Machine.Freeze] keeps a machine as it is. An external snapshot writes the memory and puts an overlay on every disk, all
// at one moment, while the guest stands still for some tenths of a second; the disk of until then stays as a hard link in
// the directory that the caller named, so the machine's own can go. [Driver.Thaw] describes a new machine as Create does,
// keeps of the frozen description what the guest has seen (addresses of devices, versions), and restores the memory under
// the new name: libvirt refuses that, so the memory goes to it through a pipe, with its description exchanged on the way.
// Nothing that is frozen is copied or written to. A restored machine cannot have AUTODESTROY; the ledger covers it.
//
// Connections are made when they are needed, kept, and made again after a failure. No call outlives its context, though
// libvirt's C functions know none: they run in goroutines of their own.
//
// The build tag nolibvirt leaves out libvirt's C library; New's driver then says so.
package libvirt

import "time"

// Name is the driver's name in the table of drivers.
const Name = "libvirt"

// DefaultKeyPace is the time between two key events when the template sets none. QEMU's PS/2 keyboard queues 16 bytes and
// drops the rest. Typing 2480 characters at a BIOS guest under emulation on a busy host lost 12 of them without a pause,
// one at 3 ms and none at 5 ms.
const DefaultKeyPace = 5 * time.Millisecond
