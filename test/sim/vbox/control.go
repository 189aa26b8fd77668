package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
)

// withGuest speaks to a running machine.
func (c *call) withGuest(m *machine, do func(g *qemu.Guest) error) error {
	g, err := qemu.Connect(c.ctx, c.runDir(m))
	if errors.Is(err, qemu.ErrNotRunning) {
		return c.notRunning(m)
	}
	if err != nil {
		return err
	}
	defer g.Close()
	return do(g)
}

// notRunning is the complaint of controlvm, with a full stop since 7.0.
func (c *call) notRunning(m *machine) error {
	stop := ""
	if c.profile.seven() {
		stop = "."
	}
	return complain("Machine '%s' is not currently running%s", m.Name, stop)
}

// controls are the subcommands of controlvm that change nothing of what is remembered about a machine.
var controls = map[string]func(c *call, m *machine, args []string) error{
	"poweroff": powerOff, "acpipowerbutton": tell((*qemu.Guest).PowerButton), "acpisleepbutton": keep, "reset": tell((*qemu.Guest).Reset),
	"pause": pause, "resume": resume, "savestate": saveState, "screenshotpng": screenshot,
	"keyboardputscancode": putScancodes, "keyboardputstring": putStrings, "keyboardputfile": putFiles,
	"vrde": keep, "vrdeport": keep, "clipboard": keep, "draganddrop": keep, "setvideomodehint": keep,
}

func controlVM(c *call, args []string) error {
	if len(args) < 2 {
		return syntax("Not enough parameters")
	}
	if slot, ok := matchName("natpf#", args[1]); ok {
		return c.change(func(s *state) error { return c.controlForward(s, args[0], slot, args[2:]) })
	}
	if slot, ok := matchName("setlinkstate#", args[1]); ok {
		return c.change(func(s *state) error { return c.controlLink(s, args[0], slot, args[2:]) })
	}
	do, ok := controls[args[1]]
	var m *machine
	err := c.look(func(s *state) (err error) {
		m, err = s.find(args[0])
		return err
	})
	if err != nil {
		return err
	}
	if err := c.wantRunning(m); err != nil {
		return err
	}
	if !ok {
		return c.softly(syntax("Invalid parameter '%s'", args[1]))
	}
	return c.softly(do(c, m, args[2:]))
}

func (c *call) wantRunning(m *machine) error {
	status, err := c.session(m)
	if err == nil && !status.State.Alive() {
		err = c.notRunning(m)
	}
	return err
}

// keep takes what makes no difference here.
func keep(*call, *machine, []string) error { return nil }

// tell is a word to the guest without arguments.
func tell(word func(*qemu.Guest, context.Context) error) func(*call, *machine, []string) error {
	return func(c *call, m *machine, _ []string) error {
		return c.withGuest(m, func(g *qemu.Guest) error { return word(g, c.ctx) })
	}
}

// powerOff pulls the plug; VMState is poweroff then, and the session still lingers.
func powerOff(c *call, m *machine, _ []string) error {
	return c.withProgress(func() error {
		return c.withGuest(m, func(g *qemu.Guest) error { return g.Quit(c.ctx) })
	})
}

func pause(c *call, m *machine, _ []string) error {
	if status, err := c.session(m); err != nil || status.State != qemu.Running {
		return errors.Join(err, wrongState("Paused", "Running, Teleporting or LiveSnapshotting"))
	}
	return c.withGuest(m, func(g *qemu.Guest) error { return g.Pause(c.ctx) })
}

func resume(c *call, m *machine, _ []string) error {
	if status, err := c.session(m); err != nil || status.State != qemu.Paused {
		return errors.Join(err, &comError{code: badVMState, component: consoleWrap, context: "Resume()", file: "VBoxManageControlVM.cpp:300",
			text: "Cannot resume the machine as it is not paused (machine state: Running)"})
	}
	return c.withGuest(m, func(g *qemu.Guest) error { return g.Resume(c.ctx) })
}

func wrongState(is, must string) error {
	return &comError{code: badVMState, component: consoleWrap, text: fmt.Sprintf("Invalid machine state: %s (must be %s)", is, must)}
}

func saveState(c *call, _ *machine, _ []string) error {
	return c.withProgress(func() error {
		return &comError{code: vmError, component: consoleWrap, text: "The simulator cannot save the state of a machine with VDI disks"}
	})
}

func screenshot(c *call, m *machine, args []string) error {
	if len(args) == 0 {
		return syntax("Missing filename")
	}
	path, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	return c.withGuest(m, func(g *qemu.Guest) error { return g.Screenshot(c.ctx, path) })
}

// putScancodes types codes of set 1: a make code, or a break code with 0x80 added; e0 prefixes the next.
func putScancodes(c *call, m *machine, args []string) error {
	var codes []byte
	for _, arg := range args {
		b, err := strconv.ParseUint(arg, 16, 8)
		if err != nil || len(arg) != 2 {
			c.complain(fmt.Sprintf("Error: '%s' is not a hex byte!", arg))
			return quietError(exitFailure)
		}
		codes = append(codes, byte(b))
	}
	if len(codes) == 0 {
		return badArgument("Missing argument to 'keyboardputscancode'. Expected IBM PC AT set 2 keyboard scancode(s) as hex byte(s).")
	}
	return c.typeKeys(m, keys(codes))
}

func (c *call) typeKeys(m *machine, keys []qemu.Key) error {
	return c.withGuest(m, func(g *qemu.Guest) error { return g.Keys(c.ctx, keys) })
}

// keys reads scan codes as QEMU's numbers of keys: the same, with 0x80 for the prefix e0.
func keys(codes []byte) []qemu.Key {
	var keys []qemu.Key
	extended := 0
	for _, b := range codes {
		if b == 0xe0 || b == 0xe1 {
			extended = 0x80
			continue
		}
		keys = append(keys, qemu.Key{Code: int(b&0x7f) | extended, Down: b&0x80 == 0})
		extended = 0
	}
	return keys
}

func putStrings(c *call, m *machine, args []string) error {
	if len(args) == 0 {
		return syntax("Missing string")
	}
	return c.typeKeys(m, keysOf(strings.Join(args, "")))
}

func putFiles(c *call, m *machine, args []string) error {
	if len(args) == 0 {
		return syntax("Missing file name")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return complain("Cannot open file '%s': VERR_FILE_NOT_FOUND", args[0])
	}
	return c.typeKeys(m, keysOf(string(text)))
}

// The keys of an American keyboard by scan code, without and with shift.
const (
	plainKeys   = "1234567890-=\b\tqwertyuiop[]\n\x00asdfghjkl;'`\x00\\zxcvbnm,./"
	shiftedKeys = "!@#$%^&*()_+\x00\x00QWERTYUIOP{}\x00\x00ASDFGHJKL:\"~\x00|ZXCVBNM<>?"
	firstCode   = 2
	shiftCode   = 0x2a
	spaceCode   = 0x39
)

// keysOf types a text; what an American keyboard has not is left out, as VirtualBox does.
func keysOf(text string) []qemu.Key {
	var keys []qemu.Key
	press := func(code int) { keys = append(keys, qemu.Key{Code: code, Down: true}, qemu.Key{Code: code}) }
	for _, r := range text {
		switch i, j := strings.IndexRune(plainKeys, r), strings.IndexRune(shiftedKeys, r); {
		case r == ' ':
			press(spaceCode)
		case r == 0:
		case i >= 0:
			press(firstCode + i)
		case j >= 0:
			keys = append(keys, qemu.Key{Code: shiftCode, Down: true})
			press(firstCode + j)
			keys = append(keys, qemu.Key{Code: shiftCode})
		}
	}
	return keys
}

// cardOf is the number that QEMU's network of a slot has.
func (m *machine) cardOf(slot int) int {
	n := 0
	for _, x := range m.NICs[:slot-1] {
		if x.Type != "none" {
			n++
		}
	}
	return n
}

// controlForward adds or removes a forward of a running machine.
func (c *call) controlForward(s *state, name string, slot int, args []string) error {
	m, err := s.find(name)
	if err != nil {
		return err
	}
	if err := c.wantRunning(m); err != nil {
		return err
	}
	if len(args) == 0 {
		return c.softly(badArgument("Missing argument to 'natpf%d'", slot))
	}
	if slot > len(m.NICs) || m.NICs[slot-1].Type == "none" {
		return &comError{code: invalidArg, component: consoleWrap, text: fmt.Sprintf("Network adapter %d is not enabled", slot)}
	}
	n := &m.NICs[slot-1]
	if args[0] == "delete" {
		if len(args) < 2 {
			return c.softly(badArgument("Missing argument to 'natpf%d'", slot))
		}
		f, err := n.removeForward(args[1])
		if err != nil || slices.Contains(m.Down, strconv.Itoa(f.HostPort)) {
			return err
		}
		return c.withGuest(m, func(g *qemu.Guest) error { return g.RemoveForward(c.ctx, m.cardOf(slot), f.qemu()) })
	}
	f, err := parseForward(args[0])
	if err != nil {
		return err
	}
	if err := n.addForward(f); err != nil {
		return err
	}
	if taken(f.qemu()) {
		m.Down = append(m.Down, strconv.Itoa(f.HostPort))
		return nil
	}
	return c.withGuest(m, func(g *qemu.Guest) error { return g.AddForward(c.ctx, m.cardOf(slot), f.qemu()) })
}

func (c *call) controlLink(s *state, name string, slot int, args []string) error {
	m, err := s.find(name)
	if err != nil {
		return err
	}
	if err := c.wantRunning(m); err != nil {
		return err
	}
	if len(args) == 0 || slot > len(m.NICs) {
		return c.softly(badArgument("Missing argument to 'setlinkstate%d'", slot))
	}
	on, err := switchOn("setlinkstate", args[0])
	if err != nil {
		return err
	}
	m.NICs[slot-1].Cable = on
	return c.withGuest(m, func(g *qemu.Guest) error { return g.Link(c.ctx, m.cardOf(slot), on) })
}
