package aws

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// sources are the networks that a temporary security group lets in: those of the template, or else this host alone.
func (d *Driver) sources(ctx context.Context, uri string, set settings) ([]string, error) {
	switch {
	case len(set.Groups.SourceCIDRs) > 0:
		return set.Groups.SourceCIDRs, nil
	case set.Port == 0 || set.Connect.Interface == sessionManager: // nobody connects
		return nil, nil
	case set.Bastion != "":
		return lookUp(ctx, set.Bastion)
	case set.Connect.Interface == privateIP || set.Connect.Interface == privateDNS:
		return ownAddresses()
	}
	acc, err := d.account(ctx, uri)
	if err != nil {
		return nil, err
	}
	address, err := d.publicAddress(ctx, acc.Endpoint())
	if err != nil {
		return nil, fmt.Errorf("this host's public address, which the security group shall let in, cannot be found: %w; set temporary_security_group_source_cidrs", err)
	}
	return []string{single(address)}, nil
}

// single is the network of one address.
func single(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }

// publicAddress is the address from which guests see this host: for another cloud than Amazon's that from which its API is asked.
func (d *Driver) publicAddress(ctx context.Context, endpoint string) (netip.Addr, error) {
	if endpoint != "" {
		return addressTo(ctx, endpoint)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.whatIsMyIP, http.NoBody)
	if err != nil {
		return netip.Addr{}, err
	}
	res, err := d.client.Do(req)
	if err != nil {
		return netip.Addr{}, err
	}
	defer res.Body.Close()
	const most = 256
	text, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(strings.TrimSpace(string(text)))
}

// addressTo is this host's address on the way to a URL. Nothing is sent: a socket of UDP only gets its route.
func addressTo(ctx context.Context, to string) (netip.Addr, error) {
	u, err := url.Parse(to)
	if err != nil {
		return netip.Addr{}, err
	}
	const anyPort = "9"
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), anyPort))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return local.Addr().Unmap(), err
}

// ownAddresses are this host's addresses in its own networks: from one of them it sees the private address of an instance.
func ownAddresses() ([]string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			list = append(list, single(p.Addr()))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("this host has no address from which an instance's private address is reached: set temporary_security_group_source_cidrs")
	}
	return list, nil
}

// lookUp returns the addresses of a bastion.
func lookUp(ctx context.Context, host string) ([]string, error) {
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("ssh_bastion_host: %w; set temporary_security_group_source_cidrs to where it connects from", err)
	}
	var list []string
	for _, a := range addresses {
		list = append(list, single(a.Unmap()))
	}
	return list, nil
}
