package bootcmd

import (
	"maps"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// The modifier keys that the parser handles itself.
const (
	shiftLeft  hypervisor.Key = "shift"
	shiftRight hypervisor.Key = "shift_r"
)

// code is a key in the codes of the peers. Sources: X11/keysymdef.h, the AT set 1 table of keycodemapdb.
type code struct {
	key            hypervisor.Key
	plain, shifted rune   // what the key types; 0 for nothing
	scan           byte   // PC-XT set 1 make code
	extended       bool   // preceded by e0
	keysym         uint32 // of a key that types nothing; else the keysym is the rune
}

// tables index the codes of a US keyboard.
type tables struct {
	byKey  map[hypervisor.Key]code
	byRune map[rune]stroke
	byName map[string]hypervisor.Key // token of the boot command, in lower case -> key
}

// stroke is the key that types a rune, and whether shift is held with it.
type stroke struct {
	key   hypervisor.Key
	shift bool
}

// us is the US keyboard. It is never changed after it was made.
var us = newTables()

func newTables() tables {
	t := tables{byKey: map[hypervisor.Key]code{}, byRune: map[rune]stroke{}, byName: map[string]hypervisor.Key{}}
	for _, c := range append(printing(), special()...) {
		t.byKey[c.key] = c
		if c.plain != 0 {
			t.byRune[c.plain] = stroke{key: c.key}
		}
		if c.shifted != 0 {
			t.byRune[c.shifted] = stroke{key: c.key, shift: true}
		}
	}
	for name, key := range tokens() {
		t.byName[strings.ToLower(name)] = key
	}
	return t
}

// printing returns the keys that type something, row by row with consecutive scan codes.
func printing() []code {
	rows := []struct {
		first          byte
		plain, shifted string
	}{
		{0x02, "1234567890-=", "!@#$%^&*()_+"},
		{0x10, "qwertyuiop[]", "QWERTYUIOP{}"},
		{0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
		{0x2b, `\zxcvbnm,./`, `|ZXCVBNM<>?`},
	}
	codes := []code{{key: "spc", plain: ' ', scan: 0x39}}
	for _, r := range rows {
		for i := range len(r.plain) {
			codes = append(codes, code{
				key: keyOf(r.plain[i]), plain: rune(r.plain[i]), shifted: rune(r.shifted[i]), scan: r.first + byte(i),
			})
		}
	}
	return codes
}

// keyOf is QEMU's name of the key that types c.
func keyOf(c byte) hypervisor.Key {
	switch c {
	case '-':
		return "minus"
	case '=':
		return "equal"
	case '[':
		return "bracket_left"
	case ']':
		return "bracket_right"
	case ';':
		return "semicolon"
	case '\'':
		return "apostrophe"
	case '`':
		return "grave_accent"
	case '\\':
		return "backslash"
	case ',':
		return "comma"
	case '.':
		return "dot"
	case '/':
		return "slash"
	}
	return hypervisor.Key(string(rune(c)))
}

// special returns the keys that type nothing.
func special() []code {
	codes := []code{
		{key: "backspace", scan: 0x0e, keysym: 0xff08},
		{key: "tab", scan: 0x0f, keysym: 0xff09},
		{key: "ret", scan: 0x1c, keysym: 0xff0d},
		{key: "esc", scan: 0x01, keysym: 0xff1b},
		{key: "delete", scan: 0x53, extended: true, keysym: 0xffff},
		{key: "insert", scan: 0x52, extended: true, keysym: 0xff63},
		{key: "home", scan: 0x47, extended: true, keysym: 0xff50},
		{key: "end", scan: 0x4f, extended: true, keysym: 0xff57},
		{key: "pgup", scan: 0x49, extended: true, keysym: 0xff55},
		{key: "pgdn", scan: 0x51, extended: true, keysym: 0xff56},
		{key: "up", scan: 0x48, extended: true, keysym: 0xff52},
		{key: "down", scan: 0x50, extended: true, keysym: 0xff54},
		{key: "left", scan: 0x4b, extended: true, keysym: 0xff51},
		{key: "right", scan: 0x4d, extended: true, keysym: 0xff53},
		{key: shiftLeft, scan: 0x2a, keysym: 0xffe1},
		{key: shiftRight, scan: 0x36, keysym: 0xffe2},
		{key: "ctrl", scan: 0x1d, keysym: 0xffe3},
		{key: "ctrl_r", scan: 0x1d, extended: true, keysym: 0xffe4},
		{key: "alt", scan: 0x38, keysym: 0xffe9},
		{key: "alt_r", scan: 0x38, extended: true, keysym: 0xffea},
		{key: "meta_l", scan: 0x5b, extended: true, keysym: 0xffeb},
		{key: "meta_r", scan: 0x5c, extended: true, keysym: 0xffec},
		// The menu key of a PC keyboard is called compose in QEMU, whose "menu" is another key (e0 1e).
		{key: "compose", scan: 0x5d, extended: true, keysym: 0xff67},
		{key: "f11", scan: 0x57, keysym: 0xffc8},
		{key: "f12", scan: 0x58, keysym: 0xffc9},
	}
	names := []hypervisor.Key{"f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10"}
	for i, name := range names {
		codes = append(codes, code{key: name, scan: 0x3b + byte(i), keysym: 0xffbe + uint32(i)})
	}
	return codes
}

// tokens returns the names of special keys in the boot command. On a Mac's keyboard Option is Alt and Command is Super.
func tokens() map[string]hypervisor.Key {
	t := map[string]hypervisor.Key{
		"bs": "backspace", "del": "delete", "enter": "ret", "esc": "esc", "return": "ret", "tab": "tab",
		"up": "up", "down": "down", "left": "left", "right": "right", "spacebar": "spc", "insert": "insert",
		"home": "home", "end": "end", "pageUp": "pgup", "pageDown": "pgdn", "menu": "compose",
		"leftAlt": "alt", "rightAlt": "alt_r", "leftOption": "alt", "rightOption": "alt_r",
		"leftCtrl": "ctrl", "rightCtrl": "ctrl_r", "leftShift": shiftLeft, "rightShift": shiftRight,
		"leftSuper": "meta_l", "rightSuper": "meta_r", "leftCommand": "meta_l", "rightCommand": "meta_r",
	}
	for _, f := range []string{"f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12"} {
		t[f] = hypervisor.Key(f)
	}
	return t
}

// Tokens returns the names of the special keys of the grammar, sorted, as its documentation writes them.
func Tokens() []string { return slices.Sorted(maps.Keys(tokens())) }

// KeyFor returns the key that types r, and whether shift has to be held with it.
func KeyFor(r rune) (key hypervisor.Key, shift, ok bool) {
	s, ok := us.byRune[r]
	return s.key, s.shift, ok
}

// Rune returns what the key types, with or without shift; false for a key that types nothing.
func Rune(key hypervisor.Key, shift bool) (rune, bool) {
	c := us.byKey[key]
	r := c.plain
	if shift && c.shifted != 0 {
		r = c.shifted
	}
	return r, r != 0
}

// Keysym returns the X11 keysym of a key, with or without shift, for drivers that type through VNC.
func Keysym(key hypervisor.Key, shift bool) (uint32, bool) {
	if r, ok := Rune(key, shift); ok {
		return uint32(r), true
	}
	c, ok := us.byKey[key]
	return c.keysym, ok
}

// Scancode returns the bytes that a PC-XT keyboard (scan code set 1) sends for the event: the make code, or the break
// code, which is the make code with its highest bit set; keys outside the main block have e0 before it.
func Scancode(e hypervisor.KeyEvent) ([]byte, bool) {
	c, ok := us.byKey[e.Key]
	if !ok {
		return nil, false
	}
	b := c.scan
	if !e.Down {
		b |= 0x80
	}
	if c.extended {
		return []byte{0xe0, b}, true
	}
	return []byte{b}, true
}
