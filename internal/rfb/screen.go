package rfb

import (
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"io"
)

// Messages of a server (RFC 6143 section 7.6).
const (
	messageUpdate    = 0
	messageColours   = 1
	messageBell      = 2
	messageClipboard = 3
)

// Key presses or releases a key by its X11 keysym. A server takes keys in their order; Sync waits for it.
func (c *Conn) Key(ctx context.Context, keysym uint32, down bool) error {
	m := []byte{4, 0, 0, 0}
	if down {
		m[1] = 1
	}
	return c.during(ctx, func() error { return c.write(binary.BigEndian.AppendUint32(m, keysym)...) })
}

// Sync waits until the server has taken everything that was sent: it answers messages in their order.
func (c *Conn) Sync(ctx context.Context) error {
	return c.during(ctx, func() error { return c.update(image.Rect(0, 0, 1, 1)) })
}

// Screen takes a picture of the whole screen.
func (c *Conn) Screen(ctx context.Context) (image.Image, error) {
	err := c.during(ctx, func() error {
		for range maxUpdates {
			size := image.Rect(0, 0, c.width, c.height)
			if err := c.update(size); err != nil {
				return err
			}
			if size == image.Rect(0, 0, c.width, c.height) { // otherwise it has another size now
				return nil
			}
		}
		return fmt.Errorf("the screen's size changes all the time")
	})
	if err != nil {
		return nil, err
	}
	return c.picture(), nil
}

// picture copies the pixels, with red and blue in their places.
func (c *Conn) picture() image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, c.width, c.height))
	for i := 0; i < len(c.screen); i += 4 {
		img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3] = c.screen[i+2], c.screen[i+1], c.screen[i], 0xff
	}
	return img
}

// update asks for a part of the screen as it is now, and reads until all of it was sent or the size has changed.
func (c *Conn) update(want image.Rectangle) error {
	m := []byte{3, 0}
	for _, n := range []int{want.Min.X, want.Min.Y, want.Dx(), want.Dy()} {
		m = binary.BigEndian.AppendUint16(m, uint16(n))
	}
	if err := c.write(m...); err != nil {
		return err
	}
	missing := want.Dx() * want.Dy()
	for range maxUpdates {
		got, resized, err := c.message(want)
		if err != nil {
			return err
		}
		if missing -= got; missing <= 0 || resized {
			return nil
		}
	}
	return fmt.Errorf("the server sends other things than were asked for")
}

// message reads one message of the server. It tells how many of the wanted pixels were in it.
func (c *Conn) message(want image.Rectangle) (got int, resized bool, err error) {
	head, err := c.read(1)
	if err != nil {
		return 0, false, err
	}
	switch head[0] {
	case messageUpdate:
		return c.rectangles(want)
	case messageColours:
		b, err := c.read(5)
		if err != nil {
			return 0, false, err
		}
		return 0, false, c.skip(6 * int64(binary.BigEndian.Uint16(b[3:])))
	case messageBell:
		return 0, false, nil
	case messageClipboard:
		b, err := c.read(7)
		if err != nil {
			return 0, false, err
		}
		return 0, false, c.skip(int64(binary.BigEndian.Uint32(b[3:])))
	}
	return 0, false, fmt.Errorf("the server sends a message of the unknown type %d", head[0])
}

func (c *Conn) skip(n int64) error {
	if n > maxIgnore {
		return fmt.Errorf("the server sends %d bytes that nobody asked for; up to %d are skipped", n, maxIgnore)
	}
	_, err := io.CopyN(io.Discard, c.in, n)
	return err
}

func (c *Conn) rectangles(want image.Rectangle) (got int, resized bool, err error) {
	b, err := c.read(3)
	if err != nil {
		return 0, false, err
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if n > maxRects {
		return 0, false, fmt.Errorf("an update of %d rectangles; up to %d are read", n, maxRects)
	}
	for range n {
		part, size, err := c.rectangle()
		if err != nil {
			return got, resized, err
		}
		in := part.Intersect(want)
		got, resized = got+in.Dx()*in.Dy(), resized || size
	}
	return got, resized, nil
}

// rectangle reads pixels into the picture, or the new size of the screen.
func (c *Conn) rectangle() (part image.Rectangle, resized bool, err error) {
	b, err := c.read(12)
	if err != nil {
		return part, false, err
	}
	at := func(i int) int { return int(binary.BigEndian.Uint16(b[i:])) }
	part = image.Rect(at(0), at(2), at(0)+at(4), at(2)+at(6))
	switch encoding := int32(binary.BigEndian.Uint32(b[8:])); encoding {
	case encodingDesktopSize:
		return image.Rectangle{}, true, c.resize(part.Dx(), part.Dy())
	case encodingRaw:
		return part, false, c.pixels(part)
	default:
		return part, false, fmt.Errorf("the server sends the encoding %d, which was not asked for", encoding)
	}
}

// pixels reads a rectangle row by row.
func (c *Conn) pixels(part image.Rectangle) error {
	if !part.In(image.Rect(0, 0, c.width, c.height)) {
		return fmt.Errorf("the server sends the part %v of a screen of %d x %d pixels", part, c.width, c.height)
	}
	for y := part.Min.Y; y < part.Max.Y; y++ {
		row := 4 * (y*c.width + part.Min.X)
		if _, err := io.ReadFull(c.in, c.screen[row:row+4*part.Dx()]); err != nil {
			return err
		}
	}
	return nil
}
