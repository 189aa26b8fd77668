package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func showVMInfo(c *call, args []string) error {
	rest, opts, err := c.parse(args, []option{{name: "--machinereadable", dash: "--machine-readable"}, {name: "--details"}, {name: "--log", value: true}})
	if err != nil {
		return err
	}
	name, err := one(rest, "VM name or UUID required")
	if err != nil {
		return err
	}
	return c.look(func(s *state) error {
		m, err := s.find(name)
		if err != nil {
			return err
		}
		v, err := c.view(s, m)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(opts, func(o given) bool { return o.name == "--machinereadable" }) {
			v.machineReadable()
		} else {
			v.human()
		}
		c.printf("%s", v.b.String())
		return nil
	})
}

// view shows a machine.
type view struct {
	c     *call
	s     *state
	m     *machine
	state string
	since time.Time
	b     strings.Builder
}

func (c *call) view(s *state, m *machine) (*view, error) {
	v := &view{c: c, s: s, m: m}
	var err error
	v.state, v.since, err = c.vmState(m)
	return v, err
}

// escaped is how VBoxManage writes most texts since 6.1; see text and raw.
var escaped = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// text prints key="value" with escapes.
func (v *view) text(key, value string) { fmt.Fprintf(&v.b, "%s=\"%s\"\n", key, escaped.Replace(value)) }

// raw prints key="value" as it is, which is what attachments and networks get.
func (v *view) raw(key, value string) { fmt.Fprintf(&v.b, "%s=\"%s\"\n", key, value) }

// number prints key=value.
func (v *view) number(key, value string) { fmt.Fprintf(&v.b, "%s=%s\n", key, value) }

// settings prints settings that are called there as here.
func (v *view) settings(keys ...string) {
	for _, k := range keys {
		if isNumber := slices.Contains(numericKeys, k); isNumber {
			v.number(k, v.m.Settings[k])
		} else {
			v.text(k, v.m.Settings[k])
		}
	}
}

var numericKeys = []string{"memory", "vram", "cpuexecutioncap", "cpus", "cpuid-portability-level", "biossystemtimeoffset", "monitorcount", "autostart-delay"}

func (v *view) seven() bool { return v.c.profile.seven() }

// machineReadable prints everything in the order of the real one.
func (v *view) machineReadable() {
	m := v.m
	v.text("name", m.Name)
	switch {
	case v.c.profile.build == 70:
		v.b.WriteString("Encryption:     disabled\n") // 7.0 forgot that machines read this
	case v.seven():
		v.text("encryption", "disabled")
	}
	v.text("groups", m.Groups)
	if v.c.profile.atLeast(71) {
		v.text("platformArchitecture", "x86")
	}
	v.text("ostype", osTypeOf(m.OSType).description)
	v.text("UUID", m.UUID)
	v.text("CfgFile", m.file(".vbox"))
	v.text("SnapFldr", m.snapshotFolder())
	v.text("LogFldr", m.Folder+"/Logs")
	v.text("hardwareuuid", v.hardwareUUID())
	v.system()
	v.text("VMState", v.state)
	v.text("VMStateChangeTime", timestamp(v.since))
	v.display()
	v.controllers()
	v.attachments()
	for i := range m.NICs {
		v.card(i+1, &m.NICs[i])
	}
	v.ports()
	v.sharing()
	v.running()
	v.ending()
}

func (v *view) hardwareUUID() string {
	if id := v.m.Settings["hardwareuuid"]; id != "" {
		return id
	}
	return v.m.UUID
}

func (v *view) system() {
	v.settings("memory", "pagefusion", "vram", "cpuexecutioncap", "hpet", "cpu-profile", "chipset", "firmware", "cpus", "pae", "longmode",
		"triplefaultreset", "apic", "x2apic", "nested-hw-virt", "cpuid-portability-level", "bootmenu")
	for i, device := range v.m.Boot {
		v.text(fmt.Sprintf("boot%d", i+1), device)
	}
	v.settings("acpi", "ioapic", "biosapic", "biossystemtimeoffset")
	switch {
	case v.c.profile.atLeast(71):
		v.text("NvramFile", v.m.file(".nvram"))
	case v.seven() || v.m.Settings["firmware"] != "BIOS":
		v.text("BIOS NVRAM File", v.m.file(".nvram"))
	}
	v.settings("rtcuseutc", "hwvirtex", "nestedpaging", "largepages", "vtxvpid", "vtxux")
	if v.seven() {
		v.settings("virtvmsavevmload", "iommu")
	}
	v.settings("paravirtprovider")
	v.text("effparavirtprovider", v.paravirt())
}

// paravirt is what "default" means.
func (v *view) paravirt() string {
	p := v.m.Settings["paravirtprovider"]
	switch family := osTypeOf(v.m.OSType).family; {
	case p != "default":
		return p
	case family == "Windows":
		return "hyperv"
	case family == "Linux":
		return "kvm"
	}
	return "none"
}

func (v *view) display() {
	v.settings("graphicscontroller", "monitorcount", "accelerate3d", "accelerate2dvideo")
	v.b.WriteString("teleporterenabled=\"off\"\nteleporterport=0\nteleporteraddress=\"\"\nteleporterpassword=\"\"\n" +
		"tracing-enabled=\"off\"\ntracing-allow-vm-access=\"off\"\ntracing-config=\"\"\n")
	v.settings("autostart-enabled", "autostart-delay", "defaultfrontend")
	if v.seven() {
		v.settings("vmprocpriority")
	}
}

func (v *view) controllers() {
	for i, ctl := range v.m.Storage {
		k, _ := kindOf(ctl.Bus)
		key := func(what string) string { return fmt.Sprintf("storagecontroller%s%d", what, i) }
		v.raw(key("name"), ctl.Name)
		v.raw(key("type"), ctl.Type)
		v.raw(key("instance"), "0")
		v.raw(key("maxportcount"), fmt.Sprint(k.max))
		v.raw(key("portcount"), fmt.Sprint(ctl.Ports))
		v.raw(key("bootable"), onOff(ctl.Bootable))
	}
}

func (v *view) attachments() {
	for _, ctl := range v.m.Storage {
		k, _ := kindOf(ctl.Bus)
		for port := range ctl.Ports {
			for device := range k.units {
				v.attachment(ctl, port, device)
			}
		}
	}
}

// attachment prints a place of a controller. Names and paths are not escaped here, in any version.
func (v *view) attachment(ctl *controller, port, device int) {
	place := fmt.Sprintf("-%d-%d", port, device)
	a := ctl.at(port, device)
	if a == nil {
		v.raw(quote(ctl.Name+place), "none")
		return
	}
	// Since 7.0 flags say which place they are about.
	flag := func(name string, on bool) {
		if v.seven() {
			name += place
		}
		v.raw(quote(ctl.Name+"-"+name), onOff(on))
	}
	x := v.s.findMedium(a.Medium)
	if x == nil {
		v.raw(quote(ctl.Name+place), "emptydrive")
	} else {
		v.raw(quote(ctl.Name+place), x.Path)
		v.raw(quote(ctl.Name+"-ImageUUID"+place), x.UUID)
	}
	if a.Type == "dvddrive" {
		if x != nil {
			flag("tempeject", a.TempEject)
		}
		flag("IsEjected", false)
		return
	}
	if a.Type == "hdd" {
		if strings.EqualFold(ctl.Name, "SATA") || strings.EqualFold(ctl.Name, "USB") {
			flag("hot-pluggable", a.HotPluggable)
		}
		flag("nonrotational", a.NonRotational)
		flag("discard", a.Discard)
	}
}

func quote(s string) string { return `"` + s + `"` }

// card prints a network card.
func (v *view) card(slot int, n *nic) {
	key := func(name string) string { return fmt.Sprintf("%s%d", name, slot) }
	if n.Type == "none" {
		v.raw(key("nic"), "none")
		return
	}
	connected := map[string]string{
		"bridged": "bridgeadapter", "intnet": "intnet", "hostonly": "hostonlyadapter", "generic": "generic", "natnetwork": "nat-network", "hostonlynet": "hostonly-network",
	}
	shown := map[string]string{"generic": "Generic", "hostonlynet": "hostonlynetwork"}
	if name := connected[n.Type]; name != "" {
		v.raw(key(name), n.Net)
	}
	if n.Type == "nat" {
		net := n.Net
		if net == "" {
			net = "nat"
		}
		v.raw(key("natnet"), net)
	}
	v.raw(key("macaddress"), n.MAC)
	v.raw(key("cableconnected"), onOff(n.Cable))
	kind := n.Type
	if other := shown[kind]; other != "" {
		kind = other
	}
	v.raw(key("nic"), kind)
	v.raw(key("nictype"), n.Model)
	v.raw(key("nicspeed"), "0")
	if n.Type == "nat" {
		v.b.WriteString("mtu=\"0\"\nsockSnd=\"64\"\nsockRcv=\"64\"\ntcpWndSnd=\"64\"\ntcpWndRcv=\"64\"\n")
		for i, f := range n.Forwards {
			v.raw(fmt.Sprintf("Forwarding(%d)", i), f.String())
		}
	}
}

func (v *view) ports() {
	mouse := map[string]string{"ps2": "ps2mouse", "usb": "usbmouse"}
	pointing := v.m.Settings["mouse"]
	if other := mouse[pointing]; other != "" {
		pointing = other
	}
	v.raw("hidpointing", pointing)
	keyboard := "ps2kbd"
	if v.m.Settings["keyboard"] == "usb" {
		keyboard = "usbkbd"
	}
	v.raw("hidkeyboard", keyboard)
	for i, u := range v.m.UARTs {
		if u.Port == "" {
			v.raw(fmt.Sprintf("uart%d", i+1), "off")
			continue
		}
		v.raw(fmt.Sprintf("uart%d", i+1), u.Port)
		mode := u.Mode
		if mode == "" {
			mode = "disconnected"
		}
		v.raw(fmt.Sprintf("uartmode%d", i+1), mode)
		if v.seven() {
			v.raw(fmt.Sprintf("uarttype%d", i+1), "16550A")
		}
	}
	v.b.WriteString("lpt1=\"off\"\nlpt2=\"off\"\n")
}

// sharing prints sound, clipboard, remote display and USB.
func (v *view) sharing() {
	v.raw("audio", v.m.Settings["audio"])
	if v.m.Settings["audio"] != "none" {
		v.raw("audio_out", v.m.Settings["audioout"])
		v.raw("audio_in", v.m.Settings["audioin"])
	}
	v.settings("clipboard", "draganddrop")
	v.remoteDisplay()
	v.raw("usb", v.m.Settings["usb"])
	v.raw("ehci", v.m.Settings["usbehci"])
	v.raw("xhci", v.m.Settings["usbxhci"])
	for i, s := range v.m.Shares {
		v.text(fmt.Sprintf("SharedFolderNameMachineMapping%d", i+1), s.Name)
		v.text(fmt.Sprintf("SharedFolderPathMachineMapping%d", i+1), s.Path)
	}
}

func (v *view) remoteDisplay() {
	m := v.m
	v.raw("vrde", m.Settings["vrde"])
	if m.Settings["vrde"] != "on" {
		return
	}
	port := "-1" // nobody listens
	if v.state == "running" || v.state == "paused" {
		port = m.Settings["vrdeport"]
	}
	v.number("vrdeport", port)
	v.raw("vrdeports", m.Settings["vrdeport"])
	v.raw("vrdeaddress", m.Settings["vrdeaddress"])
	v.raw("vrdeauthtype", m.Settings["vrdeauthtype"])
	v.raw("vrdemulticon", "off")
	v.raw("vrdereusecon", "off")
	v.raw("vrdevideochannel", "off")
	v.raw("vrdeproperty[TCP/Ports]", m.Settings["vrdeport"])
	v.raw("vrdeproperty[TCP/Address]", m.Settings["vrdeaddress"])
}

// running prints what only a running machine has.
func (v *view) running() {
	if v.state != "running" && v.state != "paused" {
		return
	}
	v.raw("SessionName", v.m.FrontEnd)
	v.b.WriteString("VideoMode=\"720,400,0\"@0,0 1\n")
	v.raw("VRDEActiveConnection", "off")
	v.b.WriteString("VRDEClients==0\n")
}

func (v *view) ending() {
	v.raw("recording_enabled", v.m.Settings["recording"])
	v.b.WriteString("recording_screens=1\n rec_screen0\n")
	v.b.WriteString("rec_screen_enabled=\"on\"\nrec_screen_id=0\nrec_screen_video_enabled=\"on\"\nrec_screen_dest=\"File\"\n")
	v.text("rec_screen_dest_filename", v.m.file("-screen0.webm"))
	v.b.WriteString("rec_screen_opts=\"vc_enabled=true,ac_enabled=false,ac_profile=med\"\nrec_screen_video_res_xy=\"1024x768\"\n" +
		"rec_screen_video_rate_kbps=512\nrec_screen_video_fps=25\n")
	if d := v.m.Settings["description"]; d != "" {
		v.raw("description", d)
	}
	v.number("GuestMemoryBalloon", v.m.Settings["guestmemoryballoon"])
	v.snapshots()
}

// human prints the main things for people.
func (v *view) human() {
	m := v.m
	line := func(key, value string) { fmt.Fprintf(&v.b, "%-29s%s\n", key+":", value) }
	line("Name", m.Name)
	line("Groups", m.Groups)
	line("Guest OS", osTypeOf(m.OSType).description)
	line("UUID", m.UUID)
	line("Config file", m.file(".vbox"))
	line("Memory size", m.Settings["memory"]+"MB")
	line("Number of CPUs", m.Settings["cpus"])
	line("Firmware", m.Settings["firmware"])
	states := map[string]string{"poweroff": "powered off"}
	state := v.state
	if s := states[state]; s != "" {
		state = s
	}
	line("State", fmt.Sprintf("%s (since %s)", state, timestamp(v.since)))
	for i, n := range m.NICs {
		if n.Type == "none" {
			line(fmt.Sprintf("NIC %d", i+1), "disabled")
			continue
		}
		line(fmt.Sprintf("NIC %d", i+1), fmt.Sprintf("MAC: %s, Attachment: %s, Cable connected: %s, Type: %s", n.MAC, n.Type, onOff(n.Cable), n.Model))
	}
}
