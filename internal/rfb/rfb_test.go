package rfb_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"image/color"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/rfb"
)

func TestHandshakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		password string
		play     func(s server)
		err      string // "" for a connection
	}{
		"3.8 without a password":               {"", func(s server) { s.serve(2, 1) }, ""},
		"3.8, a password that nobody asks for": {"secret", func(s server) { s.serve(2, 1) }, ""},
		"3.7 without a password has no result": {"", func(s server) {
			s.send("RFB 003.007\n")
			s.take(12)
			s.send([]byte{1, 1})
			s.take(1)
			s.describe(2, 1)
		}, ""},
		"3.3": {"", func(s server) {
			s.send("RFB 003.003\n")
			s.take(12)
			s.send(uint32(1))
			s.describe(2, 1)
		}, ""},
		"a version to come": {"", func(s server) {
			s.send("RFB 004.001\n")
			s.take(12)
			s.send([]byte{1, 1})
			s.take(1)
			s.send(uint32(0))
			s.describe(1, 1)
		}, ""},
		"not RFB":                {"", func(s server) { s.send("SSH-2.0-OpenSSH_9\n") }, "no RFB"},
		"too old":                {"", func(s server) { s.send("RFB 003.002\n") }, "too old"},
		"nothing at all":         {"", func(s server) { s.Close() }, "says no version"},
		"a refusal":              {"", func(s server) { s.send("RFB 003.008\n"); s.take(12); s.send([]byte{0}, uint32(8), "too many") }, `"too many"`},
		"a refusal of 3.3":       {"", func(s server) { s.send("RFB 003.003\n"); s.take(12); s.send(uint32(0), uint32(4), "full") }, `"full"`},
		"a refusal without end":  {"", func(s server) { s.send("RFB 003.008\n"); s.take(12); s.send([]byte{0}, uint32(1<<31)) }, "up to"},
		"only VeNCrypt":          {"", func(s server) { s.send("RFB 003.008\n"); s.take(12); s.send([]byte{1, 19}) }, "[19]"},
		"a screen of no size":    {"", func(s server) { s.shake(1); s.send(uint32(0)); s.describe(0, 5) }, "0 x 5"},
		"a screen beyond reason": {"", func(s server) { s.shake(1); s.send(uint32(0)); s.describe(65535, 65535) }, "65535 x 65535"},
		"a name without end": {"", func(s server) {
			s.shake(1)
			s.send(uint32(0))
			s.take(1)
			s.send(uint16(1), uint16(1), make([]byte, 16), uint32(1<<30))
		}, "up to"},
	} {
		conn, err := dial(t, c.password, c.play)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v; want %q", name, err, c.err)
		}
		if err == nil && conn.Name() != "name" {
			t.Errorf("%s: the server is called %q", name, conn.Name())
		}
	}
}

// TestPassword has the server choose a challenge and check the response by an implementation of its own.
func TestPassword(t *testing.T) {
	t.Parallel()
	challenge := []byte("0123456789abcdef")
	for _, password := range []string{"secret", "longer than eight characters", ""} {
		ok := true
		_, err := dial(t, password, func(s server) {
			s.shake(2)
			s.send(challenge)
			ok = bytes.Equal(s.take(16), encrypt(t, challenge, password))
			s.send(uint32(0))
			s.describe(1, 1)
		})
		if err != nil || !ok {
			t.Errorf("password %q: %v, response right: %t", password, err, ok)
		}
	}
	_, err := dial(t, "wrong", func(s server) {
		s.shake(2)
		s.send(challenge)
		s.take(16)
		s.send(uint32(1), uint32(4), "nope")
	})
	if !errors.Is(err, rfb.ErrPassword) || !strings.Contains(err.Error(), "nope") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	sent := make(chan []byte, 1)
	c, err := dial(t, "", func(s server) {
		s.serve(2, 2)
		sent <- s.take(16)
		x, y, w, h := s.request()
		s.send([]byte{0, 0}, uint16(1), x, y, w, h, uint32(0), []byte{1, 2, 3, 4})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, down := range []bool{true, false} {
		if err := c.Key(t.Context(), 0xffe1, down); err != nil {
			t.Fatal(err)
		}
	}
	if got := hex.EncodeToString(<-sent); got != "040100000000ffe1"+"040000000000ffe1" {
		t.Errorf("the server was sent %s", got)
	}
	if err := c.Sync(t.Context()); err != nil {
		t.Errorf("Sync: %v", err)
	}
}

// TestScreen gets the picture in parts, among messages that are for others, from a server whose screen grows meanwhile.
func TestScreen(t *testing.T) {
	t.Parallel()
	c, err := dial(t, "", func(s server) {
		s.serve(1, 1)
		s.request()
		resize := int32(-223)
		s.send([]byte{2, 3, 0, 0, 0}, uint32(3), "abc")                                     // a bell and a clipboard
		s.send([]byte{1, 0}, uint16(0), uint16(1), make([]byte, 6))                         // colours
		s.send([]byte{0, 0}, uint16(1), uint16(0), uint16(0), uint16(2), uint16(2), resize) // now 2 x 2
		if _, _, w, h := s.request(); w != 2 || h != 2 {
			s.t.Errorf("the client asks for %d x %d", w, h)
		}
		s.send([]byte{0, 0}, uint16(1), uint16(0), uint16(0), uint16(2), uint16(1), uint32(0), []byte{1, 2, 3, 0, 4, 5, 6, 0})
		s.send([]byte{0, 0}, uint16(1), uint16(0), uint16(1), uint16(2), uint16(1), uint32(0), []byte{7, 8, 9, 0, 10, 11, 12, 0})
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := c.Screen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if size := img.Bounds().Size(); size.X != 2 || size.Y != 2 {
		t.Fatalf("the picture is %v", size)
	}
	if got := color.NRGBAModel.Convert(img.At(1, 1)); got != (color.NRGBA{12, 11, 10, 255}) {
		t.Errorf("the last pixel is %v", got)
	}
}

// TestHostile has servers send what a client must not swallow.
func TestHostile(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string][]any{
		"an unknown message":           {[]byte{77}},
		"an unknown encoding":          {[]byte{0, 0}, uint16(1), uint16(0), uint16(0), uint16(1), uint16(1), uint32(16)},
		"a part outside of the screen": {[]byte{0, 0}, uint16(1), uint16(65535), uint16(0), uint16(1), uint16(1), uint32(0)},
		"a part larger than it":        {[]byte{0, 0}, uint16(1), uint16(0), uint16(0), uint16(9), uint16(9), uint32(0)},
		"too many parts":               {[]byte{0, 0}, uint16(65535)},
		"an endless clipboard":         {[]byte{3, 0, 0, 0}, uint32(1 << 31)},
		"a screen that outgrows all":   {[]byte{0, 0}, uint16(1), uint16(0), uint16(0), uint16(65535), uint16(65535), int32(-223)},
		"bells for ever":               {bytes.Repeat([]byte{2}, 4096)},
	} {
		c, err := dial(t, "", func(s server) {
			s.serve(2, 2)
			s.request()
			s.send(answer...)
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Screen(t.Context()); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	c, err := dial(t, "", func(s server) {
		s.serve(2, 2)
		s.request()
		close(asked) // and no answer
	})
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-asked
		cancel(enough)
	}()
	if _, err := c.Screen(ctx); !errors.Is(err, enough) {
		t.Errorf("a cancelled picture: %v", err)
	}
	if err := c.Key(ctx, 0x61, true); !errors.Is(err, enough) {
		t.Errorf("a key after that: %v", err)
	}
}

// TestDial connects over TCP, to a server and to nobody.
func TestDial(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		server{conn, t}.serve(1, 1)
	}()
	c, err := rfb.Dial(t.Context(), l.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	<-done
	if _, err := rfb.Dial(t.Context(), l.Addr().String(), ""); err == nil {
		t.Error("a closed port answered")
	}
}

// replay is a connection to a server that says what it has to say, whatever it is asked.
type replay struct {
	net.Conn
	said *bytes.Reader
}

func (r replay) Read(b []byte) (int, error)  { return r.said.Read(b) }
func (r replay) Write(b []byte) (int, error) { return len(b), nil }
func (r replay) SetDeadline(time.Time) error { return nil }

// FuzzServer feeds a client whatever a server might send.
func FuzzServer(f *testing.F) {
	hello := "RFB 003.008\n\x01\x01\x00\x00\x00\x00\x00\x01\x00\x01" + strings.Repeat("\x00", 16) + "\x00\x00\x00\x01x"
	f.Add([]byte(hello + "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00abcd"))
	f.Add([]byte(hello + "\x02\x03\x00\x00\x00\x00\x00\x00\x01z"))
	f.Add([]byte("RFB 003.003\n\x00\x00\x00\x02" + strings.Repeat("c", 16) + "\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := rfb.Open(t.Context(), replay{said: bytes.NewReader(data)}, "pw")
		if err != nil {
			return
		}
		if img, err := c.Screen(t.Context()); err == nil && img.Bounds().Empty() {
			t.Error("an empty picture")
		}
	})
}
