//go:build !nolibvirt

package libvirt

import (
	"context"
	"fmt"
	"net"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/boxkiln/boxkiln/hypervisor"
)

var _ hypervisor.SeedHost = (*Driver)(nil)

// SeedHost tells where the guest reaches servers of this host: under user networking this host's loopback, which the guest
// sees as 10.0.2.2; on a libvirt network or a bridge the host's own address there.
func (d *Driver) SeedHost(ctx context.Context, spec hypervisor.Spec) (bind, seen string, err error) {
	set, err := decodeSettings(spec.Options)
	if err != nil {
		return "", "", err
	}
	switch {
	case set.Net.Bridge != "":
		bind, err = interfaceAddress(set.Net.Bridge)
	case spec.Network.Name != "":
		uri := set.URI
		if uri == "" {
			uri = d.uri
		}
		bind, err = d.networkAddress(ctx, uri, spec.Network.Name)
	default:
		return "127.0.0.1", hostOfUserNet, nil
	}
	return bind, bind, err
}

// interfaceAddress is the first address of a network interface of this host, IPv4 before IPv6.
func interfaceAddress(name string) (string, error) {
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return "", fmt.Errorf("net_bridge = %q: %w", name, err)
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		return "", fmt.Errorf("net_bridge = %q: %w", name, err)
	}
	v6 := ""
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		switch {
		case !ok || !ip.IP.IsGlobalUnicast():
		case ip.IP.To4() != nil:
			return ip.IP.String(), nil
		case v6 == "":
			v6 = ip.IP.String()
		}
	}
	if v6 == "" {
		return "", fmt.Errorf("net_bridge = %q: this host has no address on it, so the guest could not reach the seed server", name)
	}
	return v6, nil
}

// networkAddress is the host's address on a libvirt network, which must be active.
func (d *Driver) networkAddress(ctx context.Context, uri, name string) (string, error) {
	return ask(ctx, &d.conns, uri, func(c *libvirt.Connect) (string, error) {
		n, err := c.LookupNetworkByName(name)
		if err != nil {
			return "", fmt.Errorf("network_interface.network = %q: libvirt at %s has no such network: %w", name, uri, err)
		}
		defer n.Free()
		active, err := n.IsActive()
		if err != nil {
			return "", err
		}
		if !active {
			return "", fmt.Errorf("network_interface.network = %q: the network is not active; run virsh -c %s net-start %s", name, uri, name)
		}
		text, err := n.GetXMLDesc(0)
		if err != nil {
			return "", err
		}
		return hostAddressOf(name, text)
	})
}

// hostAddressOf reads the host's address out of the description of a network; a bridged one is asked for its bridge.
func hostAddressOf(name, text string) (string, error) {
	var x libvirtxml.Network
	if err := x.Unmarshal(text); err != nil {
		return "", fmt.Errorf("the description of the network %q cannot be read: %w", name, err)
	}
	for _, ip := range x.IPs {
		if ip.Family != "ipv6" && ip.Address != "" {
			return ip.Address, nil
		}
	}
	if x.Bridge != nil && x.Bridge.Name != "" {
		return interfaceAddress(x.Bridge.Name)
	}
	return "", fmt.Errorf("network_interface.network = %q: the host has no IPv4 address on it; use a network with one", name)
}
