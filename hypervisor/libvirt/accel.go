package libvirt

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// accelerator is the outcome of looking for KVM: whether it can be used and, in words, why.
type accelerator struct {
	kvm    bool
	reason string
}

func (a accelerator) String() string {
	if a.kvm {
		return "kvm"
	}
	return "tcg"
}

// kvmFacts is what the choice depends on.
type kvmFacts struct {
	hostArch, guestArch string // Go's names
	cpuFlags            bool   // /proc/cpuinfo shows vmx or svm; only asked for on x86
	device              bool   // /dev/kvm can be opened
	offered             bool   // libvirt offers domains of type kvm
	local               bool   // libvirt runs on this host, so cpuFlags and device are about it
}

// chooseAccelerator says whether KVM can work. That /dev/kvm opens is no proof on x86: under some hypervisors the device
// exists, a small guest even runs, and an ordinary kernel hangs for ever; the processor then shows neither vmx nor svm.
func chooseAccelerator(f kvmFacts) accelerator {
	x86 := f.hostArch == "amd64" || f.hostArch == "386"
	same := f.hostArch == f.guestArch || f.hostArch == "amd64" && f.guestArch == "386"
	switch {
	case !same:
		return accelerator{reason: "a " + f.guestArch + " guest is emulated on a " + f.hostArch + " host"}
	case f.local && x86 && !f.cpuFlags && f.device:
		return accelerator{reason: "the processor shows neither vmx nor svm; /dev/kvm opens all the same, but guests hang under it"}
	case f.local && x86 && !f.cpuFlags:
		return accelerator{reason: "the processor shows neither vmx nor svm"}
	case !f.offered:
		return accelerator{reason: "libvirt does not offer KVM: /dev/kvm is missing or QEMU may not open it"}
	}
	return accelerator{kvm: true, reason: "libvirt offers KVM and the processor supports it"}
}

// hasVirtFlags looks for vmx or svm in /proc/cpuinfo.
func hasVirtFlags(cpuinfo string) bool {
	for line := range strings.Lines(cpuinfo) {
		key, flags, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		for flag := range strings.FieldsSeq(flags) {
			if flag == "vmx" || flag == "svm" {
				return true
			}
		}
	}
	return false
}

// hasFlagsLine tells x86 by the shape of /proc/cpuinfo; ARM calls the line "Features".
func hasFlagsLine(cpuinfo string) bool {
	for line := range strings.Lines(cpuinfo) {
		if key, _, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "flags" {
			return true
		}
	}
	return false
}

// processor names the host's processor, with a digest of all that a guest may see of it.
func processor(cpuinfo string) string {
	first, _, _ := strings.Cut(cpuinfo, "\n\n") // the others are alike
	sum, name := sha256.New(), ""
	for line := range strings.Lines(first) {
		key, value, _ := strings.Cut(line, ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch key {
		case "model name":
			name = value + " "
		case "vendor_id", "cpu family", "model", "stepping", "flags", // x86
			"Features", "CPU implementer", "CPU variant", "CPU part", "CPU revision": // ARM
		default:
			continue
		}
		fmt.Fprintf(sum, "%s=%s\n", key, value)
	}
	return fmt.Sprintf("%s(%x)", name, sum.Sum(nil)[:6])
}
