package pack

import (
	"cmp"
	"strings"
	"unicode"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// systemNames are the words of package hardware for systems that os-release calls otherwise.
var systemNames = map[string]string{"almalinux": "alma", "ol": "oracle", "amzn": "amazon", "sled": "sles", "opensuse-leap": "opensuse",
	"opensuse-tumbleweed": "opensuse", "raspbian": "debian", "kali": "debian", "linuxmint": "ubuntu", "pop": "ubuntu"}

// anyLinux is the row of a Linux that the table does not have.
const anyLinux = "linux6"

// system is the guest's, as somebody said, as the guest told, or as its descriptor has it.
func (j *job) system() (name, version string) {
	text := cmp.Or(j.GuestOS, j.Guest.System())
	if text == "" && j.exported.machine != nil {
		return splitSystem(j.exported.machine.Guest)
	}
	name, version, _ = strings.Cut(strings.ToLower(text), "/")
	return name, version
}

// splitSystem takes "debian12-64" apart.
func splitSystem(g hardware.Guest) (name, version string) {
	text := strings.TrimSuffix(string(g), "-64")
	if text == string(hardware.Other) {
		return "", ""
	}
	at := strings.IndexFunc(text, unicode.IsDigit)
	if at < 0 {
		return text, ""
	}
	return text[:at], text[at:]
}

// guestOS is the system in the words of descriptors.
func (j *job) guestOS() hardware.Guest {
	if j.GuestOS == "" && j.Guest.OS == "" && j.exported.machine != nil && j.exported.machine.Guest != "" {
		return j.exported.machine.Guest
	}
	name, version := j.system()
	bits := "-64"
	if j.Architecture == "i386" {
		bits = ""
	}
	if name == "" {
		return hardware.Guest(string(hardware.Other) + bits)
	}
	if g, ok := findSystem(name, version, bits); ok {
		return g
	}
	return hardware.Guest(anyLinux + bits)
}

// findSystem looks for the version, then for the system without one.
func findSystem(name, version, bits string) (hardware.Guest, bool) {
	name = cmp.Or(systemNames[name], name)
	major, _, _ := strings.Cut(version, ".")
	for _, text := range []string{name + version, name + major, name} {
		if g := hardware.Guest(text + bits); g.Known() {
			return g, true
		}
	}
	return "", false
}

// KnownSystem tells whether descriptors have a word for a system such as "debian/12"; any Linux is called "linux".
func KnownSystem(text string) bool {
	name, version, _ := strings.Cut(strings.ToLower(text), "/")
	_, ok := findSystem(name, version, "-64")
	return ok
}
