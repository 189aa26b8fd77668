package floppy

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// bootSector describes the volume. Its code tells the BIOS to try the next device, in case the floppy is first in the
// boot order.
func bootSector(label string) []byte {
	out := append(make([]byte, 0, sectorSize), 0xeb, 0x3c, 0x90) // jump over the parameters
	out = append(out, "BOXKILN "...)
	out = binary.LittleEndian.AppendUint16(out, sectorSize)
	out = append(out, 1, 1, 0, fatCopies) // sectors per cluster, reserved sectors
	out = binary.LittleEndian.AppendUint16(out, rootEntries)
	out = binary.LittleEndian.AppendUint16(out, sectors)
	out = append(out, 0xf0)                         // media: 3.5 inch
	for _, v := range []uint16{fatSectors, 18, 2} { // sectors per track, heads
		out = binary.LittleEndian.AppendUint16(out, v)
	}
	out = append(out, make([]byte, 8)...) // nothing before the volume; sectors are counted above
	out = append(out, 0, 0, 0x29)         // first floppy drive; three more fields follow
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE([]byte(label)))
	out = append(out, fmt.Sprintf("%-11s", upper(label))...)
	out = append(out, "FAT12   "...)
	out = append(out, 0xcd, 0x18, 0xf4, 0xeb, 0xfd) // int 18h; hlt; jmp to the hlt
	out = append(out, make([]byte, sectorSize-2-len(out))...)
	return append(out, 0x55, 0xaa)
}
