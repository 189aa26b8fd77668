package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/test/sim/qemu"
)

// state is all that VirtualBox remembers, one file for all.
type state struct {
	Machines []*machine
	Media    []*medium
	Extra    map[string]string // global extra data
	Networks []*hostNetwork    // host-only
	DHCP     []*dhcpServer
}

const (
	stateName = "simulator.json"
	lockName  = "simulator.lock"
)

// locked runs do with the state's lock held, shared or not.
func (c *call) locked(how int, do func(s *state) error) error {
	if err := os.MkdirAll(c.home, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(c.home, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), how); err != nil {
		return err
	}
	s := &state{Extra: map[string]string{}}
	data, err := os.ReadFile(filepath.Join(c.home, stateName))
	if err == nil {
		err = json.Unmarshal(data, s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", filepath.Join(c.home, stateName), err)
	}
	return do(s)
}

// look lets do read the state.
func (c *call) look(do func(s *state) error) error { return c.locked(syscall.LOCK_SH, do) }

// change lets do change the state, which is kept unless it fails.
func (c *call) change(do func(s *state) error) error {
	return c.locked(syscall.LOCK_EX, func(s *state) error {
		if err := do(s); err != nil {
			return err
		}
		data, err := json.MarshalIndent(s, "", " ")
		if err != nil {
			return err
		}
		return fsx.WriteFile(filepath.Join(c.home, stateName), data, 0o600)
	})
}

// newUUID makes a random one.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// asUUID reads a UUID with or without braces; empty if it is none.
func asUUID(text string) string {
	u := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"))
	if len(u) != 36 {
		return ""
	}
	for i, r := range u {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (r == '-') || !dash && !strings.ContainsRune("0123456789abcdef", r) {
			return ""
		}
	}
	return u
}

// find looks for a machine by name or UUID, as FindMachine does.
func (s *state) find(name string) (*machine, error) {
	id := asUUID(name)
	for _, m := range s.Machines {
		if m.Registered && (m.Name == name || id != "" && m.UUID == id) {
			return m, nil
		}
	}
	text := fmt.Sprintf("Could not find a registered machine named '%s'", name)
	if id != "" {
		text = fmt.Sprintf("Could not find a registered machine with UUID {%s}", id)
	}
	return nil, &comError{code: notFound, component: vboxWrap, text: text,
		context: "FindMachine(Bstr(VMNameOrUuid).raw(), machine.asOutParam())", file: "VBoxManageInfo.cpp:2719"}
}

// runDir is where a machine's QEMU lives.
func (c *call) runDir(m *machine) string { return filepath.Join(c.home, "machines", m.UUID) }

// session tells what a machine does, and if a session holds it.
func (c *call) session(m *machine) (qemu.Status, error) {
	status, err := qemu.Look(c.runDir(m))
	status.Locked = status.Locked || m.Stuck
	return status, err
}

// findSession finds a machine and tells what it does.
func (c *call) findSession(s *state, name string) (*machine, qemu.Status, error) {
	m, err := s.find(name)
	if err != nil {
		return nil, qemu.Status{}, err
	}
	status, err := c.session(m)
	return m, status, err
}

// vmState is a machine's state in VirtualBox's words, with the time since when.
func (c *call) vmState(m *machine) (string, time.Time, error) {
	status, err := c.session(m)
	if err != nil {
		return "", time.Time{}, err
	}
	since := status.Since
	if since.Before(m.Changed) {
		since = m.Changed
	}
	switch status.State {
	case qemu.Starting:
		return "starting", since, nil
	case qemu.Running:
		return "running", since, nil
	case qemu.Paused:
		return "paused", since, nil
	}
	if c.has("slowstate") && time.Since(status.Since) < 2*time.Second {
		return "stopping", since, nil
	}
	if status.State == qemu.Crashed {
		return "aborted", since, nil
	}
	return "poweroff", since, nil
}

// changeMachine changes a machine that no session holds.
func (c *call) changeMachine(name, file string, do func(s *state, m *machine) error) error {
	return c.change(func(s *state) error {
		m, err := s.find(name)
		if err != nil {
			return err
		}
		if err := c.wantUnlocked(m, file); err != nil {
			return err
		}
		return do(s, m)
	})
}

func (c *call) wantUnlocked(m *machine, file string) error {
	status, err := c.session(m)
	if err != nil {
		return err
	}
	if status.Locked {
		return lockedForSession(m.Name, file)
	}
	return nil
}
