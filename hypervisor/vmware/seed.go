package vmware

import (
	"cmp"
	"context"

	"github.com/boxkiln/boxkiln/hypervisor"
)

var _ hypervisor.SeedHost = (*Driver)(nil)

// SeedHost tells where guests reach servers of this host: at the host's address on the virtual network, or its own on a bridged one.
// If no interface of this host has that address, the server listens on loopback, where a network in user space leads to, as that of the
// simulators; Probe tells of it.
func (d *Driver) SeedHost(ctx context.Context, spec hypervisor.Spec) (bind, seen string, err error) {
	network := cmp.Or(spec.Network.Name, networkNAT)
	if network == networkBridged {
		bind, err = outbound(ctx)
		return bind, bind, err
	}
	device, err := d.net.device(network)
	if err != nil {
		return "", "", err
	}
	seen, err = d.net.hostAddress(device)
	if err != nil {
		return "", "", err
	}
	ours, err := isOurs(seen)
	if err != nil || ours {
		return seen, seen, err
	}
	d.log.Warn("no interface of this host has VMware's address of it; the seed server listens on loopback", "network", device, "address", seen)
	return loopback, seen, nil
}
