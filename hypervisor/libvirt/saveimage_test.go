package libvirt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// saved makes a save image as libvirt does.
func saved(xml, cookie, stream string, change func(h *saveHeader)) []byte {
	h := saveHeader{Version: saveVersion, Compressed: 3}
	copy(h.Magic[:], saveMagic)
	data := xml + "\x00"
	if cookie != "" {
		h.CookieOffset = uint32(len(data))
		data += cookie + "\x00"
	}
	h.DataLen = uint32(len(data))
	if change != nil {
		change(&h)
	}
	var out bytes.Buffer
	_ = binary.Write(&out, binary.NativeEndian, h) // a buffer takes everything
	out.WriteString(data + stream)
	return out.Bytes()
}

func TestAdoptSave(t *testing.T) {
	t.Parallel()
	stream := strings.Repeat("QEVM", 1<<20)
	for name, cookie := range map[string]string{"cookie": "<cookie/>", "no cookie": ""} {
		var got bytes.Buffer
		if err := adoptSave(&got, bytes.NewReader(saved("<domain>old</domain>", cookie, stream, nil)), "<domain>a longer new one</domain>"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := saved("<domain>a longer new one</domain>", cookie, stream, func(h *saveHeader) { h.WasRunning = 1 })
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: the image has %d bytes; want %d bytes that differ", name, got.Len(), len(want))
		}
	}
	if n := binary.Size(saveHeader{}); n != 92 {
		t.Errorf("the header has %d bytes; libvirt's has 92", n)
	}
}

func TestAdoptSaveRefuses(t *testing.T) {
	t.Parallel()
	whole := saved("<domain/>", "<cookie/>", "stream", nil)
	header := func(change func(h *saveHeader)) []byte { return saved("<domain/>", "<cookie/>", "", change) }
	for name, c := range map[string]struct {
		image []byte
		want  string
		is    error
	}{
		"nothing":           {nil, "no header", io.ErrUnexpectedEOF},
		"half a header":     {whole[:50], "no header", io.ErrUnexpectedEOF},
		"cut in the XML":    {whole[:95], "ends in its header", io.ErrUnexpectedEOF},
		"something else":    {bytes.Repeat([]byte("x"), 200), "no save image", nil},
		"not complete":      {header(func(h *saveHeader) { copy(h.Magic[:], savePartial) }), "not complete", nil},
		"another version":   {header(func(h *saveHeader) { h.Version = 3 }), "version 3", hypervisor.ErrUnsupported},
		"a huge header":     {header(func(h *saveHeader) { h.DataLen = 1 << 31 }), "damaged", nil},
		"a cookie too far":  {header(func(h *saveHeader) { h.CookieOffset = 1 << 20 }), "damaged", nil},
		"another byteorder": {header(func(h *saveHeader) { h.Version = 2 << 24 }), "version", hypervisor.ErrUnsupported},
	} {
		var out bytes.Buffer
		err := adoptSave(&out, bytes.NewReader(c.image), "<domain/>")
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v; want an error with %q", name, err, c.want)
		}
		if out.Len() > 0 {
			t.Errorf("%s: %d bytes were written all the same", name, out.Len())
		}
	}
	full := errors.New("full")
	if err := adoptSave(failingWriter{full}, bytes.NewReader(whole), "<domain/>"); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// FuzzAdoptSave: what is not refused has the new domain, the old cookie and the old stream.
func FuzzAdoptSave(f *testing.F) {
	f.Add(saved("<domain/>", "<cookie/>", "stream", nil))
	f.Add(saved("<domain/>", "", "", nil))
	f.Add([]byte(saveMagic))
	f.Fuzz(func(t *testing.T, image []byte) {
		const domain = "<domain>new</domain>"
		var out bytes.Buffer
		if adoptSave(&out, bytes.NewReader(image), domain) != nil {
			return
		}
		var h saveHeader
		if err := binary.Read(&out, binary.NativeEndian, &h); err != nil {
			t.Fatal(err)
		}
		data := out.Next(int(h.DataLen))
		if !bytes.HasPrefix(data, []byte(domain+"\x00")) || h.WasRunning != 1 {
			t.Fatalf("the new image holds %q", data)
		}
		if rest := append(bytes.Clone(data[len(domain)+1:]), out.Bytes()...); !bytes.HasSuffix(image, rest) {
			t.Fatalf("cookie and stream are %q", rest)
		}
	})
}
