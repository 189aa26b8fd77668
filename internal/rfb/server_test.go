package rfb_test

import (
	"context"
	"crypto/des"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/boxkiln/boxkiln/internal/rfb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server plays a VNC server over one end of a pipe. What it does is up to play.
type server struct {
	net.Conn
	t *testing.T
}

// dial connects a client to a server that plays, and ends both with the test.
func dial(t *testing.T, password string, play func(s server)) (*rfb.Conn, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		play(server{theirs, t})
		_, _ = io.Copy(io.Discard, theirs) // whatever the client still says
	})
	t.Cleanup(func() {
		_, _ = ours.Close(), theirs.Close()
		wg.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return rfb.Open(ctx, ours, password)
}

// send writes numbers of one, two or four bytes, texts and bytes.
func (s server) send(parts ...any) {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		default:
			var err error
			if b, err = binary.Append(b, binary.BigEndian, p); err != nil {
				panic(err)
			}
		}
	}
	_, _ = s.Write(b) // the client may have had enough
}

// take reads n bytes; fewer if the client has gone.
func (s server) take(n int) []byte {
	b := make([]byte, n)
	m, err := io.ReadFull(s, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		s.t.Errorf("server: %v", err)
	}
	return b[:m]
}

// shake plays the handshake of 3.8 with security type typ up to its result.
func (s server) shake(typ byte) {
	s.send("RFB 003.008\n")
	if got := string(s.take(12)); got != "RFB 003.008\n" {
		s.t.Errorf("the client says %q", got)
	}
	s.send([]byte{1, typ})
	if got := s.take(1); len(got) == 1 && got[0] != typ {
		s.t.Errorf("the client chooses %d; want %d", got, typ)
	}
}

// serve is a server without a password, up to the first message of the client that is not of the handshake.
func (s server) serve(width, height uint16) {
	s.shake(1)
	s.send(uint32(0))
	s.describe(width, height)
}

func (s server) describe(width, height uint16) {
	s.take(1)
	s.send(width, height, make([]byte, 16), uint32(4), "name")
	s.take(20 + 4 + 2*4)
}

// request reads the client's wish for a part of the screen.
func (s server) request() (x, y, width, height uint16) {
	b := s.take(10)
	if len(b) < 10 || b[0] != 3 {
		return 0, 0, 0, 0
	}
	at := func(i int) uint16 { return binary.BigEndian.Uint16(b[i:]) }
	return at(2), at(4), at(6), at(8)
}

// encrypt is VNC authentication, as a server checks it.
func encrypt(t *testing.T, challenge []byte, password string) []byte {
	key := make([]byte, 8)
	copy(key, password)
	for i, b := range key {
		key[i] = bits.Reverse8(b)
	}
	c, err := des.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 16)
	c.Encrypt(out, challenge)
	c.Encrypt(out[8:], challenge[8:])
	return out
}
