//go:build !nolibvirt

package libvirt

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// hostFacts are what libvirt and the host say about themselves.
type hostFacts struct {
	caps  libvirtxml.Caps
	accel accelerator
	local bool // libvirt sees this host's files
	// version is libvirt's: 1000000 x major + 1000 x minor + release.
	version uint32
	// qemu is the account that QEMU runs as; nil if that is ours or another host's.
	qemu *account
}

// host asks libvirt about its host, for guests of that architecture.
func (d *Driver) host(ctx context.Context, uri, arch string) (hostFacts, error) {
	return ask(ctx, &d.conns, uri, func(c *libvirt.Connect) (hostFacts, error) {
		var f hostFacts
		var err error
		if f.version, err = c.GetLibVersion(); err != nil {
			return f, fmt.Errorf("ask libvirt at %s for its version: %w", uri, err)
		}
		text, err := c.GetCapabilities()
		if err != nil {
			return f, fmt.Errorf("ask libvirt at %s for its capabilities: %w", uri, err)
		}
		if err := f.caps.Unmarshal(text); err != nil {
			return f, fmt.Errorf("the capabilities of libvirt at %s cannot be read: %w", uri, err)
		}
		local := isLocal(c, uri)
		f.accel = chooseAccelerator(kvmFacts{
			hostArch: goArch(f.caps.Host.CPU.Arch), guestArch: arch,
			cpuFlags: hasVirtFlags(readText("/proc/cpuinfo")), device: opens("/dev/kvm"),
			offered: f.offersKVM(arch), local: local,
		})
		f.local = local
		if local && !isSession(c) {
			f.qemu = f.qemuAccount()
		}
		return f, nil
	})
}

// isLocal tells whether libvirt runs on this host: its URI names no other one, or names this one.
func isLocal(c *libvirt.Connect, uri string) bool {
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	switch u.Hostname() {
	case "", "localhost", "127.0.0.1", "::1":
		return true
	}
	there, err := c.GetHostname()
	if err != nil {
		return false
	}
	here, err := os.Hostname()
	return err == nil && there == here
}

// isSession tells a user's own libvirtd, which leaves the owners of files alone.
func isSession(c *libvirt.Connect) bool {
	uri, err := c.GetURI()
	return err == nil && strings.HasSuffix(strings.SplitN(uri, "?", 2)[0], "/session")
}

func readText(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "" // no such file outside Linux: no flags then
	}
	return string(data)
}

func opens(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

func (f hostFacts) guest(arch string) *libvirtxml.CapsGuest {
	for i := range f.caps.Guests {
		if g := &f.caps.Guests[i]; g.Arch.Name == libvirtArch(arch) && g.OSType == "hvm" {
			return g
		}
	}
	return nil
}

// canonical is the versioned name of a machine type such as "pc".
func (f hostFacts) canonical(arch, machine string) string {
	g := f.guest(arch)
	if g == nil {
		return machine
	}
	for _, m := range g.Arch.Machines {
		if m.Name == machine && m.Canonical != "" {
			return m.Canonical
		}
	}
	return machine
}

func (f hostFacts) offersKVM(arch string) bool {
	g := f.guest(arch)
	if g == nil {
		return false
	}
	for _, d := range g.Arch.Domains {
		if d.Type == "kvm" {
			return true
		}
	}
	return false
}

// qemuAccount reads the account from the label "+UID:+GID" of the dac security model.
func (f hostFacts) qemuAccount() *account {
	for _, model := range f.caps.Host.SecModel {
		if model.Name != "dac" {
			continue
		}
		for _, label := range model.Labels {
			uid, gid, _ := strings.Cut(label.Value, ":")
			u, uerr := strconv.ParseUint(strings.TrimPrefix(uid, "+"), 10, 32)
			g, gerr := strconv.ParseUint(strings.TrimPrefix(gid, "+"), 10, 32)
			if label.Type == "qemu" && uerr == nil && gerr == nil && int(u) != os.Getuid() {
				return &account{uint32(u), uint32(g)}
			}
		}
	}
	return nil
}

// emulator finds the QEMU to run.
func (f hostFacts) emulator(name, arch string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	if g := f.guest(arch); g != nil && (name == "" || filepath.Base(g.Arch.Emulator) == name) {
		return g.Arch.Emulator, nil
	}
	if name == "" {
		name = "qemu-system-" + libvirtArch(arch)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("qemu_binary = %q: no such program; install QEMU for %s guests (Debian: apt-get install %s): %w",
			name, arch, qemuPackage(arch), err)
	}
	return path, nil
}

func qemuPackage(arch string) string {
	switch arch {
	case "amd64", "386":
		return "qemu-system-x86"
	case "arm64", "arm":
		return "qemu-system-arm"
	case "ppc64le":
		return "qemu-system-ppc"
	}
	return "qemu-system-misc"
}
