package e2e

import (
	"bytes"
	"encoding/binary"
)

// What the sector guest writes to its serial port and to the first sector of its first disk.
const sectorText = "sector guest was here\r\n"

// ending says what a guest does after its work.
type ending int

const (
	powersOff ending = iota
	stays
)

// sectorGuest is a boot sector for a CD (El Torito without emulation) or a network boot program. It writes sectorText to the
// first sector of the first disk, copies the first sector of a floppy, if there is one, to the second, says the text on its
// serial port, and ends. It uses nothing but the BIOS, so it shows that the firmware knows the disk.
func sectorGuest(end ending) []byte {
	const text, packet = 0x90, 0xd0 // where the data is
	word := func(n int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }
	code := bytes.Join([][]byte{
		{0xea, 0x05, 0x00, 0xc0, 0x07},       // jmp 07c0:0005, wherever the firmware has loaded this segment to
		{0x0e, 0x1f, 0x0e, 0x07, 0x31, 0xc0}, // ds = es = cs; ax = 0
		{0x8e, 0xd0, 0xbc, 0x00, 0x7c},       // stack below
		{0xbe}, word(packet),                 // mov si, packet
		{0xb8, 0x00, 0x43, 0xb2, 0x80, 0xcd, 0x13},                                           // write sector 0 of disk 0x80
		{0xb8, 0x01, 0x02, 0xbb, 0x00, 0x04, 0xb9, 0x01, 0x00, 0xba, 0x00, 0x00, 0xcd, 0x13}, // read the floppy to 0x400
		{0x72, 0x15},                                // jc over the copy
		{0xc7, 0x06}, word(packet + 4), word(0x400), // packet.offset = 0x400
		{0xc6, 0x06}, word(packet + 8), {1}, // packet.sector = 1
		{0xbe}, word(packet),
		{0xb8, 0x00, 0x43, 0xb2, 0x80, 0xcd, 0x13},
		{0xbe}, word(text), {0xba, 0xf8, 0x03}, // mov si, text; mov dx, COM1
		{0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8}, // until a zero: out dx, al
	}, nil)
	if end == powersOff {
		code = append(code,
			0xb8, 0x01, 0x53, 0x31, 0xdb, 0xcd, 0x15, // APM: connect
			0xb8, 0x0e, 0x53, 0x31, 0xdb, 0xb9, 0x02, 0x01, 0xcd, 0x15, // version 1.2
			0xb8, 0x07, 0x53, 0xbb, 0x01, 0x00, 0xb9, 0x03, 0x00, 0xcd, 0x15) // all devices off
	}
	code = append(code, 0xf4, 0xeb, 0xfd) // hlt, for ever
	sector := make([]byte, 512)
	if copy(sector, code) > text {
		panic("the code runs into its data")
	}
	copy(sector[text:], sectorText)
	copy(sector[packet:], bytes.Join([][]byte{word(16), word(1), word(text), word(0x7c0), make([]byte, 8)}, nil))
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}

// bootCD makes the smallest ISO 9660 image that a BIOS boots (El Torito 1.0, sections 2 and 4), with some blocks behind it.
func bootCD(sector []byte, padding int) []byte {
	const block = 2048
	iso := make([]byte, (24+padding)*block)
	at := func(n int) []byte { return iso[n*block : (n+1)*block] }
	copy(at(16), "\x01CD001\x01")
	copy(at(17), "\x00CD001\x01EL TORITO SPECIFICATION")
	at(17)[0x47] = 20 // the boot catalogue
	copy(at(18), "\xffCD001\x01")
	catalogue := at(20)
	catalogue[0], catalogue[28], catalogue[29] = 1, 0xaa, 0x55 // checksum: 0x55aa + 0x0001 + the word at 30 is 0
	catalogue[30], catalogue[31] = 0x55, 0xaa
	catalogue[32], catalogue[38], catalogue[40] = 0x88, 4, 21 // bootable, 4 sectors of 512 bytes, from block 21
	copy(at(21), sector)
	return iso
}
