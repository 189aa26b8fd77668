package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Probe looks for VBoxManage, its version and what its host lacks.
func (d *Driver) Probe(ctx context.Context) (hypervisor.Capabilities, error) {
	var caps hypervisor.Capabilities
	v, err := d.vbox.version(ctx)
	switch {
	case ctx.Err() != nil:
		return caps, context.Cause(ctx)
	case errors.Is(err, ErrNoProgram):
		caps.Absent = true
		caps.Problems = append(caps.Problems, hypervisor.Problem{What: "VBoxManage is not installed", Remedy: "install VirtualBox 6.1 or later from https://www.virtualbox.org, or put the folder of VBoxManage into PATH"})
		return caps, nil
	case err != nil:
		caps.Problems = append(caps.Problems, hypervisor.Problem{What: err.Error(), Remedy: "see whether `VBoxManage --version` works for the daemon's user"})
		return caps, nil
	}
	caps.Version = "VirtualBox " + v.text
	caps.Available = true
	if !v.atLeast(6, 1) {
		caps.Available = false
		caps.Problems = append(caps.Problems, hypervisor.Problem{What: fmt.Sprintf("VirtualBox %s is too old", v.number), Remedy: "install 6.1 or later"})
	}
	if text := strings.Join(v.warnings, " "); strings.Contains(text, "vboxdrv") || strings.Contains(text, "kernel module") {
		caps.Available = false
		caps.Problems = append(caps.Problems, hypervisor.Problem{What: "VirtualBox's kernel module (vboxdrv) is not loaded: no machine can start", Remedy: kernelModuleRemedy})
	}
	if lacksVirtualization() {
		caps.Problems = append(caps.Problems, hypervisor.Problem{What: "the processor shows neither VT-x nor AMD-V, which VirtualBox needs",
			Remedy: "switch it on in the firmware of this computer, or nested virtualization on its own host"})
	}
	caps.Notes = append(caps.Notes, "tested with a simulator of VBoxManage only, see docs/operations.md")
	return caps, nil
}

var virtFlags = regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`)

// lacksVirtualization tells whether an x86 Linux host has a processor that VirtualBox cannot use.
func lacksVirtualization() bool {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return false
	}
	text, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && !virtFlags.Match(text)
}
