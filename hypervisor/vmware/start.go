package vmware

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
	"github.com/boxkiln/boxkiln/internal/netx"
	"github.com/boxkiln/boxkiln/internal/rfb"
)

// vncTries is how many ports are tried for the VNC server: VMware starts a machine without one when somebody else was faster, and only
// its log says so.
const vncTries = 3

// vncPatience is how long the VNC server may take to answer after the machine has started, unless a test is less patient.
const vncPatience = 15 * time.Second

// Start powers the machine on and sees to it that its VNC server answers.
func (m *Machine) Start(ctx context.Context) error {
	state, err := m.State(ctx)
	switch {
	case err != nil:
		return err
	case state == hypervisor.Running:
		running, err := m.running(ctx)
		if err != nil || running {
			return err
		} // else it is about to end
	case state == hypervisor.Absent:
		return fmt.Errorf("start the machine %q: %w", m.Name, hypervisor.ErrNotFound)
	}
	if err := m.start(ctx); err != nil {
		return fmt.Errorf("start the machine %q: %w", m.Name, err)
	}
	return nil
}

func (m *Machine) start(ctx context.Context) error {
	var refused error
	for range vncTries {
		if err := waitUnlocked(ctx, m.folder(), lockPatience); err != nil {
			return err
		}
		if refused = m.powerOn(ctx); !errors.As(refused, new(*consoleError)) {
			return refused
		}
		m.driver.log.Warn("VMware serves no console", "machine", m.Name, "error", refused)
		if err := m.halt(context.WithoutCancel(ctx)); err != nil {
			return errors.Join(refused, err)
		}
	}
	return fmt.Errorf("%w, on any of %d ports: choose others by vnc_port_min and vnc_port_max, or go without by disable_vnc = true",
		refused, vncTries)
}

// consoleError says that a machine runs whose console cannot be reached.
type consoleError struct{ err error }

func (e *consoleError) Error() string { return "VMware does not serve the console: " + e.err.Error() }
func (e *consoleError) Unwrap() error { return e.err }

// powerOn starts the machine once. Others wait meanwhile: the port of the console must stay free until VMware has it.
func (m *Machine) powerOn(ctx context.Context) error {
	select {
	case m.driver.starts <- struct{}{}:
		defer func() { <-m.driver.starts }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if running, err := m.running(ctx); err != nil || running {
		return err // another Start was faster
	}
	if err := m.offerVNC(ctx); err != nil {
		return err
	}
	if _, err := m.tools.vmrun(ctx, "start", m.path, "nogui"); err != nil {
		if running, _ := m.running(ctx); running { // so was that of another process
			return nil
		}
		return fmt.Errorf("%w%s", err, m.lastWords())
	}
	if m.Set.VNC.Off {
		return nil
	}
	err := m.vncAnswers(ctx)
	if err != nil && ctx.Err() == nil {
		return &consoleError{err}
	}
	return err
}

// offerVNC writes into the VMX file where VMware has to serve the console, with a new password.
func (m *Machine) offerVNC(ctx context.Context) error {
	set := m.Set.VNC
	f, err := readVMX(m.path)
	if err != nil {
		return err
	}
	dropVNC(f)
	if set.Off {
		return writeVMX(m.path, f)
	}
	port, err := netx.FreePort(ctx, set.Bind, set.PortMin, set.PortMax)
	if err != nil {
		return fmt.Errorf("vnc_port_min, vnc_port_max: %w", err)
	}
	f.SetBool("RemoteDisplay.vnc.enabled", true)
	f.Set("RemoteDisplay.vnc.ip", set.Bind)
	f.Set("RemoteDisplay.vnc.port", strconv.Itoa(port))
	if !set.NoPassword {
		password := rand.Text()[:vncPassword]
		f.Set("RemoteDisplay.vnc.password", password)
		f.Set(keyPassword, password)
	}
	return writeVMX(m.path, f)
}

// vncPassword is how many characters of a password VNC looks at.
const vncPassword = 8

// dropVNC takes the console out of a VMX file.
func dropVNC(f *vmx.File) {
	f.DeletePrefix("RemoteDisplay.vnc.")
	f.Delete(keyPassword)
}

// errNoConsole says that the machine serves no console.
var errNoConsole = errors.New("the machine has no VNC server")

// dial connects to the machine's console.
func (m *Machine) dial(ctx context.Context) (*rfb.Conn, error) {
	f, err := readVMX(m.path)
	if err != nil {
		return nil, err
	}
	port, ok := f.Get("RemoteDisplay.vnc.port")
	if !ok || !f.Bool("RemoteDisplay.vnc.enabled") {
		return nil, fmt.Errorf("%w: %w: disable_vnc is set, or it was never started", hypervisor.ErrUnsupported, errNoConsole)
	}
	host, _ := f.Get("RemoteDisplay.vnc.ip")
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = loopback
	}
	password, _ := f.Get(keyPassword)
	return rfb.Dial(ctx, net.JoinHostPort(host, port), password)
}

// vncPoll is the pause between two tries to connect to the console.
const vncPoll = 100 * time.Millisecond

// vncAnswers waits until the console takes the password. A machine that has ended by itself meanwhile needs none.
func (m *Machine) vncAnswers(ctx context.Context) error {
	deadline := time.Now().Add(cmp.Or(m.driver.patience, vncPatience))
	for {
		conn, err := m.dial(ctx)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if running, rerr := m.running(ctx); rerr == nil && !running {
			return nil
		}
		if errors.Is(err, rfb.ErrPassword) || time.Now().After(deadline) { // ErrPassword: it is somebody else's
			return err
		}
		if err := netx.Pause(ctx, vncPoll); err != nil {
			return err
		}
	}
}
