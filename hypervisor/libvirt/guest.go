//go:build !nolibvirt

package libvirt

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Guest tells where the host reaches a TCP port of the guest: under user networking the forward that QEMU opened, on a
// libvirt network or a bridge the guest's own address.
func (m *Machine) Guest(ctx context.Context, port int) (hypervisor.Endpoint, error) {
	switch m.meta.Network {
	case networkNone:
		return hypervisor.Endpoint{Host: "127.0.0.1", Port: port}, nil
	case networkUser:
		return m.forward(ctx, port)
	}
	address, err := askDomain(ctx, m, func(_ *libvirt.Connect, dom *libvirt.Domain) (string, error) {
		return addressOf(dom, m.meta.Network)
	})
	if err != nil {
		return hypervisor.Endpoint{}, err
	}
	return hypervisor.Endpoint{Host: address, Port: port}, nil
}

func (m *Machine) forward(ctx context.Context, port int) (hypervisor.Endpoint, error) {
	answer, err := askDomain(ctx, m, func(_ *libvirt.Connect, dom *libvirt.Domain) (string, error) {
		return dom.QemuMonitorCommand("info usernet", libvirt.DOMAIN_QEMU_MONITOR_COMMAND_HMP)
	})
	if err != nil {
		return hypervisor.Endpoint{}, fmt.Errorf("ask QEMU for the forwards of %q: %w", m.name, err)
	}
	host, hostPort, ok := forwardedPort(answer, port)
	if !ok {
		return hypervisor.Endpoint{}, fmt.Errorf("no host port is forwarded to port %d of %q; if qemuargs redefine the network card, "+
			"add hostfwd=tcp::{{ .SSHHostPort }}-:%d to its -netdev", port, m.name, port)
	}
	return hypervisor.Endpoint{Host: host, Port: hostPort}, nil
}

// addressOf asks for the guest's address: its DHCP lease, the host's ARP table, or the agent inside.
func addressOf(dom *libvirt.Domain, source string) (string, error) {
	sources := map[string][]libvirt.DomainInterfaceAddressesSource{
		"lease": {libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_ARP},
		"arp":   {libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_ARP},
		"agent": {libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT},
	}[source]
	var last error
	for _, src := range sources {
		interfaces, err := dom.ListAllInterfaceAddresses(src)
		if err != nil {
			last = err // the agent may not run yet; leases need a network of libvirt's
			continue
		}
		if address := usable(interfaces); address != "" {
			return address, nil
		}
	}
	if last != nil && !isCode(last, libvirt.ERR_AGENT_UNRESPONSIVE, libvirt.ERR_ARGUMENT_UNSUPPORTED, libvirt.ERR_OPERATION_INVALID) {
		return "", fmt.Errorf("%w: %w", hypervisor.ErrNoAddress, last)
	}
	return "", hypervisor.ErrNoAddress
}

// usable picks the first address that is not loopback or link-local, IPv4 before IPv6.
func usable(interfaces []libvirt.DomainInterface) string {
	v6 := ""
	for _, i := range interfaces {
		for _, a := range i.Addrs {
			addr, err := netip.ParseAddr(a.Addr)
			if err != nil || !addr.IsGlobalUnicast() {
				continue
			}
			if addr.Is4() {
				return a.Addr
			}
			if v6 == "" {
				v6 = a.Addr
			}
		}
	}
	return v6
}

// query asks QEMU by a QMP command without arguments.
func query[T any](dom *libvirt.Domain, command string) (T, error) {
	var reply struct {
		Return T
		Error  *struct{ Desc string }
	}
	answer, err := dom.QemuMonitorCommand(`{"execute":"`+command+`"}`, libvirt.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
	if err != nil {
		return reply.Return, err
	}
	if err := json.Unmarshal([]byte(answer), &reply); err != nil {
		return reply.Return, fmt.Errorf("QEMU's answer %q cannot be read: %w", answer, err)
	}
	if reply.Error != nil {
		return reply.Return, fmt.Errorf("QEMU refuses %s: %s", command, reply.Error.Desc)
	}
	return reply.Return, nil
}

// monitor sends a QMP command whose answer holds nothing of interest.
func monitor(dom *libvirt.Domain, command qmp) error {
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	answer, err := dom.QemuMonitorCommand(string(text), libvirt.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
	if err != nil {
		return err
	}
	var reply struct {
		Error *struct {
			Desc string `json:"desc"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(answer), &reply); err != nil {
		return fmt.Errorf("QEMU's answer %q cannot be read: %w", answer, err)
	}
	if reply.Error != nil {
		return fmt.Errorf("QEMU refuses %s: %s", command.Execute, reply.Error.Desc)
	}
	return nil
}
