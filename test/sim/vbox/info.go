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
	if v.c.profile.atLeast(71) {
		v.settings("memory", "pagefusion", "vram", "cpuexecutioncap", "cpu-profile", "chipset", "firmware", "cpus", "hpet", "pae", "longmode",
			"triplefaultreset", "apic", "x2apic", "nested-hw-virt", "hwvirtex", "nestedpaging", "largepages", "vtxvpid", "vtxux", "virtvmsavevmload")
	} else {
		v.settings("memory", "pagefusion", "vram", "cpuexecutioncap", "hpet", "cpu-profile", "chipset", "firmware", "cpus", "pae", "longmode",
			"triplefaultreset", "apic", "x2apic", "nested-hw-virt")
	}
	v.settings("cpuid-portability-level", "bootmenu")
	for i, device := range v.m.Boot {
		v.text(fmt.Sprintf("boot%d", i+1), device)
	}
	v.settings("acpi", "ioapic", "biosapic", "biossystemtimeoffset")
	v.nvram()
	v.settings("rtcuseutc")
	if !v.c.profile.atLeast(71) {
		v.settings("hwvirtex", "nestedpaging", "largepages", "vtxvpid", "vtxux")
	}
	if v.c.profile.build == 70 {
		v.settings("virtvmsavevmload")
	}
	if v.seven() {
		v.settings("iommu")
	}
	v.settings("paravirtprovider")
	v.text("effparavirtprovider", v.paravirt())
}

// nvram names the file of UEFI's variables, and since 7.1 says if they ask for Secure Boot.
func (v *view) nvram() {
	uefi := v.m.Settings["firmware"] != "BIOS"
	switch {
	case v.c.profile.atLeast(71):
		v.text("NvramFile", v.m.file(".nvram"))
		if secure := v.m.Settings["secureboot"]; uefi && secure != "" {
			v.text("SecureBoot", secure)
		}
	case v.seven() || uefi:
		v.text("BIOS NVRAM File", v.m.file(".nvram"))
	}
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
	graphics := v.m.Settings["graphicscontroller"]
	if graphics == "none" {
		graphics = "null"
	}
	v.text("graphicscontroller", graphics)
	v.settings("monitorcount", "accelerate3d", "accelerate2dvideo")
	v.b.WriteString("teleporterenabled=\"off\"\nteleporterport=0\nteleporteraddress=\"\"\nteleporterpassword=\"\"\n" +
		"tracing-enabled=\"off\"\ntracing-allow-vm-access=\"off\"\ntracing-config=\"\"\n")
	v.settings("autostart-enabled", "autostart-delay", "defaultfrontend")
	if v.seven() {
		v.settings("vmprocpriority")
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
