package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// machine is a virtual machine's configuration.
type machine struct {
	Name       string
	UUID       string
	OSType     string // id: Debian_64
	Groups     string
	Folder     string // where its files are
	Registered bool
	Changed    time.Time
	Settings   map[string]string // by modifyvm's names without dashes: memory, cpus, firmware ... as showvminfo prints them
	Boot       [4]string
	NICs       [8]nic
	UARTs      [4]uart
	Storage    []*controller
	Extra      map[string]string
	Guest      map[string]string // guest properties
	Shares     []share
	Snapshots  []*snapshot
	Current    string // UUID of the snapshot that it was made from
	Stuck      bool   // by a fault: its session never ends
	FrontEnd   string // of the running machine
	Down       []string
}

// nic is a network card.
type nic struct {
	Type       string // none, nat, ...
	Model      string
	MAC        string // 080027AABBCC
	Cable      bool
	Net        string // NAT's network, or the name of whatever it is connected to
	Forwards   []forward
	Reachable  bool // --nat-localhostreachable
	Promisc    string
	BootPrio   int
	Properties map[string]string
}

// forward is a rule of NAT.
type forward struct {
	Name, Protocol, HostIP string
	HostPort               int
	GuestIP                string
	GuestPort              int
}

func (f forward) String() string {
	return fmt.Sprintf("%s,%s,%s,%d,%s,%d", f.Name, f.Protocol, f.HostIP, f.HostPort, f.GuestIP, f.GuestPort)
}

type uart struct{ Port, Mode string } // "0x03f8,4" and "file,path"; off if Port is empty

type share struct{ Name, Path string }

// controller is a storage controller with what hangs on it.
type controller struct {
	Name, Bus, Type string // "SATA", "sata", "IntelAhci"
	Ports           int
	HostIOCache     bool
	Bootable        bool
	Attached        []*attachment
}

// attachment is a drive.
type attachment struct {
	Port, Device  int
	Type          string // hdd, dvddrive, fdd
	Medium        string // UUID; empty for a drive without one
	NonRotational bool
	Discard       bool
	HotPluggable  bool
	TempEject     bool
}

// kind is what VirtualBox knows about a kind of controller.
type kind struct {
	bus, chip         string
	ports, max, units int // ports at first and at most, and devices at a port
}

var kinds = []kind{
	{"ide", "PIIX4", 2, 2, 2}, {"sata", "IntelAhci", 30, 30, 1}, {"scsi", "LsiLogic", 16, 16, 1}, {"floppy", "I82078", 1, 1, 2},
	{"sas", "LsiLogicSas", 8, 255, 1}, {"usb", "USB", 8, 8, 1}, {"pcie", "NVMe", 1, 255, 1}, {"virtio", "VirtioSCSI", 1, 256, 1},
}

func kindOf(bus string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.bus == bus })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

// chips are the controller types and their buses, in the case that showvminfo prints.
var chips = map[string]string{
	"PIIX3": "ide", "PIIX4": "ide", "ICH6": "ide", "IntelAhci": "sata", "LsiLogic": "scsi", "BusLogic": "scsi",
	"LsiLogicSas": "sas", "I82078": "floppy", "USB": "usb", "NVMe": "pcie", "VirtioSCSI": "virtio",
}

// chip finds a controller type whatever the case of its name.
func chip(name string) (string, bool) {
	if strings.EqualFold(name, "IntelAHCI") {
		return "IntelAhci", true
	}
	for c := range chips {
		if strings.EqualFold(c, name) || c == "VirtioSCSI" && strings.EqualFold(name, "virtio") {
			return c, true
		}
	}
	return "", false
}

func (m *machine) controller(name string) (*controller, error) {
	for _, ctl := range m.Storage {
		if ctl.Name == name {
			return ctl, nil
		}
	}
	return nil, noController(name)
}

func (ctl *controller) at(port, device int) *attachment {
	for _, a := range ctl.Attached {
		if a.Port == port && a.Device == device {
			return a
		}
	}
	return nil
}

// attach puts a drive in its place, in the order of ports.
func (ctl *controller) attach(a *attachment) {
	ctl.detach(a.Port, a.Device)
	ctl.Attached = append(ctl.Attached, a)
	slices.SortFunc(ctl.Attached, func(a, b *attachment) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Device, b.Device))
	})
	ctl.Ports = max(ctl.Ports, a.Port+1)
}

func (ctl *controller) detach(port, device int) {
	ctl.Attached = slices.DeleteFunc(ctl.Attached, func(a *attachment) bool { return a.Port == port && a.Device == device })
}

// file is a file of the machine's folder.
func (m *machine) file(suffix string) string { return filepath.Join(m.Folder, m.Name+suffix) }

func (m *machine) snapshotFolder() string { return filepath.Join(m.Folder, "Snapshots") }

// newMAC makes an address with VirtualBox's prefix.
func newMAC() string {
	var b [3]byte
	rand.Read(b[:])
	return fmt.Sprintf("080027%X", b)
}

// defaults are the settings of a new machine, by the name that showvminfo prints.
func defaults() map[string]string {
	return map[string]string{
		"memory": "128", "pagefusion": "off", "vram": "8", "cpuexecutioncap": "100", "hpet": "off", "cpu-profile": "host",
		"chipset": "piix3", "firmware": "BIOS", "cpus": "1", "pae": "on", "longmode": "on", "triplefaultreset": "off",
		"apic": "on", "x2apic": "on", "nested-hw-virt": "off", "cpuid-portability-level": "0", "bootmenu": "messageandmenu",
		"acpi": "on", "ioapic": "on", "biosapic": "apic", "biossystemtimeoffset": "0", "rtcuseutc": "off", "hwvirtex": "on",
		"nestedpaging": "on", "largepages": "on", "vtxvpid": "on", "vtxux": "on", "virtvmsavevmload": "on", "iommu": "none",
		"paravirtprovider": "default", "graphicscontroller": "vboxvga", "monitorcount": "1", "accelerate3d": "off",
		"accelerate2dvideo": "off", "autostart-enabled": "off", "autostart-delay": "0", "defaultfrontend": "",
		"vmprocpriority": "default", "mouse": "ps2mouse", "keyboard": "ps2kbd", "audio": "none", "audioout": "off",
		"audioin": "off", "audiocontroller": "ac97", "clipboard": "disabled", "draganddrop": "disabled", "vrde": "off", "vrdeport": "3389",
		"vrdeaddress": "", "vrdeauthtype": "null", "usb": "off", "usbehci": "off", "usbxhci": "off", "recording": "off",
		"tpm-type": "none", "description": "", "guestmemoryballoon": "0",
	}
}

// newMachine makes a machine of a guest system's kind, with the defaults of createvm.
func newMachine(name, uuid, folder, groups string, os osType) *machine {
	m := &machine{
		Name: name, UUID: uuid, OSType: os.id, Groups: cmp.Or(groups, "/"), Folder: folder, Changed: time.Now().UTC(),
		Settings: defaults(), Boot: [4]string{"floppy", "dvd", "disk", "none"}, Extra: map[string]string{}, Guest: map[string]string{},
	}
	for i := range m.NICs {
		m.NICs[i] = nic{Type: "none", Model: os.nic, MAC: newMAC(), Cable: true, Promisc: "deny"}
	}
	m.NICs[0].Type = "nat"
	return m
}

// save writes what stands for the settings file: real ones hold everything, this one only says whose it is.
func (m *machine) save(p profile) error {
	if err := os.MkdirAll(m.Folder, 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf("<?xml version=\"1.0\"?>\n<VirtualBox xmlns=\"http://www.virtualbox.org/\" version=%q>\n"+
		"  <Machine uuid=\"{%s}\" name=%q OSType=%q/>\n</VirtualBox>\n", p.settings, m.UUID, m.Name, m.OSType)
	return os.WriteFile(m.file(".vbox"), []byte(text), 0o600)
}
