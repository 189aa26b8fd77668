package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// rulePrefix begins the names of our forwards.
const rulePrefix = "boxkiln-"

// wire gives a machine that is off what only the build needs: forwards from free ports of this host, a serial port that is
// written to a file, the way to this host's loopback, and the remote console if it was asked for.
func (m *Machine) wire(ctx context.Context, in info) error {
	v, err := m.driver.vbox.version(ctx)
	if err != nil {
		return err
	}
	args := dropForwards(in)
	rules, err := m.newForwards(ctx)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		args = append(args, "--natpf1", rule)
	}
	if v.atLeast(7, 0) { // older ones let guests there, and refuse the switch
		args = append(args, "--nat-localhostreachable1", "on")
	}
	if in.uart == "" || in.uart == "off" {
		const port, irq = "0x3F8", "4" // COM1
		args = append(args, "--uart1", port, irq, "--uartmode1", "file", m.SerialLog())
	}
	vrdp, err := m.vrdp(ctx)
	if err != nil {
		return err
	}
	_, err = m.driver.vbox.run(ctx, append(append([]string{"modifyvm", m.uuid}, args...), vrdp...)...)
	return err
}

// unwire takes away what wire gave.
func (m *Machine) unwire(ctx context.Context, in info) error {
	v, err := m.driver.vbox.version(ctx)
	if err != nil {
		return err
	}
	args := dropForwards(in)
	if v.atLeast(7, 0) {
		args = append(args, "--nat-localhostreachable1", "off")
	}
	if strings.HasSuffix(unescape(in.uart), m.SerialLog()) {
		args = append(args, "--uart1", "off")
	}
	if m.record.Settings.Run.VRDP.Bind != "" && in.vrde {
		args = append(args, "--vrde", "off")
	}
	if len(args) == 0 {
		return nil
	}
	_, err = m.driver.vbox.run(ctx, append([]string{"modifyvm", m.uuid}, args...)...)
	return err
}

// dropForwards are the switches that remove our forwards.
func dropForwards(in info) []string {
	var args []string
	for _, f := range in.forwards {
		if f.nic == 1 && strings.HasPrefix(f.name, rulePrefix) {
			args = append(args, "--natpf1", "delete", f.name)
		}
	}
	return args
}

// newForwards are rules from free ports of this host to those of the guest. VirtualBox starts a machine all the same when
// the port of a rule is taken, so it is looked at before.
func (m *Machine) newForwards(ctx context.Context) ([]string, error) {
	run := m.record.Settings.Run
	var rules []string
	var chosen []int
	for _, guest := range m.record.Forward {
		port, err := netx.FreePort(ctx, run.Address, run.PortMin, run.PortMax)
		for tries := 0; err == nil && slices.Contains(chosen, port) && tries < 10; tries++ {
			port, err = netx.FreePort(ctx, run.Address, run.PortMin, run.PortMax)
		}
		if err != nil {
			return nil, fmt.Errorf("forward to port %d of the guest: %w: widen host_port_min and host_port_max", guest, err)
		}
		chosen = append(chosen, port)
		rules = append(rules, rule(guest, run.Address, port))
	}
	return rules, nil
}

func rule(guest int, address string, port int) string {
	return fmt.Sprintf("%s%d,tcp,%s,%d,,%d", rulePrefix, guest, address, port, guest)
}

// forwardTries is how often another port is chosen for a rule that VirtualBox could not bind.
const forwardTries = 3

// checkForwards sees to it that VirtualBox listens where its rules say: a port may have been taken since it was chosen, and
// then be free again, and only a log file would tell.
func (m *Machine) checkForwards(ctx context.Context) error {
	run := m.record.Settings.Run
	for range forwardTries {
		in, err := m.driver.vbox.info(ctx, m.uuid)
		if err != nil || in.state != "running" {
			return err
		}
		idle, err := unbound(ctx, in)
		if err != nil || idle == nil {
			return err
		}
		m.driver.log.Warn("VirtualBox does not listen on a forwarded port, choosing another", "machine", m.record.Name, "port", idle.hostPort)
		port, err := netx.FreePort(ctx, run.Address, run.PortMin, run.PortMax)
		if err != nil {
			return err
		}
		if err := m.moveForward(ctx, *idle, port); err != nil {
			if in, again := m.driver.vbox.info(ctx, m.uuid); again == nil && in.state != "running" {
				return nil // the guest has ended meanwhile, and with it what listened
			}
			return err
		}
	}
	return nil
}

// moveForward gives a rule of a running machine another port of this host.
func (m *Machine) moveForward(ctx context.Context, f forward, port int) error {
	if _, err := m.driver.vbox.run(ctx, "controlvm", m.uuid, "natpf1", "delete", f.name); err != nil {
		return err
	}
	_, err := m.driver.vbox.run(ctx, "controlvm", m.uuid, "natpf1", rule(f.guestPort, m.record.Settings.Run.Address, port))
	return err
}

// unbound returns one of our forwards whose port nobody listens on; nil if there is none.
func unbound(ctx context.Context, in info) (*forward, error) {
	var lc net.ListenConfig
	for i, f := range in.forwards {
		if !strings.HasPrefix(f.name, rulePrefix) {
			continue
		}
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(f.hostIP, strconv.Itoa(f.hostPort)))
		if err != nil {
			continue // it is in use, as it should be
		}
		return &in.forwards[i], l.Close()
	}
	return nil, nil
}

// vrdp are the switches of the remote console; none unless an argument asks for it: it needs Oracle's extension pack.
func (m *Machine) vrdp(ctx context.Context) ([]string, error) {
	v := m.record.Settings.Run.VRDP
	if v.Bind == "" {
		return nil, nil
	}
	port, err := netx.FreePort(ctx, v.Bind, v.PortMin, v.PortMax)
	if err != nil {
		return nil, fmt.Errorf("the remote console: %w", err)
	}
	return []string{"--vrde", "on", "--vrdeaddress", v.Bind, "--vrdeauthtype", "null", "--vrdeport", strconv.Itoa(port)}, nil
}

// hasDisplay tells whether a window can be shown on this host.
func (d *Driver) hasDisplay() bool {
	return runtime.GOOS == "windows" || runtime.GOOS == "darwin" || d.getenv("DISPLAY") != "" || d.getenv("WAYLAND_DISPLAY") != ""
}

// Guest tells the forward to a port of the guest. Without one the guest is at its own port on this host, or where ssh_host
// says.
func (m *Machine) Guest(ctx context.Context, port int) (hypervisor.Endpoint, error) {
	in, err := m.driver.vbox.info(ctx, m.uuid)
	if err != nil {
		return hypervisor.Endpoint{}, err
	}
	if s := in.status(); s != hypervisor.Running {
		return hypervisor.Endpoint{}, fmt.Errorf("port %d of machine %q: the machine is %s", port, m.record.Name, s)
	}
	for _, f := range in.forwards {
		if f.guestPort == port && f.protocol == "tcp" {
			host := f.hostIP
			if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
				host = loopback
			}
			return hypervisor.Endpoint{Host: host, Port: f.hostPort}, nil
		}
	}
	if len(m.record.Forward) > 0 {
		return hypervisor.Endpoint{}, errors.Join(hypervisor.ErrNoAddress, fmt.Errorf("VirtualBox forwards nothing to port %d of machine %q", port, m.record.Name))
	}
	return hypervisor.Endpoint{Host: loopback, Port: port}, nil
}
