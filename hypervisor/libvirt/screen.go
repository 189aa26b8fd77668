//go:build !nolibvirt

package libvirt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"

	"libvirt.org/go/libvirt"
)

// maxScreen bounds what is received of a screenshot, in bytes: three for each of maxPixels, and the head.
const maxScreen = 3*maxPixels + 1<<10

// Capture takes a picture of the first screen.
func (m *Machine) Capture(ctx context.Context) (image.Image, error) {
	return askDomain(ctx, m, func(c *libvirt.Connect, dom *libvirt.Domain) (image.Image, error) {
		stream, err := c.NewStream(0)
		if err != nil {
			return nil, err
		}
		defer stream.Free()
		mime, err := dom.Screenshot(stream, 0, 0)
		if err != nil {
			return nil, fmt.Errorf("take a picture of %q: %w", m.name, err)
		}
		var data bytes.Buffer
		if err := receive(stream, &data); err != nil {
			return nil, errors.Join(err, stream.Abort())
		}
		if err := stream.Finish(); err != nil {
			return nil, err
		}
		return decodeScreen(mime, data.Bytes())
	})
}

func receive(stream *libvirt.Stream, to *bytes.Buffer) error {
	buf := make([]byte, 64<<10)
	for to.Len() < maxScreen {
		n, err := stream.Recv(buf)
		to.Write(buf[:max(0, n)])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive the picture: %w", err)
		}
	}
	return fmt.Errorf("the picture is larger than %d bytes", maxScreen)
}

// decodeScreen reads what libvirt sent: PNG from QEMU 7.1 on, PPM before.
func decodeScreen(mime string, data []byte) (image.Image, error) {
	if mime == "image/png" {
		size, err := png.DecodeConfig(bytes.NewReader(data))
		if err == nil && tooLarge(size.Width, size.Height) {
			err = fmt.Errorf("the picture has %d x %d pixels, and up to %d are looked at", size.Width, size.Height, maxPixels)
		}
		if err != nil {
			return nil, err
		}
		return png.Decode(bytes.NewReader(data))
	}
	if mime == "image/x-portable-pixmap" {
		return decodePPM(bytes.NewReader(data))
	}
	return nil, fmt.Errorf("the picture has the unknown type %q", mime)
}
