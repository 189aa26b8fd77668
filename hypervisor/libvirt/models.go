package libvirt

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
)

// models is what QEMU says about its device models.
type models struct {
	bus   map[string]string            // by model or alias: the bus that it sits on
	types map[string]map[string]string // by model and property: QEMU's word for the type
	// reports tells whether a balloon can report free pages.
	reports bool
}

// lateBuses belong to controllers that libvirt adds, or that qemuargs may name after the device.
var lateBuses = map[string]bool{"usb-bus": true, "SCSI": true, "virtio-serial-bus": true, "ccid-bus": true}

func (m models) isPCI(model string) bool { return m.bus[model] == "PCI" }

// late rewrites a -device that sits on a bus of libvirt's, such as usb-tablet, as JSON. QEMU creates devices that are
// written as JSON, libvirt's among them, after the others, and in order: so its bus exists by then.
func (m models) late(device string) string {
	model, _, _ := strings.Cut(device, ",")
	if !lateBuses[m.bus[model]] {
		return device
	}
	object := map[string]any{"driver": model}
	for _, o := range parseOptions(device)[1:] {
		object[o.key] = typed(m.types[model][o.key], o.value)
	}
	text, err := json.Marshal(object)
	if err != nil {
		return device // strings, numbers and booleans always can be written
	}
	return string(text)
}

// typed is a property's value as JSON wants it.
func typed(kind, value string) any {
	switch {
	case kind == "bool":
		return value == "on" || value == "yes" || value == "true" || value == ""
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"), kind == "size":
		if n, err := strconv.ParseInt(value, 0, 64); err == nil {
			return n
		}
	}
	return value
}

// models asks QEMU for its models, and for the properties of those that args put on a bus of libvirt's.
func (p *programs) models(ctx context.Context, emulator string, args [][]string) (models, error) {
	help, err := p.deviceHelp(ctx, emulator, "help")
	if err != nil {
		return models{}, err
	}
	m := models{bus: parseModels(help), types: map[string]map[string]string{}}
	if m.isPCI(balloonModel) {
		properties, err := p.properties(ctx, emulator, balloonModel)
		if err != nil {
			return models{}, err
		}
		_, m.reports = properties[reportsProperty]
	}
	for _, arg := range args {
		if strings.TrimLeft(arg[0], "-") != "device" {
			continue
		}
		model, rest, _ := strings.Cut(strings.Join(arg[1:], ""), ",")
		if !lateBuses[m.bus[model]] || rest == "" || m.types[model] != nil {
			continue
		}
		if m.types[model], err = p.properties(ctx, emulator, model); err != nil {
			return models{}, err
		}
	}
	return m, nil
}

func (p *programs) properties(ctx context.Context, emulator, model string) (map[string]string, error) {
	help, err := p.deviceHelp(ctx, emulator, model+",help")
	return parseProperties(help), err
}

func (p *programs) deviceHelp(ctx context.Context, emulator, what string) ([]byte, error) {
	return p.ask(ctx, emulator, "-machine", "none", "-display", "none", "-device", what)
}

// version asks QEMU's program for its version.
func (p *programs) version(ctx context.Context, emulator string) (string, error) {
	out, err := p.ask(ctx, emulator, "--version")
	return parseVersion(string(out)), err
}

// parseVersion reads the first line of qemu --version, such as "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)".
func parseVersion(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	_, version, _ := strings.Cut(line, " version ")
	return strings.TrimSpace(version)
}

// parseModels reads lines such as: name "e1000", bus PCI, alias "e1000-82540em", desc "Intel Gigabit Ethernet".
func parseModels(help []byte) map[string]string {
	out := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(help)); lines.Scan(); {
		line := lines.Text()
		_, rest, ok := strings.Cut(line, ", bus ")
		if !ok {
			continue
		}
		bus, _, _ := strings.Cut(rest, ",")
		for _, mark := range []string{`name "`, `alias "`} {
			if _, rest, ok := strings.Cut(line, mark); ok {
				name, _, _ := strings.Cut(rest, `"`)
				out[name] = bus
			}
		}
	}
	return out
}

// parseProperties reads lines such as: "  removable=<bool>  -  (default: false)".
func parseProperties(help []byte) map[string]string {
	out := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(help)); lines.Scan(); {
		key, rest, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=<")
		if kind, _, closed := strings.Cut(rest, ">"); ok && closed {
			out[key] = kind
		}
	}
	return out
}
