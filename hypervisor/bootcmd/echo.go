package bootcmd

import (
	"github.com/boxkiln/boxkiln/hypervisor"
)

// Echo turns key events back into the text that a guest with a US keyboard reads. Its zero value is a keyboard with no
// key down.
type Echo struct {
	left, right bool // shift keys that are down
}

// Event takes one event and returns the rune that it types, if any. Enter types '\n', tab '\t', backspace '\b'.
func (e *Echo) Event(ev hypervisor.KeyEvent) (rune, bool) {
	switch ev.Key {
	case shiftLeft:
		e.left = ev.Down
		return 0, false
	case shiftRight:
		e.right = ev.Down
		return 0, false
	}
	if !ev.Down {
		return 0, false
	}
	switch ev.Key {
	case "ret":
		return '\n', true
	case "tab":
		return '\t', true
	case "backspace":
		return '\b', true
	}
	return Rune(ev.Key, e.left || e.right)
}
