package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
)

func startVM(c *call, args []string) error {
	rest, opts, err := c.parse(args, []option{
		{name: "--type", more: []string{"-t"}, value: true}, {name: "--putenv", more: []string{"-E"}, value: true},
		{name: "--password", value: true, since: 70}, {name: "--password-id", value: true, since: 70},
	})
	if err != nil {
		return err
	}
	frontEnd := valueOf(opts, "--type")
	if !slices.Contains([]string{"", "gui", "headless", "separate", "sdl", "vrdp", "capture"}, frontEnd) {
		return badArgument("Invalid session type '%s'", frontEnd)
	}
	if frontEnd == "" {
		frontEnd = "GUI/Qt"
	}
	if len(rest) == 0 {
		return badArgument("at least one VM name or uuid required")
	}
	// VirtualBox's service starts machines: once it was asked, an interrupt of this command does not stop it.
	signal.Ignore(os.Interrupt)
	for _, name := range rest {
		if err := c.start(name, frontEnd); err != nil {
			return err
		}
	}
	return nil
}

// start starts a machine. The state stays locked until QEMU runs: nobody sees a machine that is half started.
func (c *call) start(name, frontEnd string) error {
	var started *machine
	err := c.change(func(s *state) error {
		m, status, err := c.findSession(s, name)
		if err != nil {
			return err
		}
		if status.Locked {
			return &comError{code: badObjState, component: machineWrap,
				text:    fmt.Sprintf("The machine '%s' is already locked by a session (or being locked or unlocked)", m.Name),
				context: "LaunchVMProcess(a->session, sessionType.raw(), ComSafeArrayAsInParam(aBstrEnv), progress.asOutParam())", file: "VBoxManageMisc.cpp:727"}
		}
		c.printf("Waiting for VM \"%s\" to power on...\n", m.Name)
		if c.strikes("novmx") {
			return cannotRun("VT-x is not available (VERR_VMX_NO_VMX)")
		}
		if err := c.boot(s, m); err != nil {
			return err
		}
		m.FrontEnd, m.Stuck = frontEnd, c.strikes("stuck")
		m.touch()
		started = m
		return nil
	})
	if err != nil {
		return err
	}
	if c.strikes("vanish") {
		if pid, ok := qemu.PID(c.runDir(started)); ok {
			syscall.Kill(pid, syscall.SIGKILL)
			qemu.WaitEnd(c.ctx, c.runDir(started))
		}
	}
	c.printf("VM \"%s\" has been successfully started.\n", started.Name)
	return nil
}

// cannotRun is how startvm reports that a machine did not power on.
func cannotRun(text string) error {
	return &comError{code: failure, component: consoleWrap, text: text}
}

// boot starts QEMU, and notes in the machine's log which ports of the host it could not have.
func (c *call) boot(s *state, m *machine) error {
	spec, err := c.spec(s, m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(m.Folder, "Logs"), 0o700); err != nil {
		return err
	}
	log := "VirtualBox VM " + c.profile.version + " (simulator)\n"
	for range 3 { // somebody may take a port between a look and QEMU's
		log += m.dropTakenPorts(&spec)
		if err = qemu.Start(c.ctx, c.runDir(m), spec); err == nil || !strings.Contains(err.Error(), "Could not set up host forwarding rule") {
			break
		}
	}
	if errors.Is(err, qemu.ErrLocked) {
		return &comError{code: badObjState, component: machineWrap,
			text: fmt.Sprintf("The machine '%s' is already locked by a session (or being locked or unlocked)", m.Name)}
	}
	if err != nil {
		return cannotRun(err.Error())
	}
	return os.WriteFile(filepath.Join(m.Folder, "Logs", "VBox.log"), []byte(log), 0o600)
}

// dropTakenPorts leaves out forwards whose port somebody has: VirtualBox starts without them and says so only in its log.
func (m *machine) dropTakenPorts(spec *qemu.Spec) string {
	log := ""
	for i := range spec.NICs {
		n := &spec.NICs[i]
		n.Forwards = slices.DeleteFunc(n.Forwards, func(f qemu.Forward) bool {
			if !taken(f) {
				return false
			}
			log += fmt.Sprintf("NAT: Failed to redirect TCP %s:%d -> %s:%d (VERR_NET_ADDRESS_IN_USE)\n", f.Host, f.HostPort, f.Guest, f.GuestPort)
			m.Down = append(m.Down, strconv.Itoa(f.HostPort))
			return true
		})
	}
	return log
}

func taken(f qemu.Forward) bool {
	if f.UDP {
		return false
	}
	l, err := net.Listen("tcp", net.JoinHostPort(f.Host, strconv.Itoa(f.HostPort)))
	if err != nil {
		return true
	}
	l.Close()
	return false
}

// spec is the machine as QEMU has it.
func (c *call) spec(s *state, m *machine) (qemu.Spec, error) {
	m.Down = nil
	spec := qemu.Spec{
		Name: m.Name, UUID: m.UUID, Machine: "pc", Linger: c.linger, LocalRTC: m.Settings["rtcuseutc"] != "on",
		Tablet: m.Settings["mouse"] == "usbtablet" && m.Settings["usb"] == "on",
	}
	var err error
	if spec.CPUs, err = strconv.Atoi(m.Settings["cpus"]); err != nil {
		return spec, err
	}
	if spec.MemoryMB, err = strconv.Atoi(m.Settings["memory"]); err != nil {
		return spec, err
	}
	if m.Settings["firmware"] != "BIOS" {
		spec.Firmware, spec.NVRAM = qemu.UEFI, m.file(".nvram")
	}
	if spec.Drives, err = drives(s, m); err != nil {
		return spec, err
	}
	for i, n := range m.NICs {
		if n.Type != "none" {
			spec.NICs = append(spec.NICs, c.card(i, n))
		}
	}
	for _, u := range m.UARTs {
		mode, path, _ := strings.Cut(u.Mode, ",")
		if mode != "file" || u.Port == "" {
			path = ""
		}
		spec.Serial = append(spec.Serial, path)
	}
	m.bootOrder(&spec)
	return spec, nil
}

// card is a network card as QEMU has it.
func (c *call) card(i int, n nic) qemu.NIC {
	models := map[string]string{"Am79C970A": "pcnet", "Am79C973": "pcnet", "82540EM": "e1000", "82543GC": "e1000-82544gc", "82545EM": "e1000-82545em", "virtio": "virtio-net-pci"}
	var mac []string
	for j := 0; j < 12; j += 2 {
		mac = append(mac, n.MAC[j:j+2])
	}
	card := qemu.NIC{Model: models[n.Model], MAC: strings.Join(mac, ":"), Unplugged: !n.Cable}
	if n.Type != "nat" {
		// A network with nobody else: not 10.0.2.0, lest the guest has two ways to the same.
		card.Isolated, card.Net = true, fmt.Sprintf("192.168.%d.0/24", 56+i)
		return card
	}
	card.Net = n.Net
	card.Isolated = c.profile.seven() && !n.Reachable
	for _, f := range n.Forwards {
		card.Forwards = append(card.Forwards, f.qemu())
	}
	return card
}

func (f forward) qemu() qemu.Forward {
	return qemu.Forward{UDP: f.Protocol == "udp", Host: f.HostIP, HostPort: f.HostPort, Guest: f.GuestIP, GuestPort: f.GuestPort}
}

// driveID names a drive for QEMU.
func driveID(m *machine, ctl *controller, a *attachment) string {
	return fmt.Sprintf("d%d-%d-%d", slices.Index(m.Storage, ctl), a.Port, a.Device)
}

var buses = map[string]qemu.Bus{
	"ide": qemu.IDE, "sata": qemu.AHCI, "scsi": qemu.LSI, "sas": qemu.SAS, "floppy": qemu.FloppyBus, "pcie": qemu.NVMe, "virtio": qemu.VirtioSCSI,
}

func drives(s *state, m *machine) ([]qemu.Drive, error) {
	var drives []qemu.Drive
	count := map[string]int{}
	for _, ctl := range m.Storage {
		bus, ok := buses[ctl.Bus]
		if !ok && len(ctl.Attached) > 0 {
			return nil, cannotRun("The simulator has no drives on a controller of kind " + ctl.Bus)
		}
		k, _ := kindOf(ctl.Bus)
		for _, a := range ctl.Attached {
			d := qemu.Drive{
				ID: driveID(m, ctl, a), Bus: bus, Controller: count[ctl.Bus], Unit: a.Port*k.units + a.Device,
				CD: a.Type == "dvddrive", SSD: a.NonRotational,
			}
			if x := s.findMedium(a.Medium); x != nil {
				if _, err := os.Stat(x.Path); err != nil {
					return nil, missingImage(x)
				}
				d.Path, d.Format, d.ReadOnly = x.Path, x.qemuFormat(), x.Type == "readonly"
			}
			drives = append(drives, d)
		}
		count[ctl.Bus]++
	}
	return drives, nil
}

func missingImage(x *medium) error {
	return &comError{code: fileError, component: mediumWrap, text: fmt.Sprintf(
		"Could not open the medium '%s'.\nVBoxManage: error: VD: error VERR_FILE_NOT_FOUND opening image file '%s' (VERR_FILE_NOT_FOUND)", x.Path, x.Path)}
}

// bootOrder numbers what the firmware tries.
func (m *machine) bootOrder(spec *qemu.Spec) {
	next := 1
	number := func(index *int) {
		if *index == 0 {
			*index = next
			next++
		}
	}
	for _, device := range m.Boot {
		for i := range spec.Drives {
			d := &spec.Drives[i]
			kind := "disk"
			if d.CD {
				kind = "dvd"
			} else if d.Bus == qemu.FloppyBus {
				kind = "floppy"
			}
			if kind == device {
				number(&d.BootIndex)
			}
		}
		for i := range spec.NICs {
			if device == "net" {
				number(&spec.NICs[i].BootIndex)
			}
		}
	}
}
