package virtualbox

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// code is a COM result. Source: VirtualBox 6.1 src/VBox/Main/idl/VirtualBox.xidl.
type code uint32

const (
	codeObjectNotFound     code = 0x80bb0001
	codeInvalidVMState     code = 0x80bb0002
	codeInvalidObjectState code = 0x80bb0007 // locked by a session
)

// Error is what VBoxManage answered when it failed.
type Error struct {
	Args []string // without the program
	Exit int      // 0 too: VBoxManage can fail with it
	Code code     // 0 if it told none
	Name string   // of the code, such as VBOX_E_OBJECT_NOT_FOUND
	Text string   // the message
}

func (e *Error) Error() string {
	text := e.Text
	if text == "" {
		text = fmt.Sprintf("it ended with exit status %d and said nothing", e.Exit)
	}
	if e.Name != "" && !strings.Contains(text, e.Name) {
		text += " (" + e.Name + ")"
	}
	if remedy := remedyFor(e.Text); remedy != "" {
		text += "; " + remedy
	}
	return fmt.Sprintf("VBoxManage %s: %s", strings.Join(e.Args[:min(2, len(e.Args))], " "), text)
}

// Unwrap lets errors.Is find a full disk.
func (e *Error) Unwrap() error {
	if strings.Contains(e.Text, "VERR_DISK_FULL") {
		return syscall.ENOSPC
	}
	return nil
}

func isCode(err error, c code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == c
}

// The words of VBoxManage that do not change with the language: the prefix of an error, and the code in its details.
var (
	errorPrefix = regexp.MustCompile(`(?m)^VBoxManage(\.exe)?: error:\s*`)
	errorCode   = regexp.MustCompile(`(?i)\bcode ([A-Z][A-Z0-9_]+) \(0x([0-9a-f]{8})\)`)
	progress    = regexp.MustCompile(`^(\d{1,3}%\.*)+`)
)

// parseError reads what VBoxManage wrote to standard error. It fails with exit status 0 too, so an error's prefix is one.
func parseError(args []string, exit int, stderr string) error {
	stderr = strings.ReplaceAll(stderr, "\r\n", "\n")
	if exit == 0 && !errorPrefix.MatchString(stderr) {
		return nil
	}
	e := &Error{Args: args, Exit: exit, Text: message(stderr)}
	if m := errorCode.FindStringSubmatch(stderr); m != nil {
		n, _ := strconv.ParseUint(m[2], 16, 32) // eight hexadecimal digits
		e.Code, e.Name = code(n), m[1]
	}
	return e
}

// message is the part of VBoxManage's output for people: all errors without their details, or else the last line, which is
// where 6.1 tells a mistake in the arguments below pages of help.
func message(stderr string) string {
	var lines []string
	last := ""
	for line := range strings.SplitSeq(stderr, "\n") {
		line = strings.TrimSpace(progress.ReplaceAllString(line, ""))
		if line == "" {
			continue
		}
		last = line
		text := errorPrefix.ReplaceAllString(line, "")
		switch {
		case text == line && len(lines) == 0: // before the first error
		case strings.HasPrefix(text, "Details: ") || strings.HasPrefix(text, "Context: "):
		default:
			lines = append(lines, text)
		}
	}
	if len(lines) == 0 {
		return last
	}
	return strings.Join(lines, "; ")
}

// remedyFor says how to mend what VirtualBox reports by a status of its runtime. Source: VirtualBox include/VBox/err.h.
func remedyFor(text string) string {
	for _, known := range []struct{ status, remedy string }{
		{"VERR_VMX_NO_VMX", "the processor offers no VT-x: VirtualBox needs it, on a virtual host too (nested virtualization)"},
		{"VERR_SVM_NO_SVM", "the processor offers no AMD-V: VirtualBox needs it, on a virtual host too (nested virtualization)"},
		{"VERR_VMX_IN_VMX_ROOT_MODE", "another hypervisor uses VT-x: stop its machines and unload its module (Linux: rmmod kvm_intel)"},
		{"VERR_SVM_IN_USE", "another hypervisor uses AMD-V: stop its machines and unload its module (Linux: rmmod kvm_amd)"},
		{"VERR_VMX_MSR_ALL_VMX_DISABLED", "VT-x is switched off: switch it on in the firmware of this computer"},
		{"VERR_VMX_MSR_VMX_DISABLED", "VT-x is switched off: switch it on in the firmware of this computer"},
		{"VERR_SVM_DISABLED", "AMD-V is switched off: switch it on in the firmware of this computer"},
		{"VERR_VM_DRIVER_NOT_INSTALLED", kernelModuleRemedy},
		{"/dev/vboxnetctl", kernelModuleRemedy},
		{"VERR_DISK_FULL", "the disk of this host is full"},
	} {
		if strings.Contains(text, known.status) {
			return known.remedy
		}
	}
	return ""
}

const kernelModuleRemedy = "load VirtualBox's kernel module: run `sudo /sbin/vboxconfig` (Debian: apt-get install linux-headers-$(uname -r) virtualbox-dkms), or on macOS allow its system extension"
