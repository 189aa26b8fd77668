package qemu

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Environment variables that choose what runs the guests.
const (
	EnvProgram = "BOXKILN_SIM_QEMU"  // instead of qemu-system-x86_64
	EnvAccel   = "BOXKILN_SIM_ACCEL" // tcg or kvm; else KVM only where the processor has vmx or svm, as /dev/kvm proves nothing
)

func program() string { return cmp.Or(os.Getenv(EnvProgram), "qemu-system-x86_64") }

func accelerator() string {
	if a := os.Getenv(EnvAccel); a != "" {
		return a
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	if dev, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		dev.Close()
		if bytes.Contains(info, []byte(" vmx ")) || bytes.Contains(info, []byte(" svm ")) {
			return "kvm"
		}
	}
	return "tcg"
}

// firmwareFiles returns OVMF's code and empty variables.
func firmwareFiles() (code, vars string, err error) {
	for _, size := range []string{"_4M", ""} {
		code, vars = "/usr/share/OVMF/OVMF_CODE"+size+".fd", "/usr/share/OVMF/OVMF_VARS"+size+".fd"
		if _, err = os.Stat(code); err == nil {
			return code, vars, nil
		}
	}
	return "", "", fmt.Errorf("UEFI firmware: %w: apt-get install ovmf", err)
}

// arguments are those of QEMU for a machine.
func arguments(s Spec) ([]string, error) {
	accel := accelerator()
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-qmp", "stdio",
		"-qmp", "unix:" + qmpSocket + ",server=on,wait=off",
		"-name", escape(cmp.Or(s.Name, "guest")),
		"-machine", cmp.Or(s.Machine, "pc") + ",accel=" + accel,
		"-m", strconv.Itoa(s.MemoryMB), "-smp", strconv.Itoa(max(s.CPUs, 1)), "-vga", "std",
	}
	if accel == "tcg" {
		args = append(args, "-cpu", "max")
	}
	if s.UUID != "" {
		args = append(args, "-uuid", s.UUID)
	}
	if s.LocalRTC {
		args = append(args, "-rtc", "base=localtime")
	}
	args = append(args, screenArgs(s)...)
	firmware, err := firmwareArgs(s)
	if err != nil {
		return nil, err
	}
	drives, err := driveArgs(s.Drives)
	if err != nil {
		return nil, err
	}
	return append(append(append(append(args, firmware...), drives...), networkArgs(s.NICs)...), s.Extra...), nil
}

// escape doubles the commas of a value, as QEMU's option lists want it.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

func firmwareArgs(s Spec) ([]string, error) {
	if s.Firmware != UEFI {
		return nil, nil
	}
	code, _, err := firmwareFiles()
	if err != nil {
		return nil, err
	}
	return []string{
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + escape(code),
		"-drive", "if=pflash,unit=1,format=raw,file=" + escape(s.NVRAM),
	}, nil
}

// screenArgs are what people and tests look at: viewers, the mouse, serial ports.
func screenArgs(s Spec) []string {
	var args []string
	if v := s.VNC; v != nil {
		vnc := fmt.Sprintf("%s:%d", v.Host, v.Port-5900)
		if v.Password != "" {
			vnc += ",password=on"
		}
		args = append(args, "-vnc", vnc)
	}
	if s.Tablet {
		args = append(args, "-device", "piix3-usb-uhci,id=usb", "-device", "usb-tablet,bus=usb.0")
	}
	for i, file := range s.Serial {
		chardev := fmt.Sprintf("null,id=com%d", i)
		if file != "" {
			chardev = fmt.Sprintf("file,id=com%d,path=%s", i, escape(file))
		}
		args = append(args, "-chardev", chardev,
			"-device", fmt.Sprintf("isa-serial,chardev=com%d,index=%d", i, i))
	}
	return args
}

func networkArgs(nics []NIC) []string {
	var args []string
	for i, n := range nics {
		net := fmt.Sprintf("user,id=net%d", i)
		for _, o := range [][2]string{{"net", n.Net}, {"host", n.Router}, {"dhcpstart", n.DHCPStart}} {
			if o[1] != "" {
				net += "," + o[0] + "=" + o[1]
			}
		}
		if n.Isolated {
			net += ",restrict=on"
		}
		for _, f := range n.Forwards {
			net += ",hostfwd=" + f.rule()
		}
		device := fmt.Sprintf("%s,netdev=net%d,id=nic%d,mac=%s", n.Model, i, i, n.MAC)
		if n.BootIndex > 0 {
			device += fmt.Sprintf(",bootindex=%d", n.BootIndex)
		}
		args = append(args, "-netdev", net, "-device", device)
	}
	return args
}

// from is the host's side of a forward, in QEMU's words.
func (f Forward) from() string {
	protocol := "tcp"
	if f.UDP {
		protocol = "udp"
	}
	return fmt.Sprintf("%s:%s:%d", protocol, f.Host, f.HostPort)
}

func (f Forward) rule() string { return fmt.Sprintf("%s-%s:%d", f.from(), f.Guest, f.GuestPort) }

// driveArgs are the controllers and then the drives on them.
func driveArgs(drives []Drive) ([]string, error) {
	var controllers, args []string
	made := map[string]bool{}
	for _, d := range drives {
		if d.ID == "" {
			return nil, errors.New("a drive has no ID")
		}
		backend, err := d.backend()
		if err != nil {
			return nil, err
		}
		place, controller, err := d.place()
		if err != nil {
			return nil, err
		}
		if controller != "" && !made[controller] {
			made[controller] = true
			controllers = append(controllers, "-device", controller)
		}
		device := place + ",id=" + d.ID
		if backend != "" {
			args = append(args, "-drive", backend)
			device += ",drive=drive-" + d.ID
		}
		if d.BootIndex > 0 {
			device += fmt.Sprintf(",bootindex=%d", d.BootIndex)
		}
		args = append(args, "-device", device)
	}
	return append(controllers, args...), nil
}

// backend is the image of a drive, empty for a drive without a medium.
func (d Drive) backend() (string, error) {
	if d.Path == "" {
		if !d.CD && d.Bus != FloppyBus {
			return "", fmt.Errorf("disk %s has no image", d.ID)
		}
		return "", nil
	}
	b := fmt.Sprintf("if=none,id=drive-%s,format=%s,file=%s", d.ID, cmp.Or(d.Format, "raw"), escape(d.Path))
	switch {
	case d.CD:
		return b + ",media=cdrom,readonly=on", nil
	case d.ReadOnly:
		return b + ",readonly=on", nil
	}
	// Nobody's data: a guest that syncs need not wait for the host's disk.
	return b + ",cache=unsafe,discard=unmap", nil
}

// place is the device of a drive, and the controller that must be made for it.
func (d Drive) place() (device, controller string, err error) {
	kind := "hd"
	if d.CD {
		kind = "cd"
	}
	rotation := ""
	if d.SSD && !d.CD {
		rotation = ",rotation_rate=1"
	}
	scsi := func(model string) (string, string, error) {
		id := fmt.Sprintf("%s%d", d.Bus, d.Controller)
		return fmt.Sprintf("scsi-%s,bus=%s.0,scsi-id=%d%s", kind, id, d.Unit, rotation), model + ",id=" + id, nil
	}
	switch d.Bus {
	case IDE:
		return fmt.Sprintf("ide-%s,bus=ide.%d,unit=%d%s", kind, d.Unit/2, d.Unit%2, rotation), "", nil
	case AHCI:
		id := fmt.Sprintf("ahci%d-%d", d.Controller, d.Unit/6)
		return fmt.Sprintf("ide-%s,bus=%s.%d%s", kind, id, d.Unit%6, rotation), "ich9-ahci,id=" + id, nil
	case LSI:
		return scsi("lsi53c895a")
	case SAS:
		return scsi("mptsas1068")
	case PVSCSI:
		return scsi("pvscsi")
	case VirtioSCSI:
		return scsi("virtio-scsi-pci")
	case VirtioBlk:
		return "virtio-blk-pci", "", nil
	case NVMe:
		return "nvme,serial=" + d.ID, "", nil
	case FloppyBus:
		return fmt.Sprintf("floppy,unit=%d", d.Unit), "isa-fdc,id=fdc", nil
	}
	return "", "", fmt.Errorf("drive %s: there is no bus %q", d.ID, d.Bus)
}
