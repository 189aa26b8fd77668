package main

import (
	"crypto/des"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"strconv"
	"testing"
	"time"
)

// X's numbers of keys that have no character.
const (
	shiftL = 0xffe1
	escape = 0xff1b
)

// viewer is the least that can type over RFB 3.8 (RFC 6143).
type viewer struct {
	t    *testing.T
	conn net.Conn
}

func dialVNC(t *testing.T, port int, password string) *viewer {
	t.Helper()
	conn, err := tryVNC(port, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &viewer{t, conn}
}

// tryVNC connects and proves that it knows the password.
func tryVNC(port int, password string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), 5*time.Second)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if err := handshake(conn, password); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func handshake(conn net.Conn, password string) error {
	hello, challenge := make([]byte, 12), make([]byte, 16)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return err
	}
	if string(hello) != "RFB 003.008\n" {
		return fmt.Errorf("the server speaks %q", hello)
	}
	conn.Write(hello)
	var count [1]byte
	io.ReadFull(conn, count[:])
	types := make([]byte, count[0])
	if _, err := io.ReadFull(conn, types); err != nil || string(types) != "\x02" {
		return fmt.Errorf("security types %v, %w; want 2", types, errors.Join(err))
	}
	conn.Write([]byte{2})
	if _, err := io.ReadFull(conn, challenge); err != nil {
		return err
	}
	key := make([]byte, 8)
	copy(key, password)
	for i := range key {
		key[i] = bits.Reverse8(key[i]) // as every VNC has done it since the first
	}
	cipher, err := des.NewCipher(key)
	if err != nil {
		return err
	}
	cipher.Encrypt(challenge[:8], challenge[:8])
	cipher.Encrypt(challenge[8:], challenge[8:])
	conn.Write(challenge)
	var result uint32
	if err := binary.Read(conn, binary.BigEndian, &result); err != nil || result != 0 {
		return fmt.Errorf("the password is refused: %d, %w", result, errors.Join(err))
	}
	_, err = conn.Write([]byte{1}) // shared
	return err
}

// press presses keys one after the other. Shift stays down for the key that follows it.
func (v *viewer) press(keys ...uint32) {
	v.t.Helper()
	for i, key := range keys {
		v.event(true, key)
		if key == shiftL {
			continue
		}
		v.event(false, key)
		if i > 0 && keys[i-1] == shiftL {
			v.event(false, shiftL)
		}
	}
}

func (v *viewer) event(down bool, key uint32) {
	v.t.Helper()
	message := []byte{4, 0, 0, 0, 0, 0, 0, 0}
	if down {
		message[1] = 1
	}
	binary.BigEndian.PutUint32(message[4:], key)
	if _, err := v.conn.Write(message); err != nil {
		v.t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond) // a keyboard's queue has 16 places
}
