package libvirt

import (
	"errors"
	"fmt"
	"net"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// network resolves the network card: user networking, unless a libvirt network or a bridge is named.
func (p *planner) network() hypervisor.Network {
	a := p.args
	n := hypervisor.Network{Model: p.name("net_device", a.NetDevice, "virtio-net")}
	if len(a.NetworkInterface) > 1 {
		p.Problem(fmt.Errorf("network_interface: %d blocks; one network card is possible, add further ones by qemuargs",
			len(a.NetworkInterface)))
	}
	if len(a.NetworkInterface) > 0 {
		p.networkInterface(a.NetworkInterface[0], &n)
	}
	if n.Name == "" && p.bridge() == "" {
		n.HostAddress = hostOfUserNet
		n.Forward = p.forward()
	}
	return n
}

func (p *planner) networkInterface(ni NetworkInterface, n *hypervisor.Network) {
	n.Model = p.name("network_interface.model", ni.Model, n.Model)
	if ni.MAC != "" {
		if mac, err := net.ParseMAC(ni.MAC); err != nil || len(mac) != 6 {
			p.Problem(fmt.Errorf("network_interface.mac = %q: six hexadecimal bytes are needed, such as 52:54:00:12:34:56", ni.MAC))
		}
		n.MAC = ni.MAC
	}
	switch ni.Type {
	case "managed", "network":
		n.Name = p.name("network_interface.network", ni.Network, "default")
	case "bridge":
		if ni.Bridge == "" {
			p.Problem(errors.New("network_interface.bridge is missing; name the host's bridge"))
		}
	case "user":
	default:
		p.Problem(fmt.Errorf("network_interface.type = %q: use one of managed, network, bridge, user", ni.Type))
	}
	if p.args.NetBridge != "" {
		p.Problem(errors.New("net_bridge: it cannot be used together with network_interface"))
	}
}

// bridge is the host's bridge to plug into, or "".
func (p *planner) bridge() string {
	for _, ni := range p.args.NetworkInterface {
		if ni.Type == "bridge" {
			return ni.Bridge
		}
	}
	return p.args.NetBridge
}

// forward lists the guest's port that the communicator talks to.
func (p *planner) forward() []int {
	if p.args.SkipNATMapping || p.port == 0 {
		return nil
	}
	return []int{p.port}
}

func (p *planner) netSettings() netSettings {
	a := p.args
	lowest, highest := a.HostPortMin, a.HostPortMax
	if lowest == 0 {
		lowest = a.SSHHostPortMin
	}
	if highest == 0 {
		highest = a.SSHHostPortMax
	}
	lowest, highest = p.Ports("host_port", lowest, highest, defaultPortMin, defaultPortMax)
	return netSettings{
		Bridge:        p.name("net_bridge", p.bridge(), ""),
		AddressSource: p.OneOf("network_address_source", a.AddressSource, "lease", "lease", "arp", "agent"),
		SkipNAT:       a.SkipNATMapping,
		PortMin:       lowest,
		PortMax:       highest,
	}
}

// vnc resolves the arguments of the VNC server. There is none unless an argument asks for it: the screen is shown by
// other means, and a port that nobody asked for is a hole.
func (p *planner) vnc() vncSettings {
	a := p.args
	lowest, highest := p.Ports("vnc_port", a.VNCPortMin, a.VNCPortMax, defaultVNCMin, defaultVNCMax)
	if lowest < defaultVNCMin {
		p.Problem(fmt.Errorf("vnc_port_min = %d: QEMU counts VNC displays from port 5900, so that is the lowest", a.VNCPortMin))
	}
	if len(a.VNCPassword) > 8 {
		p.Problem(errors.New("vnc_password: VNC uses at most 8 characters"))
	}
	if a.VNCUsePassword && a.VNCPassword == "" {
		p.Problem(errors.New("vnc_use_password = true: vnc_password is missing"))
	}
	asked := a.VNCBindAddress != "" || a.VNCUsePassword || a.VNCPassword != "" || a.VNCPortMin != 0 || a.VNCPortMax != 0
	if !asked {
		return vncSettings{}
	}
	bind := a.VNCBindAddress
	if bind == "" {
		bind = "127.0.0.1"
	}
	if net.ParseIP(bind) == nil {
		p.Problem(fmt.Errorf("vnc_bind_address = %q: an IP address is needed", bind))
	}
	return vncSettings{Bind: bind, Password: a.VNCPassword, PortMin: lowest, PortMax: highest}
}
