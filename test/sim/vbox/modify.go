package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// setting is an option of modifyvm that sets something which is only kept and shown.
type setting struct {
	option
	key    string   // of machine.Settings; the option's name unless set
	kind   string   // switch, number, text
	values []string // what may be said, if not everything; shown as written here
}

func toggle(name, dash, key string, since int) setting {
	return setting{option: option{name: name, dash: dash, value: true, since: since}, key: key, kind: "switch"}
}

func choice(name, dash, key string, since int, values ...string) setting {
	return setting{option: option{name: name, dash: dash, value: true, since: since}, key: key, kind: "text", values: values}
}

func count(name, dash, key string) setting {
	return setting{option: option{name: name, dash: dash, value: true}, key: key, kind: "number"}
}

var settings = []setting{
	count("--memory", "", "memory"), count("--vram", "", "vram"), count("--cpus", "", "cpus"), count("--cpuexecutioncap", "--cpu-execution-cap", "cpuexecutioncap"),
	count("--monitorcount", "--monitor-count", "monitorcount"), count("--cpuid-portability-level", "", "cpuid-portability-level"),
	count("--guestmemoryballoon", "--guest-memory-balloon", "guestmemoryballoon"), count("--biossystemtimeoffset", "--bios-system-time-offset", "biossystemtimeoffset"),
	count("--autostart-delay", "", "autostart-delay"),
	toggle("--pae", "", "pae", 0), toggle("--x86-pae", "", "pae", 71), toggle("--longmode", "--long-mode", "longmode", 0), toggle("--ioapic", "", "ioapic", 0),
	toggle("--acpi", "", "acpi", 0), toggle("--hpet", "", "hpet", 0), toggle("--apic", "", "apic", 0), toggle("--x2apic", "", "x2apic", 0),
	toggle("--x86-x2apic", "", "x2apic", 71), toggle("--hwvirtex", "", "hwvirtex", 0), toggle("--x86-hwvirtex", "", "hwvirtex", 71),
	toggle("--nested-hw-virt", "", "nested-hw-virt", 0), toggle("--nestedpaging", "--nested-paging", "nestedpaging", 0),
	toggle("--largepages", "--large-pages", "largepages", 0), toggle("--vtxvpid", "", "vtxvpid", 0), toggle("--vtxux", "", "vtxux", 0),
	toggle("--pagefusion", "--page-fusion", "pagefusion", 0), toggle("--triplefaultreset", "--triple-fault-reset", "triplefaultreset", 0),
	toggle("--rtcuseutc", "--rtc-use-utc", "rtcuseutc", 0), toggle("--accelerate3d", "--accelerate-3d", "accelerate3d", 0),
	toggle("--accelerate2dvideo", "--accelerate-2d-video", "accelerate2dvideo", 0), toggle("--vrde", "", "vrde", 0), toggle("--usb", "--usb-ohci", "usb", 0),
	toggle("--usbohci", "", "usb", 0), toggle("--usbehci", "--usb-ehci", "usbehci", 0), toggle("--usbxhci", "--usb-xhci", "usbxhci", 0),
	toggle("--audioin", "--audio-in", "audioin", 0), toggle("--audioout", "--audio-out", "audioout", 0), toggle("--audio-enabled", "", "audio-enabled", 70),
	toggle("--recording", "", "recording", 0), toggle("--autostart-enabled", "", "autostart-enabled", 0),
	choice("--firmware", "", "firmware", 0, "BIOS", "EFI", "EFI32", "EFI64", "EFIDUAL"), choice("--chipset", "", "chipset", 0, "piix3", "ich9"),
	choice("--paravirtprovider", "--paravirt-provider", "paravirtprovider", 0, "none", "default", "legacy", "minimal", "hyperv", "kvm"),
	choice("--graphicscontroller", "--graphics-controller", "graphicscontroller", 0, "none", "vboxvga", "vmsvga", "vboxsvga"),
	choice("--mouse", "", "mouse", 0, "ps2", "usb", "usbtablet", "usbmultitouch", "usbmtscreenpluspad"), choice("--keyboard", "", "keyboard", 0, "ps2", "usb"),
	choice("--audio", "", "audio", 0, "none", "null", "default", "oss", "alsa", "pulse"), choice("--audio-driver", "", "audio", 70, "none", "null", "default", "oss", "alsa", "pulse", "was"),
	choice("--audiocontroller", "--audio-controller", "audiocontroller", 0, "ac97", "hda", "sb16"), choice("--audiocodec", "--audio-codec", "audiocodec", 0),
	choice("--clipboard", "", "clipboard", 0, "disabled", "hosttoguest", "guesttohost", "bidirectional"),
	choice("--clipboard-mode", "", "clipboard", 0, "disabled", "hosttoguest", "guesttohost", "bidirectional"),
	choice("--draganddrop", "--drag-and-drop", "draganddrop", 0, "disabled", "hosttoguest", "guesttohost", "bidirectional"),
	choice("--bioslogofadein", "--bios-logo-fade-in", "", 0), choice("--bioslogofadeout", "--bios-logo-fade-out", "", 0), choice("--bioslogodisplaytime", "--bios-logo-display-time", "", 0),
	choice("--biosbootmenu", "--bios-boot-menu", "bootmenu", 0, "disabled", "menuonly", "messageandmenu"), choice("--biosapic", "--bios-apic", "biosapic", 0, "disabled", "apic", "x2apic"),
	choice("--vrdeport", "--vrde-port", "vrdeport", 0), choice("--vrdeaddress", "--vrde-address", "vrdeaddress", 0), choice("--vrdeextpack", "--vrde-extpack", "vrdeextpack", 0),
	choice("--vrdeauthtype", "--vrde-auth-type", "vrdeauthtype", 0, "null", "external", "guest"), choice("--vrdemulticon", "--vrde-multi-con", "", 0),
	choice("--vrdereusecon", "--vrde-reuse-con", "", 0), choice("--vrdeproperty", "--vrde-property", "vrdeproperty", 0), choice("--description", "", "description", 0),
	choice("--defaultfrontend", "--default-frontend", "defaultfrontend", 0), choice("--hardwareuuid", "--hardware-uuid", "hardwareuuid", 0), choice("--cpu-profile", "", "cpu-profile", 0),
	choice("--vm-process-priority", "", "vmprocpriority", 0, "default", "flat", "low", "normal", "high"),
	choice("--tpm-type", "", "tpm-type", 70, "none", "1.2", "2.0", "host", "swtpm"), choice("--iommu", "", "iommu", 70, "none", "automatic", "amd", "intel"),
	choice("--usbcardreader", "--usb-card-reader", "", 0), choice("--teleporter", "", "", 0), choice("--tracing-enabled", "", "", 0),
	choice("--mds-clear-on-vm-entry", "", "", 0), choice("--ibpb-on-vm-entry", "", "", 0), choice("--spec-ctrl", "", "", 0), choice("--l1d-flush-on-vm-entry", "", "", 0),
	choice("--virtvmsavevmload", "--virt-vmsave-vmload", "virtvmsavevmload", 0, "on", "off"),
}

// slots are the options of modifyvm that concern a card, a port or a boot device.
var slots = []option{
	{name: "--name", value: true}, {name: "--ostype", dash: "--os-type", value: true}, {name: "--groups", value: true},
	{name: "--snapshotfolder", dash: "--snapshot-folder", value: true},
	{name: "--boot#", value: true}, {name: "--nic#", value: true}, {name: "--nictype#", dash: "--nic-type#", value: true},
	{name: "--nicspeed#", dash: "--nic-speed#", value: true}, {name: "--nicproperty#", dash: "--nic-property#", value: true},
	{name: "--nicpromisc#", dash: "--nic-promisc#", value: true}, {name: "--nictrace#", dash: "--nic-trace#", value: true},
	{name: "--nicbootprio#", dash: "--nic-boot-prio#", value: true}, {name: "--cableconnected#", dash: "--cable-connected#", value: true},
	{name: "--macaddress#", dash: "--mac-address#", value: true}, {name: "--bridgeadapter#", dash: "--bridge-adapter#", value: true},
	{name: "--hostonlyadapter#", dash: "--host-only-adapter#", value: true}, {name: "--intnet#", value: true},
	{name: "--nat-network#", more: []string{"--natnetwork#"}, value: true}, {name: "--nicgenericdrv#", dash: "--nic-generic-drv#", value: true},
	{name: "--natnet#", dash: "--nat-net#", value: true}, {name: "--natpf#", dash: "--nat-pf#", value: true},
	{name: "--natdnsproxy#", dash: "--nat-dns-proxy#", value: true}, {name: "--natdnshostresolver#", dash: "--nat-dns-host-resolver#", value: true},
	{name: "--natdnspassdomain#", dash: "--nat-dns-pass-domain#", value: true}, {name: "--natbindip#", dash: "--nat-bind-ip#", value: true},
	{name: "--natsettings#", dash: "--nat-settings#", value: true}, {name: "--nataliasmode#", dash: "--nat-alias-mode#", value: true},
	{name: "--nattftpprefix#", dash: "--nat-tftp-prefix#", value: true}, {name: "--nattftpfile#", dash: "--nat-tftp-file#", value: true},
	{name: "--nattftpserver#", dash: "--nat-tftp-server#", value: true},
	{name: "--nat-localhostreachable#", more: []string{"--natlocalhostreachable#"}, value: true, since: 70},
	{name: "--host-only-net#", value: true, since: 70},
	{name: "--uart#", value: true}, {name: "--uartmode#", dash: "--uart-mode#", value: true}, {name: "--uarttype#", dash: "--uart-type#", value: true},
	{name: "--lpt#", value: true}, {name: "--lptmode#", dash: "--lpt-mode#", value: true},
}

func modifyOptions() []option {
	options := slices.Clone(slots)
	for _, s := range settings {
		options = append(options, s.option)
	}
	return options
}

func modifyVM(c *call, args []string) error {
	if len(args) == 0 {
		return syntax("Not enough parameters")
	}
	return c.changeMachine(args[0], "VBoxManageModifyVM.cpp:554", func(s *state, m *machine) error {
		if err := c.modify(s, m, args[1:]); err != nil {
			return c.softly(err)
		}
		return m.save(c.profile)
	})
}

func (c *call) modify(s *state, m *machine, args []string) error {
	rest, opts, err := c.parse(args, modifyOptions())
	if err != nil {
		return err
	}
	for _, o := range opts {
		if err := c.modifyWith(s, m, o, &rest); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return &syntaxError{text: fmt.Sprintf("Invalid parameter '%s'", rest[0]), getopt: true}
	}
	return nil
}

// modifyWith applies an option; some take a second word from the rest of the line.
func (c *call) modifyWith(s *state, m *machine, o given, rest *[]string) error {
	for _, set := range settings {
		if set.name == o.name {
			return set.apply(m, o.value)
		}
	}
	switch {
	case strings.HasPrefix(o.name, "--uart"), strings.HasPrefix(o.name, "--lpt"):
		return m.setPort(o, rest)
	case o.slot > 0 && o.name != "--boot#":
		if o.slot > len(m.NICs) {
			return badArgument("Invalid NIC slot number: %d", o.slot)
		}
		return c.modifyNIC(&m.NICs[o.slot-1], o, rest)
	}
	return c.modifyIdentity(s, m, o)
}

func (set setting) apply(m *machine, value string) error {
	key := set.key
	if key == "" {
		return nil // kept nowhere, as nothing shows it
	}
	switch set.kind {
	case "switch":
		on, err := switchOn(set.name, value)
		if err != nil {
			return err
		}
		value = onOff(on)
	case "number":
		n, err := number(set.name, value)
		if err != nil {
			return err
		}
		value = strconv.Itoa(n)
	}
	if len(set.values) > 0 {
		i := slices.IndexFunc(set.values, func(v string) bool { return strings.EqualFold(v, value) })
		if i < 0 {
			return badArgument("Invalid %s argument '%s'", set.name, value)
		}
		value = set.values[i]
	}
	m.Settings[key] = value
	return nil
}

// modifyIdentity changes what a machine is: its name, the kind of its guest, its groups, its boot order.
func (c *call) modifyIdentity(s *state, m *machine, o given) error {
	switch o.name {
	case "--name":
		return s.rename(m, o.value)
	case "--ostype":
		os, err := c.osType(o.value)
		m.OSType = os.id
		return err
	case "--groups":
		m.Groups = o.value
	case "--boot#":
		if !slices.Contains([]string{"none", "floppy", "dvd", "disk", "net"}, o.value) {
			return badArgument("Invalid boot device '%s'", o.value)
		}
		if o.slot > len(m.Boot) {
			return &comError{code: invalidArg, component: "SessionMachine", text: fmt.Sprintf("Invalid boot position: %d (must be in range [1, 4])", o.slot)}
		}
		m.Boot[o.slot-1] = o.value
	}
	return nil
}

// portTaken is a word of a command line that belongs to the option before it.
func portTaken(rest *[]string) (string, bool) {
	if len(*rest) == 0 {
		return "", false
	}
	word := (*rest)[0]
	*rest = (*rest)[1:]
	return word, true
}

// setPort is --uartN off, --uartN 0x3F8 4, --uartmodeN disconnected and --uartmodeN file PATH.
func (m *machine) setPort(o given, rest *[]string) error {
	if o.slot > len(m.UARTs) || strings.HasPrefix(o.name, "--lpt") || o.name == "--uarttype#" {
		return nil // parallel ports and chips make no difference
	}
	port := &m.UARTs[o.slot-1]
	if o.name == "--uart#" {
		if o.value == "off" {
			*port = uart{}
			return nil
		}
		base, err := number(o.name, o.value)
		if err != nil {
			return err
		}
		irq, ok := portTaken(rest)
		if !ok {
			return badArgument("Missing or invalid argument to '%s'", strings.Replace(o.name, "#", strconv.Itoa(o.slot), 1))
		}
		port.Port = fmt.Sprintf("0x%04x,%s", base, irq)
		return nil
	}
	switch o.value {
	case "disconnected":
		port.Mode = ""
	case "server", "client", "tcpserver", "tcpclient", "file":
		path, ok := portTaken(rest)
		if !ok {
			return badArgument("Missing or invalid argument to '%s'", strings.Replace(o.name, "#", strconv.Itoa(o.slot), 1))
		}
		port.Mode = o.value + "," + path
	default:
		port.Mode = o.value
	}
	return nil
}
