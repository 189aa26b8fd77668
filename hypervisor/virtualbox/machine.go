package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// Machine is a machine of VirtualBox.
type Machine struct {
	driver *Driver
	uuid   string
	record record // as it was when the machine was found
}

var (
	_ hypervisor.Machine    = (*Machine)(nil)
	_ hypervisor.Keyboard   = (*Machine)(nil)
	_ hypervisor.Screen     = (*Machine)(nil)
	_ hypervisor.SerialPort = (*Machine)(nil)
	_ hypervisor.Uploader   = (*Machine)(nil)
	_ hypervisor.Freezer    = (*Machine)(nil)
)

// Handle implements hypervisor.Machine.
func (m *Machine) Handle() hypervisor.Handle {
	r := m.record
	return hypervisor.Handle{Driver: Name, Name: r.Name, UUID: m.uuid, Tag: r.Tag, Dir: r.Dir}
}

// serialFile is where a machine's first serial port is written to, in its directory.
const serialFile = "serial.log"

// SerialLog implements hypervisor.SerialPort.
func (m *Machine) SerialLog() string { return filepath.Join(m.record.Dir, serialFile) }

// name is what VirtualBox calls the machine.
func (m *Machine) name() string {
	if m.record.borrowed() {
		return m.record.Settings.VM.Name
	}
	return m.record.Name
}

// State implements hypervisor.Machine.
func (m *Machine) State(ctx context.Context) (hypervisor.State, error) {
	in, err := m.driver.vbox.info(ctx, m.uuid)
	if errors.Is(err, hypervisor.ErrNotFound) {
		return hypervisor.Absent, nil
	}
	if err != nil {
		return "", err
	}
	if m.record.borrowed() { // it stays when it is given back
		if _, ours, err := m.driver.vbox.record(ctx, m.uuid); err != nil || !ours {
			return hypervisor.Absent, err
		}
	}
	return in.status(), nil
}

// Start gives the machine its ports and powers it on.
func (m *Machine) Start(ctx context.Context) error {
	select {
	case m.driver.starts <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-m.driver.starts }()
	in, err := m.driver.vbox.info(ctx, m.uuid)
	if err != nil {
		return err
	}
	if in.status() == hypervisor.Running {
		return nil
	}
	if in.state != "saved" { // with a saved state, nothing can be changed
		if err := m.wire(ctx, in); err != nil {
			return err
		}
	}
	if _, err := m.driver.vbox.run(ctx, "startvm", m.uuid, "--type", m.frontend()); err != nil {
		if in, again := m.driver.vbox.info(ctx, m.uuid); again == nil && in.status() == hypervisor.Running {
			return nil // it runs all the same
		}
		return err
	}
	return m.checkForwards(ctx)
}

// frontend is the kind of window. Without a display there can be none.
func (m *Machine) frontend() string {
	if m.record.Settings.Run.Headless || !m.driver.hasDisplay() {
		return "headless"
	}
	return "gui"
}

// Wait looks at the machine until it is off.
func (m *Machine) Wait(ctx context.Context) error {
	for {
		state, err := m.State(ctx)
		if err != nil {
			return err
		}
		_, ending := m.driver.ending.Load(m.uuid)
		switch {
		case state == hypervisor.Absent, ending && state != hypervisor.Running:
			return fmt.Errorf("machine %q was destroyed: %w", m.record.Name, hypervisor.ErrCrashed)
		case state == hypervisor.Off:
			return nil
		case state == hypervisor.Crashed:
			return fmt.Errorf("machine %q: %w", m.record.Name, hypervisor.ErrCrashed)
		}
		if err := netx.Pause(ctx, m.driver.poll); err != nil {
			return err
		}
	}
}

// Shutdown implements hypervisor.Machine.
func (m *Machine) Shutdown(ctx context.Context) error {
	_, err := m.driver.vbox.run(ctx, "controlvm", m.uuid, "acpipowerbutton")
	if isCode(err, codeInvalidVMState) || err != nil && m.isOff(ctx) {
		return nil // it was faster
	}
	return err
}

func (m *Machine) isOff(ctx context.Context) bool {
	in, err := m.driver.vbox.info(ctx, m.uuid)
	return err == nil && in.off()
}

// Destroy powers the machine off, takes it out of VirtualBox with its disks, and removes its files. One that was borrowed is
// given back.
func (m *Machine) Destroy(ctx context.Context) error {
	m.driver.ending.Store(m.uuid, true)
	in, err := m.driver.vbox.info(ctx, m.uuid)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound):
		return m.sweep(ctx)
	case err != nil:
		return err
	}
	if !in.broken {
		_, ours, err := m.driver.vbox.record(ctx, m.uuid)
		if err != nil || !ours && !below(m.record.Dir, in.config) {
			return err // the user has it
		}
	}
	if err := m.powerOff(ctx, in); err != nil {
		return err
	}
	if m.record.borrowed() {
		defer m.driver.ending.Delete(m.uuid) // the machine may be borrowed again
		return m.giveBack(ctx, false)
	}
	_, err = m.driver.vbox.run(ctx, "unregistervm", m.uuid, "--delete")
	if err != nil && !isCode(err, codeObjectNotFound) {
		return err
	}
	return m.sweep(ctx)
}

// powerOff ends the machine's process, if there is one, and waits until VirtualBox has seen that.
func (m *Machine) powerOff(ctx context.Context, in info) error {
	for !in.off() {
		// What is on its way from one state to another refuses: look again.
		_, err := m.driver.vbox.run(ctx, "controlvm", m.uuid, "poweroff")
		before := in.state
		var again error
		if in, again = m.driver.vbox.info(ctx, m.uuid); again != nil {
			return errors.Join(err, again)
		}
		if in.off() {
			return nil
		}
		if err != nil && before == in.state && in.state == "running" {
			return err
		}
		if err := netx.Pause(ctx, m.driver.poll); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes what may be left of a machine that VirtualBox does not know any more.
func (m *Machine) sweep(ctx context.Context) error {
	if m.record.borrowed() || m.record.Dir == "" {
		return nil
	}
	return errors.Join(removeFiles(m.record.Dir, m.record.Name), m.driver.purgeMedia(ctx, m.record.Dir))
}

// purgeMedia takes disks below dir out of VirtualBox's register: an interrupted import leaves some there.
func (d *Driver) purgeMedia(ctx context.Context, dir string) error {
	out, err := d.vbox.run(ctx, "list", "hdds")
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range parseMedia(out) {
		if below(dir, m.location) {
			if _, err := d.vbox.run(ctx, "closemedium", "disk", m.uuid); err != nil && !isCode(err, codeObjectNotFound) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// runCommands runs VBoxManage commands of the template, one after the other.
func (m *Machine) runCommands(ctx context.Context, arg string, commands [][]string) error {
	port := ""
	if m.record.HTTPPort != 0 {
		port = fmt.Sprint(m.record.HTTPPort)
	}
	data := interpolate.Data{"Name": m.name(), "HTTPIP": m.record.HTTPHost, "HTTPPort": port}
	c := &interpolate.Context{Now: time.Now(), NewUUID: uuid.NewString}
	for i, command := range commands {
		args := make([]string, len(command))
		for j, text := range command {
			var err error
			if args[j], err = interpolate.Render(text, c, data); err != nil {
				return fmt.Errorf("%s[%d]: %w; known are .Name, .HTTPIP and .HTTPPort", arg, i, err)
			}
		}
		m.driver.log.Info("running a command of the template", "machine", m.record.Name, "command", args)
		if _, err := m.driver.vbox.run(ctx, args...); err != nil {
			return fmt.Errorf("%s[%d]: %w", arg, i, err)
		}
	}
	return nil
}
