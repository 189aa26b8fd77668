package seedhttp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// BindAddr is the address to listen on: the one that the template asks for by address or interface, else guestFacing,
// which only the guest reaches.
func (a Args) BindAddr(guestFacing netip.Addr) (netip.Addr, error) {
	if a.Interface != "" {
		return interfaceAddr(a.Interface, a.NetworkProtocol == "tcp6")
	}
	addr, err := a.bindAddress()
	if err == nil && !addr.IsValid() {
		addr = guestFacing
	}
	return addr, err
}

// interfaceAddr is the first address of a network interface, IPv4 unless six is set.
func interfaceAddr(name string, six bool) (netip.Addr, error) {
	itf, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("http_interface %q: %w: `ip link` lists the interfaces of this host", name, err)
	}
	addrs, err := itf.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("http_interface %q: %w", name, err)
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() != six {
			return prefix.Addr().WithZone(zone(prefix.Addr(), name)), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("http_interface %q has no address: give it one or use http_bind_address", name)
}

// zone is what a link-local IPv6 address needs to be listened on.
func zone(a netip.Addr, itf string) string {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return itf
	}
	return ""
}

// listen takes a free port between low and high, starting at a random one so that builds do not race for the first.
func listen(ctx context.Context, addr netip.Addr, low, high int) (net.Listener, error) {
	var lc net.ListenConfig
	count := high - low + 1
	start := rand.IntN(count)
	for i := range count {
		port := low + (start+i)%count
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(addr.String(), strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("seed server: %w: does http_bind_address belong to this host?", err)
		}
	}
	return nil, fmt.Errorf("seed server: every port from %d to %d is taken on %s: widen http_port_min and http_port_max, "+
		"or leave both out to take any free port", low, high, addr)
}
