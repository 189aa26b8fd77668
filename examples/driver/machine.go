package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// Machine is one of the driver's machines. It holds nothing but its handle: whoever opens it anew knows as much.
type Machine struct {
	driver *Driver
	handle hypervisor.Handle
}

// What it can do besides what every machine must.
var (
	_ hypervisor.Machine    = (*Machine)(nil)
	_ hypervisor.Keyboard   = (*Machine)(nil)
	_ hypervisor.SerialPort = (*Machine)(nil)
)

// Handle implements hypervisor.Machine.
func (m *Machine) Handle() hypervisor.Handle { return m.handle }

// Start implements hypervisor.Machine. That it was started is written first: a machine that is found without a process then is
// one that crashed, and not one that is off.
func (m *Machine) Start(ctx context.Context) error {
	if state, err := m.State(ctx); err != nil || state == hypervisor.Running || state == hypervisor.Paused {
		return err
	}
	r, err := m.note(true)
	if err == nil {
		err = launch(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("start machine %q: %w", m.handle.Name, err)
	}
	return nil
}

// note writes down whether the machine was started.
func (m *Machine) note(started bool) (record, error) {
	m.driver.records.Lock()
	defer m.driver.records.Unlock()
	r, err := m.driver.load(m.handle.Name)
	if err != nil {
		return r, err
	}
	r.Started = started
	return r, m.driver.save(r)
}

// states are QEMU's words (qapi/run-state.json) for what is not simply running.
var states = map[string]hypervisor.State{
	"shutdown": hypervisor.Off, "paused": hypervisor.Paused,
	"guest-panicked": hypervisor.Crashed, "internal-error": hypervisor.Crashed, "io-error": hypervisor.Crashed,
}

// State implements hypervisor.Machine.
func (m *Machine) State(ctx context.Context) (hypervisor.State, error) {
	r, err := m.driver.load(m.handle.Name)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound):
		return hypervisor.Absent, nil
	case err != nil:
		return "", err
	case !r.Started:
		return hypervisor.Off, nil
	case process(m.handle) == 0:
		return hypervisor.Crashed, nil
	}
	var status struct {
		Status string `json:"status"`
	}
	if err := execute(ctx, m.handle, "query-status", nil, &status); err != nil {
		if ctx.Err() == nil && process(m.handle) == 0 { // it has ended since, or was settled by somebody else
			return m.State(ctx)
		}
		return "", err
	}
	state, known := states[status.Status]
	switch {
	case !known:
		return hypervisor.Running, nil
	case state == hypervisor.Off:
		return state, m.settle(ctx)
	}
	return state, nil
}

// settle lets go of a machine that powered itself off: written down first, so that its end is not taken for a crash.
func (m *Machine) settle(ctx context.Context) error {
	if _, err := m.note(false); err != nil {
		return err
	}
	return end(ctx, m.handle, syscall.SIGTERM, m.driver.poll)
}

// Wait implements hypervisor.Machine.
func (m *Machine) Wait(ctx context.Context) error {
	for {
		state, err := m.State(ctx)
		switch {
		case err != nil:
			return err
		case state == hypervisor.Off:
			return nil
		case state == hypervisor.Crashed, state == hypervisor.Absent:
			return fmt.Errorf("machine %q: %w: it is %s", m.handle.Name, hypervisor.ErrCrashed, state)
		}
		if err := pause(ctx, m.driver.poll); err != nil {
			return err
		}
	}
}

// Shutdown implements hypervisor.Machine.
func (m *Machine) Shutdown(ctx context.Context) error {
	return execute(ctx, m.handle, "system_powerdown", nil, nil)
}

// Destroy implements hypervisor.Machine. It serves the end of a build, a cancelled one and the start after a crash alike, so it
// takes nothing for granted: each part may be gone, and is looked for by the tag. The record goes last.
func (m *Machine) Destroy(ctx context.Context) error {
	r, err := m.driver.load(m.handle.Name)
	if errors.Is(err, hypervisor.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = end(ctx, m.handle, syscall.SIGKILL, m.driver.poll)
	}
	if err != nil {
		return fmt.Errorf("destroy machine %q: %w", m.handle.Name, err)
	}
	m.driver.records.Lock()
	defer m.driver.records.Unlock()
	paths := []string{pidFile, qmpSocket, serialFile}
	for i := range r.Spec.Disks {
		paths = append(paths, filepath.Base(diskPath("", i)))
	}
	for _, name := range paths {
		err = errors.Join(err, os.RemoveAll(filepath.Join(m.handle.Dir, name)))
	}
	if err != nil {
		return err // with the record, so that it is tried again
	}
	return os.RemoveAll(m.driver.path(m.handle.Name))
}

// forwards matches a line of "info usernet": the protocol, the host's address and port, the guest's.
var forwards = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)\s`)

// Guest implements hypervisor.Machine.
func (m *Machine) Guest(ctx context.Context, port int) (hypervisor.Endpoint, error) {
	var text string
	if err := execute(ctx, m.handle, "human-monitor-command", map[string]string{"command-line": "info usernet"}, &text); err != nil {
		return hypervisor.Endpoint{}, err
	}
	for _, f := range forwards.FindAllStringSubmatch(text, -1) {
		if f[3] == strconv.Itoa(port) {
			at, err := strconv.Atoi(f[2])
			return hypervisor.Endpoint{Host: f[1], Port: at}, err
		}
	}
	return hypervisor.Endpoint{}, fmt.Errorf("machine %q: port %d of the guest is not forwarded", m.handle.Name, port)
}

// Export implements hypervisor.Machine. On failure nothing is left of it.
func (m *Machine) Export(ctx context.Context, dir string, o hypervisor.ExportOptions) (a hypervisor.Artifact, err error) {
	if state, err := m.State(ctx); err != nil || state != hypervisor.Off {
		return a, errors.Join(err, fmt.Errorf("export machine %q: it is %q, and has to be off", m.handle.Name, state))
	}
	r, err := m.driver.load(m.handle.Name)
	a = hypervisor.Artifact{Driver: Name, Arch: r.Spec.Arch}
	for i := 0; i < len(r.Spec.Disks) && err == nil; i++ {
		var f hypervisor.File
		f, err = m.exportDisk(ctx, i, dir, o)
		a.Files = append(a.Files, f)
	}
	if err != nil {
		for _, f := range a.Files {
			err = errors.Join(err, os.RemoveAll(f.Path))
		}
		return hypervisor.Artifact{}, fmt.Errorf("export machine %q: %w", m.handle.Name, err)
	}
	return a, nil
}

func (m *Machine) exportDisk(ctx context.Context, i int, dir string, o hypervisor.ExportOptions) (hypervisor.File, error) {
	name := o.Name
	if i > 0 {
		name += "-" + strconv.Itoa(i) // as Packer's qemu builder names them
	}
	f := hypervisor.File{Path: filepath.Join(dir, name), Role: hypervisor.RoleDisk, Format: o.Format}
	if f.Format == "" {
		f.Format = disk.QCOW2
	}
	err := m.driver.disks.Convert(ctx, disk.ConvertOptions{Src: diskPath(m.handle.Dir, i), SrcFormat: disk.QCOW2, Dst: f.Path, DstFormat: f.Format,
		Compress: o.Compress && f.Format == disk.QCOW2, Progress: o.Progress, Volatile: o.Volatile})
	if err != nil {
		return f, err
	}
	info, err := m.driver.disks.Info(ctx, f.Path, f.Format)
	if err != nil {
		return f, err
	}
	f.VirtualSize = info.VirtualSize
	st, err := os.Stat(f.Path)
	if err == nil {
		f.Size = st.Size()
	}
	return f, err
}

// SerialLog implements hypervisor.SerialPort.
func (m *Machine) SerialLog() string { return filepath.Join(m.handle.Dir, serialFile) }

// safePace is what QEMU's keyboard of 16 bytes takes without losing keys, measured in the boot loader's prompt under emulation.
const safePace = 5 * time.Millisecond

// Type implements hypervisor.Keyboard.
func (m *Machine) Type(ctx context.Context, keys []hypervisor.KeyEvent, pace time.Duration) error {
	type key struct {
		Type string         `json:"type"`
		Data hypervisor.Key `json:"data"`
	}
	type press struct {
		Down bool `json:"down"`
		Key  key  `json:"key"`
	}
	type event struct {
		Type string `json:"type"`
		Data press  `json:"data"`
	}
	for i, k := range keys {
		if i > 0 {
			if err := pause(ctx, max(pace, safePace)); err != nil {
				return err
			}
		}
		events := map[string][]event{"events": {{"key", press{k.Down, key{"qcode", k.Key}}}}}
		if err := execute(ctx, m.handle, "input-send-event", events, nil); err != nil {
			return err
		}
	}
	return nil
}
