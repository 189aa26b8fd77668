package vmware

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/boxkiln/boxkiln/test/sim/sector"
)

// nanoGuest powers itself off by APM at once.
func nanoGuest() []byte {
	return []byte{
		0xfc,       // cld
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0x8e, 0xd0, // mov ss, ax
		0xbc, 0x00, 0x7c, // mov sp, 0x7c00
		0xba, 0xf8, 0x03, 0xb0, '!', 0xee, // COM1: '!'
		0xb8, 0x01, 0x53, 0x31, 0xdb, 0xcd, 0x15, // APM connect
		0xb8, 0x0e, 0x53, 0x31, 0xdb, 0xb9, 0x02, 0x01, 0xcd, 0x15, // APM 1.2
		0xb8, 0x07, 0x53, 0xbb, 0x01, 0x00, 0xb9, 0x03, 0x00, 0xcd, 0x15, // all devices off
		0xf4, 0xeb, 0xfd, // hlt; jmp there
	}
}

// typewriter echoes keys for ever; the escape key powers it off.
func typewriter() []byte { return sector.Typewriter() }

// bootableCD makes the smallest ISO 9660 image that a BIOS boots: El Torito with one sector of code and no emulation
// (El Torito 1.0, sections 2 and 4).
func bootableCD(t testing.TB, dir string, code []byte) string {
	t.Helper()
	const block = 2048
	iso := make([]byte, 24*block)
	at := func(n int) []byte { return iso[n*block : (n+1)*block] }
	copy(at(16), "\x01CD001\x01")
	copy(at(17), "\x00CD001\x01EL TORITO SPECIFICATION")
	at(17)[0x47] = 20 // the boot catalogue
	copy(at(18), "\xffCD001\x01")
	catalogue := at(20)
	catalogue[0], catalogue[28], catalogue[29] = 1, 0xaa, 0x55 // checksum: 0x55aa + 0x0001 + the word at 30 is 0
	catalogue[30], catalogue[31] = 0x55, 0xaa
	catalogue[32], catalogue[38], catalogue[40] = 0x88, 4, 21 // bootable, 4 sectors of 512 bytes, from block 21
	copy(at(21), code)
	path := filepath.Join(dir, "boot.iso")
	if err := os.WriteFile(path, iso, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
