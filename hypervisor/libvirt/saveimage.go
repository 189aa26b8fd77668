package libvirt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// A save image holds a machine's memory and devices as libvirt's QEMU driver writes it (libvirt src/qemu/qemu_saveimage.h):
// a header in the host's byte order, the domain's XML and a cookie, each with a zero byte at its end, then QEMU's migration
// stream.
const (
	saveMagic   = "LibvirtQemudSave"
	savePartial = "LibvirtQemudPart" // while libvirt writes it
	saveVersion = 2
)

// saveHeader is the fixed part.
type saveHeader struct {
	Magic        [16]byte
	Version      uint32
	DataLen      uint32 // of XML and cookie
	WasRunning   uint32
	Compressed   uint32 // how the stream is; libvirt undoes it
	CookieOffset uint32 // from the start of the XML; 0 without a cookie
	Unused       [14]uint32
}

// maxSaveData bounds XML and cookie, which are some ten kilobytes.
const maxSaveData = 16 << 20

// adoptSave copies a save image and puts another domain into it, which then runs when it is restored: libvirt refuses to
// restore one under another name.
func adoptSave(to io.Writer, from io.Reader, domain string) error {
	var h saveHeader
	if err := binary.Read(from, binary.NativeEndian, &h); err != nil {
		return fmt.Errorf("the frozen memory has no header: %w", whole(err))
	}
	if err := h.check(); err != nil {
		return err
	}
	data := make([]byte, h.DataLen)
	if _, err := io.ReadFull(from, data); err != nil {
		return fmt.Errorf("the frozen memory ends in its header: %w", whole(err))
	}
	var cookie []byte
	if h.CookieOffset != 0 {
		cookie = data[h.CookieOffset:]
	}
	text := append([]byte(domain), 0)
	h.WasRunning = 1
	h.DataLen = uint32(len(text) + len(cookie))
	if h.CookieOffset != 0 {
		h.CookieOffset = uint32(len(text))
	}
	var head bytes.Buffer
	if err := binary.Write(&head, binary.NativeEndian, h); err != nil {
		return err
	}
	head.Write(text)
	head.Write(cookie)
	if _, err := to.Write(head.Bytes()); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(onlyWriter{to}, onlyReader{from}, make([]byte, 1<<20)); err != nil {
		return err
	}
	return nil
}

// onlyWriter and onlyReader keep io.Copy to its buffer. What files offer instead is made for other pairs than a file and
// a pipe, and slower.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// whole calls an early end by its name.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (h saveHeader) check() error {
	switch string(h.Magic[:]) {
	case saveMagic:
	case savePartial:
		return errors.New("the frozen memory is not complete")
	default:
		return fmt.Errorf("the frozen memory is no save image of libvirt: it starts with %q", h.Magic[:])
	}
	if h.Version != saveVersion {
		return fmt.Errorf("the frozen memory is a save image of version %d; %d is known: %w", h.Version, saveVersion, hypervisor.ErrUnsupported)
	}
	if h.DataLen > maxSaveData || h.CookieOffset > h.DataLen {
		return fmt.Errorf("the frozen memory is damaged: %d bytes of description with a cookie at %d", h.DataLen, h.CookieOffset)
	}
	return nil
}
