package rfb

import (
	"crypto/des" // what VNC authentication is made of
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// Types of security (RFC 6143 section 7.1.2).
const (
	securityFailed = 0
	securityNone   = 1
	securityVNC    = 2
)

// version is a minor version of RFB 3.
type version int

// secure agrees on a version and lets the server know the password, if it asks for one.
func (c *Conn) secure(password string) error {
	v, err := c.agree()
	if err != nil {
		return err
	}
	typ, err := c.choose(v, password)
	if err != nil {
		return err
	}
	if typ == securityVNC {
		if err := c.answer(password); err != nil {
			return err
		}
	}
	if typ == securityNone && v < 8 {
		return nil // it says nothing more
	}
	return c.result(v)
}

// agree reads the server's version and answers with the highest that both know.
func (c *Conn) agree() (version, error) {
	line, err := c.read(12)
	if err != nil {
		return 0, fmt.Errorf("the server says no version: %w", err)
	}
	var major, minor int
	if n, err := fmt.Sscanf(string(line), "RFB %03d.%03d\n", &major, &minor); n != 2 || err != nil {
		return 0, fmt.Errorf("it speaks no RFB: it begins with %q", line)
	}
	v := version(3)
	switch {
	case major < 3 || major == 3 && minor < 3:
		return 0, fmt.Errorf("its RFB %d.%d is too old: 3.3 is the least", major, minor)
	case major > 3 || minor >= 8:
		v = 8
	case minor == 7:
		v = 7
	}
	return v, c.write(fmt.Appendf(nil, "RFB 003.%03d\n", v)...)
}

// choose takes the password if there is one and the server takes it, and nothing otherwise.
func (c *Conn) choose(v version, password string) (byte, error) {
	offered, err := c.offered(v)
	if err != nil {
		return 0, err
	}
	typ := byte(securityNone)
	if slices.Contains(offered, securityVNC) && (password != "" || !slices.Contains(offered, securityNone)) {
		typ = securityVNC
	}
	if !slices.Contains(offered, typ) {
		return 0, fmt.Errorf("it offers the types of security %v, and none of them is a VNC password (2) or nothing (1)", offered)
	}
	if v == 3 {
		return typ, nil // the server has chosen
	}
	return typ, c.write(typ)
}

func (c *Conn) offered(v version) ([]byte, error) {
	if v == 3 {
		b, err := c.read(4)
		if err != nil {
			return nil, err
		}
		if typ := binary.BigEndian.Uint32(b); typ != securityFailed {
			return []byte{byte(min(typ, 255))}, nil
		}
		return nil, c.reason()
	}
	n, err := c.read(1)
	if err != nil {
		return nil, err
	}
	if n[0] == 0 {
		return nil, c.reason()
	}
	return c.read(int(n[0]))
}

// reason reads why the server will not have us.
func (c *Conn) reason() error {
	n, err := c.read(4)
	if err != nil {
		return err
	}
	text, err := c.text(binary.BigEndian.Uint32(n), maxText)
	if err != nil {
		return err
	}
	return fmt.Errorf("it refuses the connection: %q", text)
}

// answer encrypts the server's challenge with the password (RFC 6143 section 7.2.2).
func (c *Conn) answer(password string) error {
	challenge, err := c.read(2 * des.BlockSize)
	if err != nil {
		return err
	}
	response, err := response(challenge, password)
	if err != nil {
		return err
	}
	return c.write(response...)
}

// response is the challenge under the first 8 bytes of the password, each with its bits in reverse.
func response(challenge []byte, password string) ([]byte, error) {
	key := make([]byte, 8)
	copy(key, password)
	for i := range key {
		key[i] = bits.Reverse8(key[i])
	}
	block, err := des.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(challenge))
	for i := 0; i < len(challenge); i += des.BlockSize {
		block.Encrypt(out[i:], challenge[i:])
	}
	return out, nil
}

// result reads whether the server is content.
func (c *Conn) result(v version) error {
	b, err := c.read(4)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(b) == 0 {
		return nil
	}
	if v == 8 {
		return errors.Join(ErrPassword, c.reason())
	}
	return ErrPassword
}
