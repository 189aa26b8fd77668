// Package rfb is a client of remote framebuffers, as VNC servers offer them: it presses keys and takes pictures.
//
// [Dial] shakes hands with a server of RFB 3.3, 3.7 or 3.8, without authentication or with VNC's password. [Conn.Key] presses
// and releases keys by their X11 keysyms, [Conn.Sync] waits until the server has taken them, and [Conn.Screen] asks for the
// whole picture. Only the Raw encoding is asked for: a picture is taken once in a while, and nothing is simpler.
//
// The server is not trusted: what it says of itself is bounded, and no call outlives its context. A Conn is for one goroutine.
// Source: RFC 6143, The Remote Framebuffer Protocol.
package rfb

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Limits on what a server may send.
const (
	// MaxPixels is the largest screen that is looked at: a pixel takes four bytes of this process.
	MaxPixels = 16 << 20
	maxText   = 4 << 10   // names, and reasons for a refusal, in bytes
	maxIgnore = 256 << 10 // a clipboard, which is not for us, in bytes
	maxRects  = 1 << 14   // rectangles of one update
	// maxUpdates is how many updates of other rectangles are taken while one is waited for.
	maxUpdates = 256
)

// ErrPassword says that the server did not take the password.
var ErrPassword = errors.New("the VNC server refuses the password")

// Conn is a connection to a server.
type Conn struct {
	conn   net.Conn
	in     *bufio.Reader
	name   string
	width  int
	height int
	screen []byte // the picture, 4 bytes a pixel: blue, green, red and nothing
}

// Dial connects to a server at host:port and shakes hands. The password may be empty for a server that asks for none.
func Dial(ctx context.Context, address, password string) (*Conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c, err := Open(ctx, raw, password)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("VNC server at %s: %w", address, err), raw.Close())
	}
	return c, nil
}

// Open shakes hands over a connection, which is the caller's if that fails.
func Open(ctx context.Context, raw net.Conn, password string) (*Conn, error) {
	c := &Conn{conn: raw, in: bufio.NewReaderSize(raw, 64<<10)}
	err := c.during(ctx, func() error {
		if err := c.secure(password); err != nil {
			return err
		}
		return c.initialise()
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Name is what the server calls its desktop; VMware's has the name of the machine.
func (c *Conn) Name() string { return c.name }

// during lets reads and writes fail when ctx ends, whose cause is the error then.
func (c *Conn) during(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) }) // a closed connection has none to set
	err := f()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// initialise takes the server's description and asks for the pixels and the encoding that we read.
func (c *Conn) initialise() error {
	if err := c.write(1); err != nil { // ClientInit: others may watch, too
		return err
	}
	head, err := c.read(24)
	if err != nil {
		return fmt.Errorf("ServerInit: %w", err)
	}
	if err := c.resize(int(binary.BigEndian.Uint16(head)), int(binary.BigEndian.Uint16(head[2:]))); err != nil {
		return err
	}
	if c.name, err = c.text(binary.BigEndian.Uint32(head[20:]), maxText); err != nil {
		return fmt.Errorf("ServerInit: %w", err)
	}
	return c.write(append(setPixelFormat(), setEncodings(encodingRaw, encodingDesktopSize)...)...)
}

// setPixelFormat asks for true colour of 32 bits, little-endian, red at bit 16 (RFC 6143 section 7.5.1).
func setPixelFormat() []byte {
	return []byte{0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0}
}

// Encodings. DesktopSize is how a server tells that its screen has another size now.
const (
	encodingRaw         = 0
	encodingDesktopSize = -223
)

func setEncodings(encodings ...int32) []byte {
	b := binary.BigEndian.AppendUint16([]byte{2, 0}, uint16(len(encodings)))
	for _, e := range encodings {
		b = binary.BigEndian.AppendUint32(b, uint32(e))
	}
	return b
}

// resize makes the picture that big, and black.
func (c *Conn) resize(width, height int) error {
	if width < 1 || height < 1 || width*height > MaxPixels {
		return fmt.Errorf("its screen of %d x %d pixels is not looked at: up to %d pixels are", width, height, MaxPixels)
	}
	c.width, c.height, c.screen = width, height, make([]byte, 4*width*height)
	return nil
}

func (c *Conn) write(b ...byte) error {
	_, err := c.conn.Write(b)
	return err
}

func (c *Conn) read(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(c.in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, io.ErrUnexpectedEOF
	}
	return b, err
}

// text reads n bytes, if they are no more than limit.
func (c *Conn) text(n uint32, limit int) (string, error) {
	if int64(n) > int64(limit) {
		return "", fmt.Errorf("a text of %d bytes; up to %d are read", n, limit)
	}
	b, err := c.read(int(n))
	return string(b), err
}
