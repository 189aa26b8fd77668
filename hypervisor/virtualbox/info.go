package virtualbox

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// info is a machine as `VBoxManage showvminfo --machinereadable` describes it.
type info struct {
	name, uuid  string
	config      string // path of its settings file
	state       string // VMState
	osType      string // description of the guest system
	nvram       string // path of the firmware's variables; empty before 7.0
	uart        string // mode of the first serial port: "off", "file,/path" ...
	vrde        bool
	efi         bool
	cpus        int
	memory      int // MiB
	controllers []controller
	attachments []attachment
	forwards    []forward
	broken      bool // its settings file cannot be read
}

type controller struct{ name, kind string }

// attachment is a medium or an empty drive at a place of a controller.
type attachment struct {
	controller   string
	port, device int
	medium       string // path, "emptydrive", or a drive of the host
}

// forward is a rule of the NAT of a network card.
type forward struct {
	nic       int // from 1
	name      string
	protocol  string
	hostIP    string
	hostPort  int
	guestPort int
}

func (m *manager) info(ctx context.Context, machine string) (info, error) {
	out, err := m.run(ctx, "showvminfo", machine, "--machinereadable")
	if isCode(err, codeObjectNotFound) {
		return info{}, fmt.Errorf("%w: %q", hypervisor.ErrNotFound, machine)
	}
	if err != nil {
		return info{}, err
	}
	return parseInfo(out)
}

// parseInfo reads the answer of showvminfo. What it cannot read it passes over: versions differ in what they print.
func parseInfo(out string) (info, error) {
	var in info
	nic := 0
	for _, p := range parsePairs(out) {
		switch {
		case p.key == "name":
			in.name = unescape(p.value)
		case strings.HasPrefix(p.key, "storagecontrollername"):
			in.controllers = append(in.controllers, controller{name: unescape(p.value)})
		case strings.HasPrefix(p.key, "storagecontrollertype") && len(in.controllers) > 0:
			in.setKind(p)
		case nicKey.MatchString(p.key):
			nic, _ = strconv.Atoi(p.key[len("nic"):]) // digits
		case strings.HasPrefix(p.key, "Forwarding("):
			if f, ok := parseForward(p.value, nic); ok {
				in.forwards = append(in.forwards, f)
			}
		default:
			if a, ok := in.attachment(p); ok {
				in.attachments = append(in.attachments, a)
			} else {
				in.set(p)
			}
		}
	}
	if in.uuid == "" {
		return in, fmt.Errorf("VBoxManage showvminfo told no UUID")
	}
	in.broken = in.name == inaccessible
	return in, nil
}

// inaccessible is the name that VirtualBox shows for a machine whose settings file is gone.
const inaccessible = "<inaccessible>"

var nicKey = regexp.MustCompile(`^nic\d+$`)

// set takes one of the single values.
func (in *info) set(p pair) {
	switch p.key {
	case "UUID":
		in.uuid = p.value
	case "CfgFile":
		in.config = unescape(p.value)
	case "VMState":
		in.state = p.value
	case "ostype":
		in.osType = unescape(p.value)
	case "BIOS NVRAM File", "NvramFile", "BIOS NVRAM File:":
		in.nvram = unescape(p.value)
	case "uart1", "uartmode1": // in this order
		in.uart = p.value
	case "vrde":
		in.vrde = p.value == "on"
	case "firmware":
		in.efi = strings.HasPrefix(strings.ToLower(p.value), "efi")
	case "cpus":
		in.cpus, _ = strconv.Atoi(p.value)
	case "memory":
		in.memory, _ = strconv.Atoi(p.value)
	}
}

// setKind notes the type of the controller with that number.
func (in *info) setKind(p pair) {
	n, err := strconv.Atoi(strings.TrimPrefix(p.key, "storagecontrollertype"))
	if err == nil && n >= 0 && n < len(in.controllers) {
		in.controllers[n].kind = p.value
	}
}

var slotOf = regexp.MustCompile(`^(\d+)-(\d+)$`)

// attachment reads a pair such as "SATA-0-0"="/path/disk.vdi". Names of controllers can hold a dash themselves, so only
// what follows the name of one that was told before counts. Paths in these are not escaped, unlike others.
func (in *info) attachment(p pair) (attachment, bool) {
	if p.value == "none" {
		return attachment{}, false
	}
	for _, c := range in.controllers {
		rest, ok := strings.CutPrefix(p.key, c.name+"-")
		if !ok {
			continue
		}
		if m := slotOf.FindStringSubmatch(rest); m != nil {
			port, err1 := strconv.Atoi(m[1])
			device, err2 := strconv.Atoi(m[2])
			return attachment{c.name, port, device, p.value}, err1 == nil && err2 == nil
		}
	}
	return attachment{}, false
}

// parseForward reads a rule such as "ssh,tcp,127.0.0.1,2222,,22".
func parseForward(text string, nic int) (forward, bool) {
	part := strings.Split(text, ",")
	if len(part) != 6 {
		return forward{}, false
	}
	host, err1 := strconv.ParseUint(part[3], 10, 16)
	guest, err2 := strconv.ParseUint(part[5], 10, 16)
	return forward{nic, part[0], part[1], part[2], int(host), int(guest)}, err1 == nil && err2 == nil
}

// diskSuffixes are those of hard disks; VirtualBox does not tell what kind of medium is attached.
var diskSuffixes = []string{".vdi", ".vmdk", ".vhd", ".vhdx", ".hdd", ".qcow", ".qcow2", ".qed"}

// disks are the attachments of hard disks, in the order of controllers and ports.
func (in *info) disks() []attachment {
	var all []attachment
	for _, a := range in.attachments {
		if slices.Contains(diskSuffixes, strings.ToLower(path.Ext(a.medium))) {
			all = append(all, a)
		}
	}
	return all
}

// controllerNamed tells whether there is a controller of that name.
func (in *info) controllerNamed(name string) bool {
	return slices.ContainsFunc(in.controllers, func(c controller) bool { return c.name == name })
}

// taken tells whether something is attached at that place.
func (in *info) taken(controller string, port, device int) bool {
	return slices.ContainsFunc(in.attachments, func(a attachment) bool {
		return a.controller == controller && a.port == port && a.device == device
	})
}

// status is VirtualBox's state in the words of the port.
func (in *info) status() hypervisor.State {
	switch in.state {
	case "poweroff":
		return hypervisor.Off
	case "paused", "saved":
		return hypervisor.Paused
	case "aborted", "aborted-saved", "gurumeditation", "teleported", "stuck":
		return hypervisor.Crashed
	case "":
		return hypervisor.Off // an inaccessible machine tells none
	}
	return hypervisor.Running // and all on the way from or to it
}

// off tells whether no process runs the machine.
func (in *info) off() bool {
	switch in.state {
	case "poweroff", "saved", "aborted", "aborted-saved", "teleported", "":
		return true
	}
	return false
}

// pair is a line of machine-readable output.
type pair struct{ key, value string }

// parsePairs splits machine-readable output into its pairs. Lines without '=' are left out. Keys may be quoted. A quoted
// value may go over several lines, and something may follow it; its escapes are left in it, because whether there are any
// depends on the key.
func parsePairs(out string) []pair {
	var pairs []pair
	lines := strings.Split(strings.ReplaceAll(out, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		key, rest, ok := cutKey(lines[i])
		if !ok {
			continue
		}
		if !strings.HasPrefix(rest, `"`) {
			pairs = append(pairs, pair{key, strings.TrimSpace(strings.TrimPrefix(rest, "="))}) // VRDEClients==0
			continue
		}
		value, more := quoted(key, rest[1:], lines[i+1:])
		pairs = append(pairs, pair{key, value})
		i += more
	}
	return pairs
}

// cutKey splits a line at its first '=' outside a quoted key.
func cutKey(line string) (key, rest string, ok bool) {
	if strings.HasPrefix(line, `"`) {
		key, rest, ok = strings.Cut(line[1:], `"=`)
		return key, rest, ok && key != ""
	}
	key, rest, ok = strings.Cut(line, "=")
	return key, rest, ok && key != ""
}

// multiline are the keys whose values may hold line breaks.
var multiline = []string{"description", "name", "groups", "CfgFile"}

// quoted returns the value that begins after a quote, and how many of the following lines belong to it. A value without an
// end is what stands on its own line.
func quoted(key, first string, following []string) (value string, more int) {
	if end := closing(first); end >= 0 {
		return first[:end], 0
	}
	// A raw path of Windows may end in a backslash, which looks like an escaped quote.
	if whole, ok := strings.CutSuffix(first, `"`); ok && !slices.Contains(multiline, key) {
		return whole, 0
	}
	if slices.Contains(multiline, key) {
		text := first
		for n, line := range following {
			text += "\n"
			if end := closing(line); end >= 0 {
				return text + line[:end], n + 1
			}
			text += line
		}
	}
	return first, 0
}

// closing is the place of the first quote that is not escaped; -1 if there is none.
func closing(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

var unescaper = strings.NewReplacer(`\\`, `\`, `\"`, `"`)

func unescape(s string) string { return unescaper.Replace(s) }

// listed is a line of `VBoxManage list vms`.
type listed struct{ name, uuid string }

var listLine = regexp.MustCompile(`(?m)^"(.*)" \{([0-9a-fA-F-]{36})\}\s*$`)

func (m *manager) list(ctx context.Context) ([]listed, error) {
	out, err := m.run(ctx, "list", "vms")
	if err != nil {
		return nil, fmt.Errorf("list the machines: %w", err)
	}
	var all []listed
	for _, f := range listLine.FindAllStringSubmatch(out, -1) {
		all = append(all, listed{f[1], f[2]})
	}
	return all, nil
}
