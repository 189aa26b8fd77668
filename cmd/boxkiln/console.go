package main

import (
	"io"
	"unicode/utf8"
)

// console writes what a guest prints on its serial console without letting it command the user's terminal: of the escape
// sequences (ECMA-48) only colours are left, and those only if the terminal wants them. It keeps what it knows of an
// unfinished sequence or character from one Write to the next.
type console struct {
	w      io.Writer
	colors bool

	state   consoleState
	pending []byte // of a sequence or a character that is not complete
	cr      bool   // a carriage return may be followed by its line feed
}

type consoleState int

const (
	plain    consoleState = iota
	escaped               // after ESC
	sequence              // in ESC [ ... until a letter
	text                  // in a string such as a title: ESC ] ... until BEL or ESC \
	textEnd               // after ESC within one
)

// maxSequence is longer than every sequence of colours; what is longer is dropped.
const maxSequence = 64

// Write never keeps back more than one unfinished sequence or character.
func (c *console) Write(p []byte) (int, error) {
	var out []byte
	for _, b := range p {
		out = c.step(out, b)
	}
	if _, err := c.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

const escape = 0x1b

func (c *console) step(out []byte, b byte) []byte {
	switch c.state {
	case plain:
		return c.plain(out, b)
	case escaped:
		c.escaped(b)
	case sequence:
		return c.sequence(out, b)
	case text:
		switch b {
		case '\a':
			c.state = plain
		case escape:
			c.state = textEnd
		}
	case textEnd:
		c.state = text
		if b == '\\' {
			c.state = plain
		}
	}
	return out
}

// plain takes a byte outside sequences.
func (c *console) plain(out []byte, b byte) []byte {
	if c.cr && b != '\n' && b != '\r' { // alone it would let the guest write over what it wrote
		out = append(out, '\n')
	}
	c.cr = b == '\r'
	switch {
	case b == escape:
		c.state, c.pending = escaped, c.pending[:0]
	case b == '\n' || b == '\t':
		c.pending = c.pending[:0]
		out = append(out, b)
	case b < utf8.RuneSelf:
		c.pending = c.pending[:0]
		if !commands(rune(b)) {
			out = append(out, b)
		}
	default:
		c.pending = append(c.pending, b)
		if !utf8.FullRune(c.pending) {
			return out
		}
		if r, size := utf8.DecodeRune(c.pending); r != utf8.RuneError && size == len(c.pending) && !commands(r) {
			out = append(out, c.pending...)
		}
		c.pending = c.pending[:0]
	}
	return out
}

// escaped takes the byte after ESC.
func (c *console) escaped(b byte) {
	switch {
	case b == '[':
		c.state = sequence
	case b == ']' || b == 'P' || b == 'X' || b == '^' || b == '_': // OSC, DCS, SOS, PM, APC
		c.state = text
	case b >= ' ' && b <= '/': // one more byte belongs to it, as in ESC ( B
	default:
		c.state = plain
	}
}

// sequence takes a byte of a control sequence.
func (c *console) sequence(out []byte, b byte) []byte {
	if b < '@' || b > '~' {
		if len(c.pending) < maxSequence {
			c.pending = append(c.pending, b)
		}
		return out
	}
	c.state = plain
	if code := "\x1b[" + string(c.pending) + string(b); c.colors && len(c.pending) < maxSequence && colorCode.MatchString(code) && colorCode.FindString(code) == code {
		out = append(out, code...)
	}
	c.pending = c.pending[:0]
	return out
}
