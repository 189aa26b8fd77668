// Package vmx reads and writes the configuration files of VMware's machines.
//
// A [File] keeps every line of what it read: keys that it does not know, comments, order, spelling and line ends are
// written back byte for byte, but for what was set or deleted. [FromMachine] makes a file of a machine on paper, [File.ToMachine] reads
// one back, and [File.CleanForBox] takes out what belongs to the machine that ran and not to its copies.
package vmx

import (
	"io"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// File is a VMX file. Keys are compared without regard to case. The zero value is an empty file.
type File struct{}

// MaxSize is the longest file that Parse takes, in bytes. Real ones have a few kilobytes.
const MaxSize = 1 << 20

// Parse reads a file, in the encoding that its first line names: UTF-8 (also when it names none) or windows-1252.
func Parse(r io.Reader) (*File, error) { panic("not written yet") }

// Write writes the file in its encoding.
func (f *File) Write(w io.Writer) error { panic("not written yet") }

// Get returns a value without quotes and escapes; false if there is no such key. Of a key that is there twice the last counts.
func (f *File) Get(key string) (string, bool) { panic("not written yet") }

// Bool is Get for a value that is TRUE or FALSE; anything else is false.
func (f *File) Bool(key string) bool { panic("not written yet") }

// Set gives a key its value, in its place or at the end.
func (f *File) Set(key, value string) { panic("not written yet") }

// SetBool sets TRUE or FALSE.
func (f *File) SetBool(key string, value bool) { panic("not written yet") }

// Delete removes keys; those that are not there do no harm.
func (f *File) Delete(keys ...string) { panic("not written yet") }

// DeletePrefix removes the keys that begin so: "floppy0." removes the device.
func (f *File) DeletePrefix(prefix string) { panic("not written yet") }

// Keys returns the keys in their order, as they are spelled.
func (f *File) Keys() []string { panic("not written yet") }

// Device is a drive of a file.
type Device struct {
	Key  string // such as "scsi0:0"
	Kind hardware.DriveKind
	File string // fileName as written; a disk's may be a path
}

// Devices returns the drives that are present, in the order ide, sata, scsi, nvme, floppy and by number.
func (f *File) Devices() []Device { panic("not written yet") }

// NICs returns the numbers of the network cards that are present: 0 is ethernet0.
func (f *File) NICs() []int { panic("not written yet") }

// MAC is the address of a card: the static one, else the one that VMware generated; "" before the first start.
func (f *File) MAC(nic int) string { panic("not written yet") }

// FromMachine makes the file of a machine. It fails where VMware could not start it; what a VMX file has no words for is told by Losses.
func FromMachine(m hardware.Machine) (*File, error) { panic("not written yet") }

// Losses tells in sentences what of m a VMX file does not hold.
func Losses(m hardware.Machine) []string { panic("not written yet") }

// ToMachine reads the machine out of a file. Files of disks are as the file names them.
func (f *File) ToMachine() (hardware.Machine, error) { panic("not written yet") }

// BoxOptions say what goes out of a file beyond what always does.
type BoxOptions struct {
	// NoNICs removes the network cards: Vagrant's plug-in makes its own.
	NoNICs bool
}

// CleanForBox takes out what a box must not have: media in the drives, floppy drives, the VNC server and its password, identity
// (UUIDs, generated addresses) that all copies would share, and traces of the last run.
func (f *File) CleanForBox(o BoxOptions) { panic("not written yet") }
