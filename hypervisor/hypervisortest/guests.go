package hypervisortest

import (
	"os"
	"path/filepath"
	"testing"
)

// Boot sectors are the cheapest real guests: under emulation one starts and ends within a second. Each is real-mode code
// that the BIOS loads at 0000:7c00. COM1 is at port 0x3f8. A driver's tests write them to a machine's disk.

// NanoText is what the nano guest writes to its serial port.
const NanoText = "nano guest\n"

// NanoGuest writes NanoText to COM1 and powers off by APM.
func NanoGuest() []byte {
	code := []byte{
		0xfc,       // cld
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0x8e, 0xd0, // mov ss, ax
		0xbc, 0x00, 0x7c, // mov sp, 0x7c00
		0xe8, byte(len(NanoText) + 1), 0x00, // call over the text, whose address is on the stack then
	}
	code = append(append(code, NanoText...), 0)
	return append(code,
		0x5e,             // pop si
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xac,       // next: lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x03, // jz off
		0xee,       // out dx, al
		0xeb, 0xf8, // jmp next
		0xb8, 0x01, 0x53, 0x31, 0xdb, 0xcd, 0x15, // off: APM connect
		0xb8, 0x0e, 0x53, 0x31, 0xdb, 0xb9, 0x02, 0x01, 0xcd, 0x15, // APM 1.2
		0xb8, 0x07, 0x53, 0xbb, 0x01, 0x00, 0xb9, 0x03, 0x00, 0xcd, 0x15, // all devices off
		0xf4, 0xeb, 0xfd, // hlt; jmp there
	)
}

// Ready is what the echo guest writes before it listens to the keyboard.
const Ready = ">"

// EchoGuest writes Ready and then every character that is typed to COM1, for ever.
func EchoGuest() []byte {
	return []byte{
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd0, // mov ss, ax
		0xbc, 0x00, 0x7c, // mov sp, 0x7c00
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xb0, Ready[0], // mov al, '>'
		0xee,       // out dx, al
		0x30, 0xe4, // next: xor ah, ah
		0xcd, 0x16, // int 0x16: wait for a key
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xee,       // out dx, al
		0xeb, 0xf6, // jmp next
	}
}

// CountReady is what the counting guest writes before it counts.
const CountReady = "#"

// CountGuest writes CountReady and then the letters from a to z over and over, one at each tick of the clock, for ever.
func CountGuest() []byte {
	return []byte{
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd0, // mov ss, ax
		0xbc, 0x00, 0x7c, // mov sp, 0x7c00
		0xfb,             // sti
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xb0, CountReady[0], // mov al, '#'
		0xee,      // out dx, al
		0xb3, 'a', // again: mov bl, 'a'
		0xf4,       // next: hlt
		0x88, 0xd8, // mov al, bl
		0xee,       // out dx, al
		0xfe, 0xc3, // inc bl
		0x80, 0xfb, 'z' + 1, // cmp bl, 'z' + 1
		0x75, 0xf5, // jne next
		0xeb, 0xf1, // jmp again
	}
}

// MarkedGuest keeps two letters, one in memory and one on its disk, and answers every key with one character on COM1:
// a letter from a to z goes into memory, one from A to Z in lower case to the disk; the space bar shows what is in memory,
// the slash what is on the disk; 0 is nothing. It starts with Ready.
func MarkedGuest() []byte {
	return []byte{
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0x8e, 0xc0, // mov es, ax
		0x8e, 0xd0, // mov ss, ax
		0xbc, 0x00, 0x7c, // mov sp, 0x7c00
		0x88, 0x16, 0xf0, 0x7d, // mov [0x7df0], dl: the drive
		0xa2, 0xf1, 0x7d, // mov [0x7df1], al: the letter
		0xb0, Ready[0], // mov al, '>'
		0xba, 0xf8, 0x03, // put: mov dx, 0x3f8
		0xee,       // out dx, al
		0x30, 0xe4, // xor ah, ah
		0xcd, 0x16, // int 0x16: wait for a key
		0x3c, ' ', // cmp al, ' '
		0x74, 0x0b, // je show
		0x3c, '/', // cmp al, '/'
		0x74, 0x16, // je read
		0x3c, 'a', // cmp al, 'a'
		0x72, 0x08, // jb write
		0xa2, 0xf1, 0x7d, // mov [0x7df1], al
		0xa0, 0xf1, 0x7d, // show: mov al, [0x7df1]
		0xeb, 0xe4, // jmp put
		0x0c, 0x20, // write: or al, 0x20
		0xa2, 0x00, 0x7e, // mov [0x7e00], al
		0xb8, 0x01, 0x03, // mov ax, 0x0301: write one sector
		0xeb, 0x03, // jmp disk
		0xb8, 0x01, 0x02, // read: mov ax, 0x0201
		0xbb, 0x00, 0x7e, // disk: mov bx, 0x7e00
		0xb9, 0x02, 0x00, // mov cx, 2: the second sector
		0xb6, 0x00, // mov dh, 0
		0x8a, 0x16, 0xf0, 0x7d, // mov dl, [0x7df0]
		0xcd, 0x13, // int 0x13
		0xa0, 0x00, 0x7e, // mov al, [0x7e00]
		0xeb, 0xc4, // jmp put
	}
}

// WriteSector makes a bootable disk image of one sector, raw, and returns its path.
func WriteSector(t testing.TB, dir string, code []byte) string {
	t.Helper()
	image := make([]byte, 512)
	copy(image, code)
	image[510], image[511] = 0x55, 0xaa
	path := filepath.Join(dir, "sector.img")
	if err := os.WriteFile(path, image, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
