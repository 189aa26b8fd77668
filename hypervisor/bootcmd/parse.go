package bootcmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// maxReports bounds how many mistakes, and how many warnings, one call of Parse tells: a binary file given as a boot
// command has a mistake in every byte.
const maxReports = 10

// maxToken is longer than every token, the longest waits that anybody writes included.
const maxToken = 24

// Warning is something in a boot command that can be played but was hardly meant.
type Warning struct {
	Position int    // character of the boot command, counted from 1
	Token    string // what is written there
	Message  string // what is wrong with it, and what to write instead
}

func (w Warning) String() string {
	return fmt.Sprintf("%q at character %d of the boot command: %s", w.Token, w.Position, w.Message)
}

// Error is a mistake in a boot command.
type Error struct {
	Position int    // character of the boot command, counted from 1
	Token    string // what is written there
	Message  string // what is wrong with it, and what to write instead
}

func (e *Error) Error() string {
	return fmt.Sprintf("%q at character %d of the boot command: %s", e.Token, e.Position, e.Message)
}

// Parse reads a boot command, the elements of the template's list joined without a separator and its {{ }} actions
// rendered. The error joins an [*Error] for each mistake. Keys that are still held at the end are let go of by the
// program.
func Parse(text string) (Program, []Warning, error) {
	p := parser{text: text}
	for p.pos < len(text) {
		p.next()
	}
	p.flush()
	p.release()
	if len(p.errs) > 0 {
		return nil, p.warnings, errors.Join(p.errs...)
	}
	return p.program, p.warnings, nil
}

// action says what a token does with its key.
type action int

const (
	press action = iota // down and up
	on
	off
)

type parser struct {
	text string
	pos  int // byte of text where the next token begins

	program  Program
	begin    int // where the keys that are being gathered begin in text
	events   []hypervisor.KeyEvent
	held     []heldKey
	warnings []Warning
	errs     []error
}

// heldKey is a key that a token pressed and none has released.
type heldKey struct {
	key   hypervisor.Key
	token string
	at    int // byte of the token
}

// next reads one token. The order of the cases is that of the grammar.
func (p *parser) next() {
	rest := p.text[p.pos:]
	if n, d, err := scanWait(rest); n > 0 {
		if err == nil && d <= 0 {
			err = errors.New("a wait must be longer than zero; leave it out or write for example <wait5s>")
		}
		p.wait(n, Wait{Text: rest[:n], For: d}, err)
		return
	}
	if n, op, err := scanLook(rest); n > 0 {
		p.wait(n, op, err)
		return
	}
	if n, r, act := scanToggle(rest); n > 0 {
		p.literal(n, r, act)
		return
	}
	if n, key, act := scanSpecial(rest); n > 0 {
		p.key(key, act, n)
		p.pos += n
		return
	}
	if rest[0] == '<' {
		p.suspect(rest)
	}
	r, n := utf8.DecodeRuneInString(rest)
	p.literal(n, r, press)
}

// wait handles a token of n bytes that is a step of its own between keys.
func (p *parser) wait(n int, op Op, err error) {
	if err != nil {
		p.fail(op.Source(), err.Error())
	}
	p.flush()
	p.program = append(p.program, op)
	p.pos += n
	p.begin = p.pos
}

// literal handles a token of n bytes that is about the key which types r.
func (p *parser) literal(n int, r rune, act action) {
	token := p.text[p.pos : p.pos+n]
	s, ok := us.byRune[r]
	if !ok {
		p.fail(token, noKey(r, n))
	}
	// A shift that the user holds stays down, so that <leftShiftOn>AB<leftShiftOff> does what it says.
	shift := s.shift && !p.holding(shiftLeft) && !p.holding(shiftRight)
	switch {
	case shift && act == press:
		p.emit(shiftLeft, true)
		p.key(s.key, press, n)
		p.emit(shiftLeft, false)
	case shift && act == on:
		p.key(shiftLeft, on, n)
		p.key(s.key, on, n)
	case s.shift && act == off:
		p.key(s.key, off, n)
		p.key(shiftLeft, off, n)
	default:
		p.key(s.key, act, n)
	}
	p.pos += n
}

// noKey says why the rune r, read from n bytes, cannot be typed.
func noKey(r rune, n int) string {
	switch {
	case r == '\n' || r == '\r':
		return "a line break has no key; write <enter>"
	case r == '\t':
		return "a tab has no key of its own; write <tab>"
	case r == utf8.RuneError && n == 1:
		return "this byte is not UTF-8 text"
	}
	return fmt.Sprintf("the rune %q (%U) is not on a US keyboard, which is what boot loaders read; only printable ASCII can be typed", r, r)
}

// key adds the events of an action and remembers what is held. The token has n bytes.
func (p *parser) key(k hypervisor.Key, act action, n int) {
	if act != off {
		p.emit(k, true)
	}
	if act != on {
		p.emit(k, false)
	}
	switch {
	case act == on && !p.holding(k):
		p.held = append(p.held, heldKey{k, p.text[p.pos : p.pos+n], p.pos})
	case act != on:
		p.held = slices.DeleteFunc(p.held, func(h heldKey) bool { return h.key == k })
	}
}

func (p *parser) emit(k hypervisor.Key, down bool) {
	p.events = append(p.events, hypervisor.KeyEvent{Key: k, Down: down})
}

func (p *parser) holding(k hypervisor.Key) bool {
	return slices.ContainsFunc(p.held, func(h heldKey) bool { return h.key == k })
}

// flush makes a step of the keys gathered since the last pause.
func (p *parser) flush() {
	if len(p.events) > 0 {
		p.program = append(p.program, Keys{Text: p.text[p.begin:p.pos], Events: p.events})
	}
	p.events, p.begin = nil, p.pos
}

// release lets go of the keys that are still down, the last one first.
func (p *parser) release() {
	var up []hypervisor.KeyEvent
	for _, h := range slices.Backward(p.held) {
		up = append(up, hypervisor.KeyEvent{Key: h.key})
	}
	for i, h := range p.held {
		if i > 0 && p.held[i-1].at == h.at { // <AOn> holds two keys
			continue
		}
		p.warn(h.at, h.token, "the key is still held when the boot command ends and is let go of there; write "+counterpart(h.token))
	}
	if len(up) > 0 {
		p.program = append(p.program, Keys{Events: up})
	}
}

// counterpart turns a token that holds a key into the one that releases it.
func counterpart(token string) string { return token[:len(token)-len("on>")] + "Off>" }

// suspect warns about text that looks like a token but is none, and so is typed.
func (p *parser) suspect(rest string) {
	end := strings.IndexByte(rest[:min(len(rest), maxToken)], '>')
	if end < 2 || strings.ContainsAny(rest[1:end], "< \t\r\n/\"'") {
		return
	}
	message := "there is no such token, so it is typed as it stands"
	if near := nearest(rest[1:end]); near != "" {
		message += "; did you mean <" + near + ">?"
	}
	p.warn(p.pos, rest[:end+1], message)
}

// nearest returns the token that the unknown name was probably meant to be, or "".
func nearest(name string) string {
	if strings.HasPrefix(strings.ToLower(name), "wait") {
		return nearestWait(name)
	}
	base, suffix := name, ""
	for _, s := range []string{"off", "on"} {
		if n := len(name) - len(s); n > 1 && strings.EqualFold(name[n:], s) {
			base, suffix = name[:n], strings.ToUpper(s[:1])+s[1:]
			break
		}
	}
	habits := map[string]string{
		"backspace": "bs", "delete": "del", "escape": "esc", "space": "spacebar", "ret": "enter", "cr": "enter",
		"pgup": "pageUp", "pgdn": "pageDown", "ins": "insert", "ctrl": "leftCtrl", "control": "leftCtrl",
		"alt": "leftAlt", "shift": "leftShift", "super": "leftSuper", "win": "leftSuper", "meta": "leftSuper", "cmd": "leftCommand",
	}
	if known, ok := habits[strings.ToLower(base)]; ok {
		return known + suffix
	}
	if near := schema.Nearest(base, Tokens()); near != "" {
		return near + suffix
	}
	return ""
}

// nearestWait is nearest for what begins with wait.
func nearestWait(name string) string {
	if near := schema.Nearest(strings.TrimRight(name, "0123456789.hms"), []string{"waitScreen", "waitSeed"}); near != "" {
		return near
	}
	return "wait5s"
}

func (p *parser) warn(at int, token, message string) {
	if len(p.warnings) < maxReports {
		p.warnings = append(p.warnings, Warning{p.position(at), token, message})
	}
}

func (p *parser) fail(token, message string) {
	if len(p.errs) < maxReports {
		p.errs = append(p.errs, &Error{p.position(p.pos), token, message})
	}
}

// position counts the characters up to byte at, from 1.
func (p *parser) position(at int) int { return utf8.RuneCountInString(p.text[:at]) + 1 }
