// Package sector holds guests of 512 bytes, which boot within a second and show that a simulated machine is a real one.
package sector

import "bytes"

// Greeting is what the [Typewriter] writes first.
const Greeting = ">"

// Typewriter is a boot sector for a disk. It writes [Greeting] to its first serial port and to its screen, and then every key
// that is typed: its character, or its scan code if it has none. The escape key powers the machine off (by APM), and there is
// no other way to end it: it knows nothing of power buttons.
func Typewriter() []byte {
	code := bytes.Join([][]byte{
		{0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c}, // segments 0, stack below
		{0xb0, Greeting[0]},                                                // mov al, '>'
		{0xba, 0xf8, 0x03, 0xee},                                           // again: out COM1, al
		{0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10},                         // BIOS: write al to the screen
		{0x30, 0xe4, 0xcd, 0x16},                                           // BIOS: wait for a key
		{0x84, 0xc0, 0x75, 0x02, 0x88, 0xe0},                               // no character: take the scan code
		{0x3c, 0x1b, 0x75, 0xe7},                                           // not escape: again
		{0xb8, 0x01, 0x53, 0x31, 0xdb, 0xcd, 0x15},                         // APM: connect
		{0xb8, 0x0e, 0x53, 0x31, 0xdb, 0xb9, 0x02, 0x01, 0xcd, 0x15},       // version 1.2
		{0xb8, 0x07, 0x53, 0xbb, 0x01, 0x00, 0xb9, 0x03, 0x00, 0xcd, 0x15}, // all devices off
		{0xf4, 0xeb, 0xfd},                                                 // hlt, for ever
	}, nil)
	boot := make([]byte, 512)
	if copy(boot, code) > 510 {
		panic("the code runs into its signature")
	}
	boot[510], boot[511] = 0x55, 0xaa
	return boot
}
