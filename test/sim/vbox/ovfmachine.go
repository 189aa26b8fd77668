package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// vboxMachine writes the machine in VirtualBox's own format.
func (d *descriptor) vboxMachine() {
	m := d.m
	d.line(`    <vbox:Machine ovf:required="false" version="%s" uuid="{%s}" name="%s" OSType="%s" snapshotFolder="Snapshots" lastStateChange="%s">`,
		d.c.profile.settings, m.UUID, x(m.Name), m.OSType, m.Changed.Format("2006-01-02T15:04:05Z"))
	d.line("      <ovf:Info>Complete VirtualBox machine configuration in VirtualBox format</ovf:Info>")
	d.line("      <Hardware>")
	d.line("        <CPU count=\"%s\">\n          <PAE enabled=\"%t\"/>\n          <LongMode enabled=\"%t\"/>\n          <HardwareVirtExLargePages enabled=\"%t\"/>\n        </CPU>",
		m.Settings["cpus"], m.on("pae"), m.on("longmode"), m.on("largepages"))
	d.line("        <Memory RAMSize=\"%s\"/>", m.Settings["memory"])
	if m.Settings["firmware"] != "BIOS" {
		d.line("        <Firmware type=\"%s\"/>", m.Settings["firmware"])
	}
	if m.Settings["chipset"] != "piix3" {
		d.line("        <Chipset type=\"%s\"/>", strings.ToUpper(m.Settings["chipset"]))
	}
	d.line("        <Boot>")
	devices := map[string]string{"disk": "HardDisk", "dvd": "DVD", "floppy": "Floppy", "net": "Network", "none": "None"}
	for i, device := range m.Boot {
		d.line("          <Order position=\"%d\" device=\"%s\"/>", i+1, devices[device])
	}
	d.line("        </Boot>\n        <Display controller=\"%s\" VRAMSize=\"%s\"/>", m.Settings["graphicscontroller"], m.Settings["vram"])
	d.line("        <BIOS>\n          <IOAPIC enabled=\"%t\"/>\n          <SmbiosUuidLittleEndian enabled=\"true\"/>\n        </BIOS>", m.on("ioapic"))
	d.line("        <Network>")
	for i, n := range m.NICs {
		d.adapter(i, n)
	}
	clock := map[bool]string{true: "UTC", false: "local"}[m.on("rtcuseutc")]
	d.line("        </Network>\n        <RTC localOrUTC=\"%s\"/>\n        <Clipboard/>\n      </Hardware>", clock)
	d.storage()
	d.line("    </vbox:Machine>")
}

// on tells if a switch is on.
func (m *machine) on(key string) bool { return m.Settings[key] == "on" }

func (d *descriptor) adapter(slot int, n nic) {
	if n.Type == "none" {
		return
	}
	mac := fmt.Sprintf(" MACAddress=\"%s\"", n.MAC)
	if d.o.noMACs == "all" || d.o.noMACs == "notnat" && n.Type != "nat" {
		mac = ""
	}
	d.line("          <Adapter slot=\"%d\" enabled=\"true\"%s cable=\"%t\" type=\"%s\">", slot, mac, n.Cable, n.Model)
	switch n.Type {
	case "nat":
		if n.Reachable {
			d.line("            <NAT localhost-reachable=\"true\">")
		} else {
			d.line("            <NAT>")
		}
		for _, f := range n.Forwards {
			proto := map[string]int{"udp": 0, "tcp": 1}[f.Protocol]
			d.line("              <Forwarding name=\"%s\" proto=\"%d\" hostip=\"%s\" hostport=\"%d\" guestip=\"%s\" guestport=\"%d\"/>", x(f.Name), proto, f.HostIP, f.HostPort, f.GuestIP, f.GuestPort)
		}
		d.line("            </NAT>")
	case "bridged":
		d.line("            <BridgedInterface name=\"%s\"/>", x(n.Net))
	case "hostonly":
		d.line("            <HostOnlyInterface name=\"%s\"/>", x(n.Net))
	case "intnet":
		d.line("            <InternalNetwork name=\"%s\"/>", x(n.Net))
	}
	d.line("          </Adapter>")
}

// storage are the controllers, with exported disks under their new UUIDs.
func (d *descriptor) storage() {
	d.line("      <StorageControllers>")
	types := map[string]string{"IntelAhci": "AHCI"}
	for _, ctl := range d.m.Storage {
		ports := ""
		if ctl.Bus == "sata" {
			ports = " IDE0MasterEmulationPort=\"0\" IDE0SlaveEmulationPort=\"1\" IDE1MasterEmulationPort=\"2\" IDE1SlaveEmulationPort=\"3\""
		}
		d.line("        <StorageController name=\"%s\" type=\"%s\" PortCount=\"%d\" useHostIOCache=\"%t\" Bootable=\"%t\"%s>",
			x(ctl.Name), cmp.Or(types[ctl.Type], ctl.Type), ctl.Ports, ctl.HostIOCache, ctl.Bootable, ports)
		for _, a := range ctl.Attached {
			d.drive(a)
		}
		d.line("        </StorageController>")
	}
	d.line("      </StorageControllers>")
}

func (d *descriptor) drive(a *attachment) {
	kind := map[string]string{"hdd": "HardDisk", "dvddrive": "DVD", "fdd": "Floppy"}[a.Type]
	extra := ""
	if a.Type == "hdd" {
		extra = fmt.Sprintf(" hotpluggable=\"%t\"", a.HotPluggable)
	}
	d.line("          <AttachedDevice type=\"%s\"%s port=\"%d\" device=\"%d\">", kind, extra, a.Port, a.Device)
	if i := slices.IndexFunc(d.files, func(f exportedFile) bool { return f.medium == a.Medium }); i >= 0 {
		d.line("            <Image uuid=\"{%s}\"/>", d.files[i].uuid)
	}
	d.line("          </AttachedDevice>")
}
