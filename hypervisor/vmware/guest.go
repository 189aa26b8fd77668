package vmware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// Guest tells where the host reaches a TCP port of the guest: at its own address, which the leases of VMware's DHCP server tell, or else
// VMware Tools in the guest.
func (m *Machine) Guest(ctx context.Context, port int) (hypervisor.Endpoint, error) {
	f, err := readVMX(m.path)
	if err != nil {
		return hypervisor.Endpoint{}, err
	}
	address, err := m.leasedAddress(f)
	if err != nil {
		return hypervisor.Endpoint{}, err
	}
	if address == "" {
		address, err = m.toolsAddress(ctx)
	}
	if err != nil {
		return hypervisor.Endpoint{}, fmt.Errorf("the address of %q: %w", m.Name, err)
	}
	return hypervisor.Endpoint{Host: address, Port: port}, nil
}

// leasedAddress looks the first network card up in the leases.
func (m *Machine) leasedAddress(f *vmx.File) (string, error) {
	nics := f.NICs()
	if len(nics) == 0 {
		return "", fmt.Errorf("%q has no network card: set ssh_host if it is reached in another way", m.Name)
	}
	mac := parseMAC(f.MAC(nics[0]))
	if mac == nil { // VMware has not made one yet
		return "", nil
	}
	device, err := m.driver.net.deviceOf(f, nics[0])
	if err != nil || device == "" {
		return "", err
	}
	return m.driver.net.leased(device, mac)
}

// deviceOf is the virtual network that a card is plugged into, "" for a bridged one, whose DHCP server is somebody else's.
func (v vmnet) deviceOf(f *vmx.File, nic int) (string, error) {
	key := fmt.Sprintf("ethernet%d.", nic)
	connection, _ := f.Get(key + "connectionType")
	network := strings.ToLower(cmp.Or(connection, networkNAT))
	if network == networkBridged {
		return "", nil
	}
	if network == "custom" {
		network, _ = f.Get(key + "vnet")
	}
	return v.device(network)
}

// toolsAddress asks VMware Tools in the guest.
func (m *Machine) toolsAddress(ctx context.Context) (string, error) {
	out, err := m.tools.vmrun(ctx, "getGuestIPAddress", m.path)
	switch {
	case errors.Is(err, errNoTools), errors.Is(err, hypervisor.ErrNoAddress):
		return "", fmt.Errorf("%w: %w", hypervisor.ErrNoAddress, err)
	case err != nil:
		return "", err
	}
	address := strings.TrimSpace(out)
	if !usable(address) {
		return "", fmt.Errorf("%w: VMware Tools say %q", hypervisor.ErrNoAddress, truncate(address))
	}
	return address, nil
}

// usable tells an address from "unknown", and from that of the host on the network, x.x.x.1, which guests with several cards report.
func usable(address string) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.IsUnspecified() {
		return false
	}
	return !ip.Is4() || ip.As4()[3] != 1
}
