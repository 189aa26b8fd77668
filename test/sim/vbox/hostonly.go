package main

import (
	"fmt"
	"slices"
)

// hostNetwork is a host-only interface, and dhcpServer a server on one: remembered, never there.
type (
	hostNetwork struct{ Name, UUID, IP, Mask string }
	dhcpServer  struct {
		Network, IP, Mask, Lower, Upper string
		Enabled                         bool
	}
)

func (c *call) listHostOnly(s *state) error {
	for i, n := range s.Networks {
		c.printf("Name:            %s\nGUID:            %s\nDHCP:            Disabled\nIPAddress:       %s\nNetworkMask:     %s\nIPV6Address:     \n"+
			"IPV6NetworkMaskPrefixLength: 0\nHardwareAddress: 0a:00:27:00:00:%02x\nMediumType:      Ethernet\nWireless:        No\nStatus:          Up\n"+
			"VBoxNetworkName: HostInterfaceNetworking-%s\n\n", n.Name, n.UUID, n.IP, n.Mask, i, n.Name)
	}
	return nil
}

func (c *call) listDHCP(s *state) error {
	for _, d := range s.DHCP {
		enabled := map[bool]string{true: "Yes", false: "No"}[d.Enabled]
		c.printf("NetworkName:    %s\nDhcpd IP:       %s\nLowerIPAddress: %s\nUpperIPAddress: %s\nNetworkMask:    %s\nEnabled:        %s\nGlobal Configuration:\n"+
			"    minLeaseTime:     default\n    defaultLeaseTime: default\n    maxLeaseTime:     default\n\n", d.Network, d.IP, d.Lower, d.Upper, d.Mask, enabled)
	}
	return nil
}

func hostOnlyIf(c *call, args []string) error {
	if len(args) == 0 {
		return syntax("No sub-command specified")
	}
	switch args[0] {
	case "create":
		return c.createHostOnly()
	case "remove", "ipconfig":
		if len(args) < 2 {
			return syntax("No interface name was specified")
		}
		return c.changeHostOnly(args[0] == "remove", args[1], args[2:])
	}
	return syntax("Unknown hostonlyif command '%s'", args[0])
}

func (c *call) createHostOnly() error {
	return c.change(func(s *state) error {
		i := 0
		for slices.ContainsFunc(s.Networks, func(n *hostNetwork) bool { return n.Name == fmt.Sprintf("vboxnet%d", i) }) {
			i++
		}
		n := &hostNetwork{fmt.Sprintf("vboxnet%d", i), newUUID(), fmt.Sprintf("192.168.%d.1", 56+i), "255.255.255.0"}
		s.Networks = append(s.Networks, n)
		c.progress()
		c.printf("Interface '%s' was successfully created\n", n.Name)
		return nil
	})
}

func (c *call) changeHostOnly(remove bool, name string, args []string) error {
	_, opts, err := c.parse(args, []option{
		{name: "--dhcp", more: []string{"-d"}}, {name: "--ip", more: []string{"-a"}, value: true}, {name: "--netmask", more: []string{"-m"}, value: true},
		{name: "--ipv6", more: []string{"-b"}, value: true}, {name: "--netmasklengthv6", more: []string{"-l"}, value: true},
	})
	if err != nil {
		return err
	}
	return c.change(func(s *state) error {
		i := slices.IndexFunc(s.Networks, func(n *hostNetwork) bool { return n.Name == name })
		if i < 0 {
			return &comError{code: invalidArg, component: "HostWrap", text: fmt.Sprintf("The host network interface named '%s' could not be found", name)}
		}
		if remove {
			s.Networks = slices.Delete(s.Networks, i, i+1)
			c.progress()
			return nil
		}
		if ip := valueOf(opts, "--ip"); ip != "" {
			s.Networks[i].IP = ip
		}
		if mask := valueOf(opts, "--netmask"); mask != "" {
			s.Networks[i].Mask = mask
		}
		return nil
	})
}

func dhcp(c *call, args []string) error {
	if len(args) == 0 {
		return syntax("No sub-command specified")
	}
	_, opts, err := c.parse(args[1:], []option{
		{name: "--netname", more: []string{"--network"}, value: true}, {name: "--ifname", more: []string{"--interface"}, value: true},
		{name: "--ip", more: []string{"--server-ip"}, value: true}, {name: "--netmask", value: true}, {name: "--lowerip", more: []string{"--lower-ip"}, value: true},
		{name: "--upperip", more: []string{"--upper-ip"}, value: true}, {name: "--enable"}, {name: "--disable"},
	})
	if err != nil {
		return err
	}
	network := valueOf(opts, "--netname")
	if ifname := valueOf(opts, "--ifname"); ifname != "" {
		network = "HostInterfaceNetworking-" + ifname
	}
	if network == "" {
		return syntax("You need to specify either --network or --interface to identify the DHCP server")
	}
	return c.change(func(s *state) error {
		i := slices.IndexFunc(s.DHCP, func(d *dhcpServer) bool { return d.Network == network })
		switch args[0] {
		case "add":
			if i >= 0 {
				return &comError{code: invalidArg, text: "", context: "CreateDHCPServer(bstrNetworkName.raw(), ptrDHCPServer.asOutParam())", file: "VBoxManageDHCPServer.cpp:1100"}
			}
			s.DHCP = append(s.DHCP, &dhcpServer{network, valueOf(opts, "--ip"), valueOf(opts, "--netmask"), valueOf(opts, "--lowerip"), valueOf(opts, "--upperip"),
				slices.ContainsFunc(opts, func(o given) bool { return o.name == "--enable" })})
			return nil
		case "remove":
			if i < 0 {
				return complain("DHCP server does not exist")
			}
			s.DHCP = slices.Delete(s.DHCP, i, i+1)
			return nil
		case "modify":
			return nil
		}
		return syntax("Invalid command '%s'", args[0])
	})
}
