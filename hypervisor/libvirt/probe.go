//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Probe looks at libvirt, the accelerator, the firmware and the tools. An unreachable libvirt is a problem in the answer,
// not an error; an error means that ctx ended.
func (d *Driver) Probe(ctx context.Context) (hypervisor.Capabilities, error) {
	var caps hypervisor.Capabilities
	caps.Problems = append(caps.Problems, d.toolProblems()...)
	version, err := d.version(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return caps, context.Cause(ctx)
		}
		caps.Problems = append(caps.Problems, connectionProblem(d.uri, err))
		return caps, nil
	}
	caps.Available, caps.Version = true, version
	facts, err := d.host(ctx, d.uri, "amd64")
	if err != nil {
		return caps, err
	}
	caps.Accelerator = facts.accel.String()
	caps.Notes = append(caps.Notes, fmt.Sprintf("accelerator for amd64 guests: %s, because %s", facts.accel, facts.accel.reason))
	if facts.qemu != nil {
		caps.Notes = append(caps.Notes, fmt.Sprintf("QEMU runs as uid %d, which needs search permission (o+x) on every folder of a disk", facts.qemu.uid))
	}
	if deviceIsATrap() {
		caps.Problems = append(caps.Problems, hypervisor.Problem{
			What: "/dev/kvm opens but the processor shows neither vmx nor svm; guests hang under it, and libvirtd asks QEMU again " +
				"at every start, which can take more than a minute",
			Remedy: "start libvirtd where it cannot open the device: mknod -m 000 /run/no-kvm c 0 0; " +
				"unshare -m --propagation private sh -c 'mount --bind /run/no-kvm /dev/kvm; exec libvirtd -d' (under systemd: InaccessiblePaths=/dev/kvm)",
		})
	}
	return caps, nil
}

// deviceIsATrap recognises a KVM that only paravirtual guests can use. Boxkiln itself never uses it; libvirtd may.
func deviceIsATrap() bool {
	x86 := hasFlagsLine(readText("/proc/cpuinfo"))
	return x86 && !hasVirtFlags(readText("/proc/cpuinfo")) && opens("/dev/kvm")
}

func connectionProblem(uri string, err error) hypervisor.Problem {
	var ce *ConnectError
	if errors.As(err, &ce) {
		return hypervisor.Problem{What: fmt.Sprintf("no connection to libvirt at %s: %v", uri, ce.Err), Remedy: ce.Remedy}
	}
	return hypervisor.Problem{What: err.Error(), Remedy: "check that `virsh -c " + uri + " version` works"}
}

// version asks for libvirt's, QEMU's and the connection's own idea of itself.
func (d *Driver) version(ctx context.Context) (string, error) {
	return ask(ctx, &d.conns, d.uri, func(c *libvirt.Connect) (string, error) {
		lib, err := c.GetLibVersion()
		if err != nil {
			return "", err
		}
		text := "libvirt " + dotted(uint64(lib))
		if qemu, err := c.GetVersion(); err == nil {
			text += ", QEMU " + dotted(uint64(qemu))
		}
		if uri, err := c.GetURI(); err == nil {
			text += " at " + uri
		}
		return text, nil
	})
}

// dotted writes libvirt's version numbers, 1000000 x major + 1000 x minor + release.
func dotted(v uint64) string {
	return fmt.Sprintf("%d.%d.%d", v/1000000, v/1000%1000, v%1000)
}

// toolProblems looks for what machines need beside libvirt.
func (d *Driver) toolProblems() []hypervisor.Problem {
	var out []hypervisor.Problem
	img := d.disks.Path
	if img == "" {
		img = "qemu-img"
	}
	if _, err := exec.LookPath(img); err != nil {
		out = append(out, hypervisor.Problem{What: "qemu-img is missing: no disk can be made", Remedy: "Debian: apt-get install qemu-utils"})
	}
	if _, err := findFlash(d.root, hypervisor.Firmware{UEFI: true}, "amd64", "q35"); err != nil {
		out = append(out, hypervisor.Problem{What: "no UEFI firmware (OVMF): efi_boot cannot work", Remedy: "Debian: apt-get install ovmf"})
	}
	if _, err := exec.LookPath("swtpm"); err != nil {
		out = append(out, hypervisor.Problem{What: "swtpm is missing: vtpm cannot work", Remedy: "Debian: apt-get install swtpm swtpm-tools"})
	}
	return out
}
