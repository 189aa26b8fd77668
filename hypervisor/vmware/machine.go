package vmware

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// Machine is a VMX file of ours. What it holds never changes, so it can be used from several goroutines and by several Machines
// at once.
type Machine struct {
	driver *Driver
	path   string // of the VMX file
	owner
	details
	whole bool
	tools tools
}

var (
	_ hypervisor.Machine    = (*Machine)(nil)
	_ hypervisor.Keyboard   = (*Machine)(nil)
	_ hypervisor.Screen     = (*Machine)(nil)
	_ hypervisor.SerialPort = (*Machine)(nil)
	_ hypervisor.Freezer    = (*Machine)(nil)
	_ hypervisor.Uploader   = (*Machine)(nil)
)

// folder holds the machine's files.
func (m *Machine) folder() string { return filepath.Dir(m.path) }

// Handle finds the machine again.
func (m *Machine) Handle() hypervisor.Handle {
	return hypervisor.Handle{Driver: Name, Name: m.Name, UUID: m.UUID, Tag: m.Tag, Dir: filepath.Dir(m.folder())}
}

// SerialLog is the file that holds what the guest wrote to its first serial port; "" if the template has taken that.
func (m *Machine) SerialLog() string {
	if m.Serial == "" {
		return ""
	}
	return filepath.Join(m.folder(), m.Serial)
}

// State is what the machine is doing. A machine whose file VMware left as that of a running one, and that does not run, has crashed.
func (m *Machine) State(ctx context.Context) (hypervisor.State, error) {
	running, err := m.running(ctx)
	if err != nil || running {
		return hypervisor.Running, err
	}
	// VMware writes the file for the last time before it lets go of the lock.
	if l, there := lockOf(m.path); there && l.pid != 0 {
		return hypervisor.Running, nil
	}
	mine, err := m.mine()
	if err != nil || !mine {
		return hypervisor.Absent, err
	}
	f, err := readVMX(m.path)
	if err != nil {
		return "", err
	}
	if suspended, _ := f.Get("checkpoint.vmState"); suspended != "" {
		return hypervisor.Paused, nil
	}
	if clean, ok := f.Get("cleanShutdown"); ok && strings.EqualFold(clean, "FALSE") {
		return hypervisor.Crashed, nil
	}
	return hypervisor.Off, nil
}

// mine tells whether the VMX file is still this machine's. It may be gone, or another machine's that has its place.
func (m *Machine) mine() (bool, error) {
	f, err := readVMX(m.path)
	if errors.Is(err, hypervisor.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	o, err := ownerOf(m.path, f)
	if errors.Is(err, hypervisor.ErrForeign) {
		return false, nil
	}
	return err == nil && o.UUID == m.UUID, err
}

// running asks VMware.
func (m *Machine) running(ctx context.Context) (bool, error) {
	out, err := m.tools.vmrun(ctx, "list")
	if err != nil {
		return false, fmt.Errorf("%w: %w", hypervisor.ErrUnreachable, err)
	}
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); filepath.IsAbs(line) && sameFile(line, m.path) {
			return true, nil
		}
	}
	return false, nil
}

// The pauses between two looks of Wait: at the lock beside the file, which costs nothing, and at VMware's list.
const (
	waitPoll = 150 * time.Millisecond
	waitAsk  = 2 * time.Second
)

// Wait blocks until the machine is off and VMware has let go of its files. One that was never started is off.
func (m *Machine) Wait(ctx context.Context) error {
	var asked time.Time
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if l, locked := lockOf(m.path); !locked || l.pid == 0 || time.Since(asked) > waitAsk {
			state, err := m.State(ctx)
			asked = time.Now()
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				return fmt.Errorf("wait for the machine %q: %w", m.Name, err)
			case state == hypervisor.Off:
				return m.ended(ctx)
			case state == hypervisor.Absent:
				return fmt.Errorf("the machine %q: %w: its files are gone", m.Name, hypervisor.ErrCrashed)
			case state == hypervisor.Crashed:
				return fmt.Errorf("the machine %q: %w: VMware's process of it ended%s", m.Name, hypervisor.ErrCrashed, m.lastWords())
			}
		}
		if err := netx.Pause(ctx, waitPoll); err != nil {
			return err
		}
	}
}

// ended waits until VMware has let go of the files of a machine that is off.
func (m *Machine) ended(ctx context.Context) error {
	if _, whole, err := readDetails(m.path); err == nil && !whole {
		return fmt.Errorf("the machine %q: %w: it was destroyed", m.Name, hypervisor.ErrCrashed)
	}
	return waitUnlocked(ctx, m.folder(), lockPatience)
}

// shutdownPatience is how long vmrun may wait for the guest that it has asked to shut down. Nobody waits for vmrun.
const shutdownPatience = 10 * time.Minute

// Shutdown asks VMware Tools in the guest to power off. VMware has no other power button: without Tools the error wraps ErrUnsupported.
func (m *Machine) Shutdown(ctx context.Context) error {
	out, err := m.tools.vmrun(ctx, "checkToolsState", m.path)
	answer := strings.TrimSpace(out) // "unknown" has an exit status of its own
	switch {
	case errors.Is(err, errNotPoweredOn):
		return nil
	case err != nil && answer != "unknown":
		return fmt.Errorf("shut down the machine %q: %w", m.Name, err)
	case answer != "running":
		return fmt.Errorf("shut down the machine %q: %w: VMware has no power button but VMware Tools, which do not run in the guest (%s): "+
			"set shutdown_command, or install open-vm-tools", m.Name, hypervisor.ErrUnsupported, answer)
	}
	ctx, done := m.driver.asks.begin(context.WithoutCancel(ctx), m.path)
	go func() {
		defer done()
		if _, err := m.tools.vmrun(ctx, "stop", m.path, "soft"); err != nil && ctx.Err() == nil && !errors.Is(err, errNotPoweredOn) {
			m.driver.log.Warn("the guest was asked to shut down", "machine", m.Name, "error", err)
		}
	}()
	return nil
}

// asks are the guests that were asked to shut down, each with a vmrun that waits until it is off.
type asks struct {
	mu  sync.Mutex
	all map[string]context.CancelFunc // by the path of the VMX file
}

// begin makes the context of a vmrun, in the place of an earlier one for the same machine.
func (a *asks) begin(ctx context.Context, path string) (context.Context, func()) {
	ctx, cancel := context.WithTimeout(ctx, shutdownPatience)
	a.end(path)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]context.CancelFunc{}
	}
	a.all[path] = cancel
	return ctx, cancel
}

// end ends the vmrun of a machine, if there is one.
func (a *asks) end(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if cancel, ok := a.all[path]; ok {
		cancel()
		delete(a.all, path)
	}
}

// destroyRetry is the pause between attempts while another call starts the machine.
const destroyRetry = 500 * time.Millisecond

// Destroy powers the machine off, waits until VMware has let go of its files and deletes them, and its name. It begins by making the
// machine less than whole, by which Wait tells that it did not end by itself.
func (m *Machine) Destroy(ctx context.Context) error {
	m.driver.asks.end(m.path)
	if mine, err := m.mine(); err != nil || !mine {
		return err
	}
	if err := os.Remove(filepath.Join(m.folder(), detailName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("destroy the machine %q: %w", m.Name, err)
	}
	for {
		err := m.halt(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, errNotPoweredOn) {
			return fmt.Errorf("destroy the machine %q: %w", m.Name, err)
		}
		if err := netx.Pause(ctx, destroyRetry); err != nil {
			return fmt.Errorf("destroy the machine %q: %w", m.Name, err)
		}
	}
	if err := m.removeFiles(); err != nil {
		return fmt.Errorf("destroy the machine %q: %w", m.Name, err)
	}
	return nil
}

// halt powers the machine off and waits until nobody holds its files. errNotPoweredOn says that it was starting just now.
func (m *Machine) halt(ctx context.Context) error {
	state, err := m.State(ctx)
	if errors.Is(err, ErrNotInstalled) { // nothing can run then
		state, err = hypervisor.Off, nil
	}
	if err != nil || state == hypervisor.Absent {
		return err
	}
	if state == hypervisor.Running {
		if _, err := m.tools.vmrun(ctx, "stop", m.path, "hard"); err != nil && !errors.Is(err, errNotPoweredOn) {
			return err
		}
	}
	if err := waitUnlocked(ctx, m.folder(), lockPatience); err != nil {
		return err
	}
	if again, err := m.running(ctx); err == nil && again {
		return errNotPoweredOn
	}
	return nil
}

// removeFiles deletes the folder, the VMX file last, so that what is left of a half-deleted machine is still found.
func (m *Machine) removeFiles() error {
	entries, err := os.ReadDir(m.folder())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Name() != vmxName {
			errs = append(errs, os.RemoveAll(filepath.Join(m.folder(), e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(m.folder()), m.driver.unlink(m))
}

// lastLogBytes is how much of the end of vmware.log is looked at.
const lastLogBytes = 64 << 10

// lastWords quotes what vmware.log says about an error, "" if it says nothing. VMware tells vmrun little: the cause is in the lines
// after "Msg_Post: Error".
func (m *Machine) lastWords() string {
	data, err := os.ReadFile(filepath.Join(m.folder(), "vmware.log"))
	if err != nil {
		return ""
	}
	if words := postedError(string(data[max(0, len(data)-lastLogBytes):])); words != "" {
		return "; vmware.log says: " + words
	}
	return ""
}

// maxPosted is how many lines of a message are quoted.
const maxPosted = 4

// logPrefix is what stands before the text of a line: a time, a thread and a level, as several versions write them, and the
// message's own id.
var logPrefix = regexp.MustCompile(`^(?:\S+ [A-Z][a-z]\(\d+\)\+? \S+ |[^|]*\|\s*(?:[\w#-]+\|\s*)?(?:[A-Z]\d{3}:?\s*)?)?(?:\[msg[^\]]*\]\s*)?`)

// postedError finds the last message of an error in a log.
func postedError(log string) string {
	lines := strings.Split(log, "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if !strings.Contains(lines[i], "Msg_Post: Error") {
			continue
		}
		var words []string
		for _, line := range lines[i+1 : min(len(lines), i+1+maxPosted)] {
			text := strings.TrimSpace(line[len(logPrefix.FindString(line)):])
			if text == "" || strings.HasPrefix(text, "---") {
				break
			}
			words = append(words, text)
		}
		return strings.Join(words, " ")
	}
	return ""
}
