//go:build !nolibvirt

package libvirt

import (
	"os"
	"path/filepath"
	"testing"
)

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
