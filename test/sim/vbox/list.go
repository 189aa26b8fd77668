package main

import (
	"cmp"
	"os"
	"slices"
	"strings"
)

// additionsISO is what is named as the image of the guest additions.
func additionsISO() string {
	return cmp.Or(os.Getenv("BOXKILN_SIM_VBOX_ADDITIONS"), "/usr/share/virtualbox/VBoxGuestAdditions.iso")
}

var lists = map[string]func(c *call, s *state) error{
	"vms":              func(c *call, s *state) error { return c.listMachines(s, false) },
	"runningvms":       func(c *call, s *state) error { return c.listMachines(s, true) },
	"ostypes":          (*call).listOSTypes,
	"hdds":             func(c *call, s *state) error { return c.listMedia(s, "disk") },
	"dvds":             func(c *call, s *state) error { return c.listMedia(s, "dvd") },
	"floppies":         func(c *call, s *state) error { return c.listMedia(s, "floppy") },
	"systemproperties": (*call).listProperties,
	"hostinfo":         (*call).listHost,
	"hostonlyifs":      (*call).listHostOnly,
	"bridgedifs":       (*call).listBridged,
	"dhcpservers":      (*call).listDHCP,
	"natnets":          nothing, "natnetworks": nothing, "intnets": nothing, "hostdvds": nothing, "hostfloppies": nothing, "usbhost": nothing,
	"extpacks": func(c *call, _ *state) error { c.printf("Extension Packs: 0\n"); return nil },
	"groups":   func(c *call, _ *state) error { c.printf("\"/\"\n"); return nil },
}

func nothing(*call, *state) error { return nil }

func list(c *call, args []string) error {
	rest, _, err := c.parse(args, []option{{name: "--long", more: []string{"-l"}}, {name: "--sorted", more: []string{"-s"}}, {name: "--platform-arch", value: true, since: 71}})
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return syntax("Missing subcommand for \"list\" command.")
	}
	do, ok := lists[rest[0]]
	if rest[0] == "hostonlynets" && c.profile.seven() {
		do, ok = nothing, true // only where there is macOS
	}
	if !ok {
		return syntax("Unknown subcommand \"%s\".", rest[0])
	}
	return c.look(func(s *state) error { return do(c, s) })
}

func (c *call) listMachines(s *state, running bool) error {
	for _, m := range s.Machines {
		if !m.Registered {
			continue
		}
		if running {
			status, err := c.session(m)
			if err != nil {
				return err
			}
			if !status.State.Alive() {
				continue
			}
		}
		c.printf("\"%s\" {%s}\n", m.Name, m.UUID)
	}
	return nil
}

func (c *call) listOSTypes(_ *state) error {
	known := slices.DeleteFunc(slices.Clone(osTypes), func(t osType) bool { return !c.profile.atLeast(t.since) })
	for i, t := range known {
		if i > 0 {
			c.printf("\n")
		}
		c.printf("ID:          %s\nDescription: %s\nFamily ID:   %s\nFamily Desc: %s\n", t.id, t.description, t.family, t.familyDescription)
		if c.profile.atLeast(71) {
			c.printf("Architecture: x86\n")
		}
		c.printf("64 bit:      %t\n", t.bits64)
	}
	return nil
}

func (c *call) listMedia(s *state, device string) error {
	first := true
	for _, m := range s.Media {
		if m.Device != device {
			continue
		}
		if !first {
			c.printf("\n")
		}
		first = false
		c.printMedium(s, m)
		c.printf("Capacity:       %d MBytes\nEncryption:     disabled\n", m.Size>>20)
	}
	if !first {
		c.printf("\n")
	}
	return nil
}

func (c *call) listProperties(_ *state) error {
	rows := [][2]string{
		{"API version", strings.ReplaceAll(c.profile.name, ".", "_")}, {"Minimum guest RAM size", "4 Megabytes"}, {"Maximum guest RAM size", "2097152 Megabytes"},
		{"Minimum video RAM size", "0 Megabytes"}, {"Maximum video RAM size", "256 Megabytes"}, {"Maximum guest monitor count", "64"},
		{"Minimum guest CPU count", "1"}, {"Maximum guest CPU count", "64"}, {"Virtual disk limit (info)", "2199022206976 Bytes"},
		{"Maximum Serial Port count", "4"}, {"Maximum Parallel Port count", "2"}, {"Maximum Boot Position", "4"},
		{"Maximum PIIX3 Network Adapter count", "8"}, {"Maximum ICH9 Network Adapter count", "36"}, {"Maximum IDE Controllers", "1"},
		{"Maximum IDE Port count", "2"}, {"Maximum Devices per IDE Port", "2"}, {"Maximum SATA Controllers", "1"}, {"Maximum SATA Port count", "30"},
		{"Maximum Devices per SATA Port", "1"}, {"Default machine folder", machineFolder()}, {"Raw-mode Supported", "no"},
		{"Exclusive HW virtualization use", "on"}, {"Default hard disk format", "VDI"}, {"VRDE auth library", "VBoxAuth"}, {"Webservice auth. library", "VBoxAuth"},
		{"Remote desktop ExtPack", ""}, {"Log history count", "3"}, {"Default frontend", ""}, {"Default audio driver", "Pulse Audio"},
		{"Autostart database path", ""}, {"Default Guest Additions ISO", additionsISO()}, {"Logging Level", "all"}, {"Proxy Mode", "System"}, {"Proxy URL", ""},
	}
	for _, r := range rows {
		c.printf("%-33s%s\n", r[0]+":", r[1])
	}
	return nil
}

func (c *call) listHost(_ *state) error {
	c.printf("Host Information:\n\nHost time: 2024-01-01T00:00:00.000000000Z\nProcessor online count: 2\nProcessor count: 2\n" +
		"Processor online core count: 2\nProcessor core count: 2\nProcessor supports HW virtualization: yes\nProcessor supports PAE: yes\n" +
		"Processor supports long mode: yes\nProcessor supports nested paging: yes\nMemory size: 16000 MByte\nMemory available: 8000 MByte\n" +
		"Operating system: Linux\nOperating system version: 6.1.0\n")
	return nil
}

func (c *call) listBridged(_ *state) error {
	c.printf("Name:            eth0\nGUID:            30687465-0000-4000-8000-020000000001\nDHCP:            Disabled\nIPAddress:       192.0.2.10\n" +
		"NetworkMask:     255.255.255.0\nIPV6Address:     \nIPV6NetworkMaskPrefixLength: 0\nHardwareAddress: 02:00:00:00:00:01\n" +
		"MediumType:      Ethernet\nWireless:        No\nStatus:          Up\nVBoxNetworkName: HostInterfaceNetworking-eth0\n\n")
	return nil
}
