package libvirt

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// override applies qemuargs. A switch that redefines something of ours replaces that one thing; everything else is added
// to QEMU's command line. Packer replaces whole groups of switches instead, so that one added -device takes the network
// card away (packer-plugin-qemu #58, #221); what works there works here too.
func (hw *hardware) override(args [][]string) error {
	var errs []error
	for _, arg := range args {
		name, value := "-"+strings.TrimLeft(arg[0], "-"), strings.Join(arg[1:], "")
		if err := hw.overrideOne(name, value); err != nil {
			errs = append(errs, fmt.Errorf("qemuargs %s %s: %w", name, value, err))
		}
	}
	return errors.Join(errs...)
}

func (hw *hardware) overrideOne(name, value string) error {
	switch name {
	case "-m":
		return hw.overrideMemory(value)
	case "-smp":
		return hw.overrideSMP(value)
	case "-cpu":
		hw.cpu = value
	case "-machine", "-M":
		return hw.overrideMachine(value)
	case "-accel":
		return hw.overrideAccel(parseOptions(value).implied("accel").get("accel"))
	case "-enable-kvm":
		return hw.overrideAccel("kvm")
	case "-boot":
		return hw.overrideBoot(value)
	case "-vnc":
		hw.vnc = false
		hw.add(name, value)
	case "-vga":
		hw.video = videoModel(value)
	case "-serial":
		hw.serial = false
		hw.add(name, value)
	default:
		return hw.overrideDevice(name, value)
	}
	return nil
}

// overrideDevice handles the switches that name devices of ours or add new ones.
func (hw *hardware) overrideDevice(name, value string) error {
	switch name {
	case "-netdev":
		hw.overrideNetdev(value)
	case "-device":
		hw.overrideNIC(value)
	case "-drive":
		hw.overrideDrive(value)
	case "-cdrom":
		hw.overrideDrive("file=" + value + ",media=cdrom")
	case "-usb": // there is a USB controller anyway, and two would collide
	case "-usbdevice":
		if value != "tablet" {
			return errors.New("use -device instead, such as -device usb-kbd")
		}
		hw.tablet = true
	case "-daemonize", "-pidfile", "-runas", "-S", "-incoming":
		return errors.New("libvirt decides this; leave it out")
	default:
		hw.add(name, value)
	}
	return nil
}

func (hw *hardware) add(name, value string) {
	hw.extra = append(hw.extra, name)
	if value != "" {
		hw.extra = append(hw.extra, value)
	}
}

func (hw *hardware) overrideMemory(value string) error {
	o := parseOptions(value).implied("size")
	bytes, err := disk.ParseSize(o.get("size"))
	if err != nil || bytes < 1<<20 {
		return fmt.Errorf(`write a size, such as "2048M" or "2G"`)
	}
	hw.memory = int(bytes >> 20)
	if rest := o.without("size"); len(rest) > 0 {
		return fmt.Errorf("only the size can be set, not %s", rest)
	}
	return nil
}

func (hw *hardware) overrideSMP(value string) error {
	t, cpus := topology{}, 0
	for _, o := range parseOptions(value).implied("cpus") {
		n, err := strconv.Atoi(o.value)
		if err != nil || n < 1 {
			return fmt.Errorf("%s = %q: a number above 0 is needed", o.key, o.value)
		}
		switch o.key {
		case "cpus", "maxcpus":
			cpus = max(cpus, n)
		case "sockets":
			t.sockets = n
		case "cores":
			t.cores = n
		case "threads":
			t.threads = n
		default:
			return fmt.Errorf("%s is unknown; use cpus, sockets, cores and threads", o.key)
		}
	}
	product := max(1, t.sockets) * max(1, t.cores) * max(1, t.threads)
	if cpus == 0 {
		cpus = product
	}
	if t != (topology{}) && cpus != product {
		t.sockets = max(1, cpus/(max(1, t.cores)*max(1, t.threads))) // QEMU fills up with sockets
	}
	if t != (topology{}) && t.count() != cpus {
		return fmt.Errorf("sockets x cores x threads is %d, not %d", t.count(), cpus)
	}
	hw.cpus, hw.topology = cpus, t
	return nil
}

func (t topology) count() int { return max(1, t.sockets) * max(1, t.cores) * max(1, t.threads) }

// overrideMachine takes the type and the accelerator for us; other properties go to QEMU, which merges them.
func (hw *hardware) overrideMachine(value string) error {
	o := parseOptions(value).implied("type")
	if t := o.get("type"); t != "" {
		hw.machine = t
	}
	if rest := o.without("type", "accel"); len(rest) > 0 {
		hw.add("-machine", rest.String())
	}
	if accel := o.get("accel"); accel != "" {
		return hw.overrideAccel(accel)
	}
	return nil
}

// overrideAccel takes a list such as "kvm:tcg", of which the first that works counts.
func (hw *hardware) overrideAccel(list string) error {
	for accel := range strings.SplitSeq(list, ":") {
		switch {
		case accel == "tcg":
			hw.kvm = false
			return nil
		case accel == "kvm" && hw.host.kvm:
			hw.kvm = true
			return nil
		}
	}
	return fmt.Errorf("none of these accelerators works here; write tcg, or leave it out")
}

func (hw *hardware) overrideBoot(value string) error {
	var rest options
	for _, o := range parseOptions(value).implied("order") {
		switch o.key {
		case "order", "once": // our disk-first order makes "once" needless
			hw.boot = o.value
			if o.key == "once" && !strings.Contains(o.value, "c") {
				hw.boot = "c" + o.value
			}
		case "menu":
			hw.bootMenu = o.value == "on"
		default: // strict, splash ...: QEMU merges them with libvirt's
			rest = append(rest, o)
		}
	}
	if strings.Trim(hw.boot, "acdn") != "" {
		return errors.New("boot devices are a (floppy), c (disk), d (CD) and n (network)")
	}
	if len(rest) > 0 {
		hw.add("-boot", rest.String())
	}
	return nil
}

func (hw *hardware) overrideNetdev(value string) {
	if parseOptions(value).get("id") == netdevID {
		hw.netdev = value
		return
	}
	hw.add("-netdev", value)
}

// overrideNIC takes a card on our network back end in the place of ours; any other device is added.
func (hw *hardware) overrideNIC(value string) {
	o := parseOptions(value)
	if o.get("netdev") != netdevID {
		hw.add("-device", value)
		return
	}
	if !o.has("mac") {
		value += ",mac=" + hw.mac()
	}
	hw.nic = value
}

// driveKeys are the parts of -drive that libvirt can say too.
var driveKeys = []string{"file", "if", "media", "format", "cache", "discard", "detect-zeroes", "index", "readonly", "read-only", "id", "aio"}

// overrideDrive turns a -drive into a drive of libvirt, which then looks after the file's owner. One whose file is ours
// replaces ours. What libvirt cannot express, such as if=none or if=pflash, goes to QEMU as it is, and takes ours away.
func (hw *hardware) overrideDrive(value string) {
	o := parseOptions(value)
	at := hw.driveOf(o.get("file"))
	d := drive{path: o.get("file"), format: disk.Raw, device: deviceDisk}
	if at >= 0 {
		d = hw.drives[at]
	}
	if !hw.plainDrive(o) {
		if at >= 0 {
			hw.drives = append(hw.drives[:at], hw.drives[at+1:]...)
			hw.add("-boot", "strict=off") // libvirt's "on" passes over devices that it does not know
		}
		hw.add("-drive", value)
		return
	}
	d.apply(o)
	if at >= 0 {
		hw.drives[at] = d
		return
	}
	hw.drives = append(hw.drives, d)
}

func (hw *hardware) plainDrive(o options) bool {
	switch o.get("if") {
	case "", "virtio", "ide", "scsi", "floppy":
	default:
		return false
	}
	return filepath.IsAbs(o.get("file")) && len(o.without(driveKeys...)) == 0
}

// driveOf finds our drive with that file.
func (hw *hardware) driveOf(file string) int {
	for i, d := range hw.drives {
		if file != "" && filepath.Clean(file) == d.path {
			return i
		}
	}
	return -1
}

// apply takes over what a -drive says; what it leaves out stays.
func (d *drive) apply(o options) {
	if o.get("media") == "cdrom" {
		d.device, d.readOnly = deviceCD, true
	}
	switch bus := o.get("if"); bus {
	case "":
		if d.device != deviceDisk || !o.has("if") && d.bus != "" {
			break
		}
		d.bus = "ide"
	case "floppy":
		d.device, d.bus = deviceFloppy, "fdc"
	default:
		d.bus = bus
	}
	for key, field := range map[string]*string{
		"format": &d.format, "cache": &d.cache, "discard": &d.discard, "detect-zeroes": &d.zeroes,
	} {
		if v := o.get(key); v != "" {
			*field = v
		}
	}
	d.readOnly = d.readOnly || o.get("readonly", "read-only") == "on"
}

// machine is the type that the machine will have: the last one that qemuargs name, or else machine_type.
func (s settings) machine(arch string) string {
	machine := s.Machine
	if machine == "" {
		machine = defaultMachine(arch)
	}
	for _, arg := range s.QemuArgs {
		if name := strings.TrimLeft(arg[0], "-"); name == "machine" || name == "M" {
			if t := parseOptions(strings.Join(arg[1:], "")).implied("type").get("type"); t != "" {
				machine = t
			}
		}
	}
	return machine
}
