package fake

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Machine is a machine of a [Host].
type Machine struct {
	host   *Host
	handle hypervisor.Handle
}

// A Machine has every ability there is.
var (
	_ hypervisor.Machine    = (*Machine)(nil)
	_ hypervisor.Keyboard   = (*Machine)(nil)
	_ hypervisor.Screen     = (*Machine)(nil)
	_ hypervisor.SerialPort = (*Machine)(nil)
	_ hypervisor.Freezer    = (*Machine)(nil)
)

// Handle implements hypervisor.Machine.
func (m *Machine) Handle() hypervisor.Handle { return m.handle }

// find returns the record, if it still is this machine's. The caller holds the host's mu.
func (m *Machine) find() (*record, error) {
	r, ok := m.host.machines[m.handle.Name]
	if !ok || r.Handle.UUID != m.handle.UUID {
		return nil, fmt.Errorf("machine %q: %w", m.handle.Name, hypervisor.ErrNotFound)
	}
	return r, nil
}

// Start implements hypervisor.Machine.
func (m *Machine) Start(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := m.host.fault(fmt.Sprintf("start machine %q", m.handle.Name), func(f *Faults) *int { return &f.Start }); err != nil {
		return err
	}
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return err
	}
	if r.State == hypervisor.Running {
		return nil
	}
	if err := m.host.powerOn(r, nil); err != nil {
		return fmt.Errorf("start machine %q: %w", m.handle.Name, err)
	}
	return nil
}

// powerOn runs a machine's guest: from the boot on, or from a memory that was frozen. The caller holds mu.
func (h *Host) powerOn(r *record, frozen *memory) error {
	if h.closed {
		return errors.New("the host is closed")
	}
	if err := r.whole(); err != nil {
		return err
	}
	if err := os.MkdirAll(guestRoot(r.Spec), 0o755); err != nil {
		return err
	}
	g, err := newGuest(h, r, frozen)
	if err != nil {
		return err
	}
	was := r.State
	r.guest, r.State = g, hypervisor.Running
	if err := h.save(r); err != nil {
		r.guest, r.State = nil, was
		return err
	}
	h.announce()
	g.start()
	return nil
}

// whole tells whether everything that the machine consists of is there. The caller holds mu.
func (r *record) whole() error {
	if r.Half {
		return errors.New("the machine is half-thawed: destroy it")
	}
	for _, path := range r.Bases {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("a frozen disk that the machine is based on: %w", err)
		}
	}
	return nil
}

// State implements hypervisor.Machine.
func (m *Machine) State(context.Context) (hypervisor.State, error) {
	s, _ := m.state()
	return s, nil
}

// state returns the state and a channel that is closed when it may have changed.
func (m *Machine) state() (hypervisor.State, <-chan struct{}) {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return hypervisor.Absent, m.host.changed
	}
	return r.State, m.host.changed
}

// Wait implements hypervisor.Machine.
func (m *Machine) Wait(ctx context.Context) error {
	for {
		s, changed := m.state()
		switch s {
		case hypervisor.Off:
			return nil
		case hypervisor.Crashed:
			return fmt.Errorf("machine %q: %w", m.handle.Name, hypervisor.ErrCrashed)
		case hypervisor.Absent:
			return fmt.Errorf("machine %q was destroyed: %w", m.handle.Name, hypervisor.ErrCrashed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Shutdown implements hypervisor.Machine.
func (m *Machine) Shutdown(context.Context) error {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return err
	}
	if r.guest != nil && !r.Script.IgnoreACPI {
		r.guest.signal(powerOff)
	}
	return nil
}

// Destroy implements hypervisor.Machine.
func (m *Machine) Destroy(context.Context) error {
	m.host.mu.Lock()
	r, err := m.find()
	var g *guest
	if err == nil {
		g = r.guest
	}
	m.host.mu.Unlock()
	if err != nil {
		return nil // it is gone
	}
	if g != nil {
		g.stop()
	}
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	if _, err := m.find(); err != nil {
		return nil // somebody else was faster
	}
	return errors.Join(removeFiles(r.Spec), m.host.remove(m.handle.Name))
}

// Guest implements hypervisor.Machine. All ports lead to the guest's SSH server.
func (m *Machine) Guest(_ context.Context, port int) (hypervisor.Endpoint, error) {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return hypervisor.Endpoint{}, err
	}
	if r.State != hypervisor.Running {
		return hypervisor.Endpoint{}, fmt.Errorf("port %d of machine %q: the machine is %s", port, m.handle.Name, r.State)
	}
	if r.guest == nil {
		return hypervisor.Endpoint{}, hypervisor.ErrNoAddress
	}
	return r.guest.endpoint()
}

// SerialLog implements hypervisor.SerialPort.
func (m *Machine) SerialLog() string { return filepath.Join(m.handle.Dir, serialFile) }

// Capture implements hypervisor.Screen: a picture that shows the state as its colour and typed characters as dots.
func (m *Machine) Capture(context.Context) (image.Image, error) {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return nil, err
	}
	return picture(r.State, r.Ready, r.Typed), nil
}

// The files of a machine in its directory.
const (
	serialFile = "serial.log"
	guestDir   = "guest" // the guest's own files: home directory and programs
)

func guestRoot(spec hypervisor.Spec) string { return filepath.Join(spec.Dir, guestDir, "root") }

func diskPath(spec hypervisor.Spec, i int) string {
	return filepath.Join(spec.Dir, "disk-"+strconv.Itoa(i)+"."+spec.Disks[i].Format)
}

// removeFiles removes what the driver made in the machine's directory, and nothing else.
func removeFiles(spec hypervisor.Spec) error {
	err := os.RemoveAll(filepath.Join(spec.Dir, guestDir))
	files := []string{filepath.Join(spec.Dir, serialFile)}
	for i := range spec.Disks {
		files = append(files, diskPath(spec, i))
	}
	for _, f := range files {
		if e := os.Remove(f); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
