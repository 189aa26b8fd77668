package libvirt

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// firmwareDirs hold QEMU's descriptions of installed firmware, in order of precedence
// (QEMU docs/interop/firmware.json).
var firmwareDirs = []string{"etc/qemu/firmware", "usr/share/qemu/firmware"}

// descriptor is the part of a firmware description that counts here.
type descriptor struct {
	Interfaces []string `json:"interface-types"`
	Mapping    struct {
		Device     string       `json:"device"`
		Executable firmwareFile `json:"executable"`
		Template   firmwareFile `json:"nvram-template"`
	} `json:"mapping"`
	Targets []struct {
		Architecture string   `json:"architecture"`
		Machines     []string `json:"machines"`
	} `json:"targets"`
	Features []string `json:"features"`
}

type firmwareFile struct {
	Filename string `json:"filename"`
	Format   string `json:"format"`
}

// wellKnown are pairs to fall back on where no description is installed.
var wellKnown = map[string][]flash{
	"amd64": {
		{code: "/usr/share/OVMF/OVMF_CODE_4M.fd", vars: "/usr/share/OVMF/OVMF_VARS_4M.fd"},
		{code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", vars: "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
		{code: "/usr/share/edk2/x64/OVMF_CODE.4m.fd", vars: "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
		{code: "/usr/share/OVMF/OVMF_CODE.fd", vars: "/usr/share/OVMF/OVMF_VARS.fd"},
	},
	"arm64": {
		{code: "/usr/share/AAVMF/AAVMF_CODE.fd", vars: "/usr/share/AAVMF/AAVMF_VARS.fd"},
		{code: "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", vars: "/usr/share/edk2/aarch64/vars-template-pflash.raw"},
	},
}

// findFlash chooses the UEFI files of a machine. root is the host's file system. What the template names wins; the half
// that it does not name comes from the description of the other half. Secure Boot is never chosen unasked, because an
// installer that is not signed would not start.
func findFlash(root fs.FS, fw hypervisor.Firmware, arch, machine string) (flash, error) {
	all := installedFirmware(root)
	if fw.Code != "" {
		return explicitFlash(root, all, fw)
	}
	for _, d := range all {
		if d.fits(arch, machine) && !d.needsSMM() {
			return d.flash().over(fw), nil
		}
	}
	for _, f := range wellKnown[arch] {
		if isFile(root, f.code) && (fw.Vars != "" || isFile(root, f.vars)) {
			return f.over(fw), nil
		}
	}
	return flash{}, fmt.Errorf("no UEFI firmware for %s machine %q is installed; install it (Debian: apt-get install %s) "+
		"or name it in efi_firmware_code and efi_firmware_vars", arch, machine, firmwarePackage(arch))
}

func firmwarePackage(arch string) string {
	if arch == "arm64" || arch == "arm" {
		return "qemu-efi-aarch64"
	}
	return "ovmf"
}

// explicitFlash is for a code file that the template names.
func explicitFlash(root fs.FS, all []descriptor, fw hypervisor.Firmware) (flash, error) {
	if !isFile(root, fw.Code) {
		return flash{}, fmt.Errorf("efi_firmware_code = %q: there is no such file", fw.Code)
	}
	for _, d := range all {
		if d.Mapping.Executable.Filename == fw.Code {
			return d.flash().over(fw), nil
		}
	}
	f := flash{code: fw.Code, vars: fw.Vars, secure: strings.Contains(filepath.Base(fw.Code), "secboot")}
	if f.vars == "" {
		f.vars = strings.Replace(fw.Code, "CODE", "VARS", 1)
		if f.vars == f.code || !isFile(root, f.vars) {
			return flash{}, fmt.Errorf("efi_firmware_code = %q: name the variables that belong to it in efi_firmware_vars", fw.Code)
		}
	}
	return f, nil
}

// over replaces the template of the variables by the one that was asked for.
func (f flash) over(fw hypervisor.Firmware) flash {
	if fw.Vars != "" {
		f.vars = fw.Vars
	}
	return f
}

// installedFirmware reads the descriptions in the order in which QEMU's document says to try them: by file name, and a
// name in a directory of higher precedence hides the same name further down. Unreadable ones are passed over.
func installedFirmware(root fs.FS) []descriptor {
	found := map[string]descriptor{}
	for _, dir := range slices.Backward(firmwareDirs) {
		entries, err := fs.ReadDir(root, dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			data, err := fs.ReadFile(root, dir+"/"+e.Name())
			var d descriptor
			if err == nil && json.Unmarshal(data, &d) == nil && strings.HasSuffix(e.Name(), ".json") {
				found[e.Name()] = d
			}
		}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	sort.Strings(names)
	out := make([]descriptor, len(names))
	for i, name := range names {
		out[i] = found[name]
	}
	return out
}

func (d descriptor) flash() flash {
	m := d.Mapping
	return flash{code: m.Executable.Filename, vars: m.Template.Filename, format: m.Executable.Format, secure: d.needsSMM()}
}

func (d descriptor) needsSMM() bool { return slices.Contains(d.Features, "requires-smm") }

// fits tells whether the firmware is split UEFI flash for that machine.
func (d descriptor) fits(arch, machine string) bool {
	if d.Mapping.Device != "flash" || !slices.Contains(d.Interfaces, "uefi") || d.Mapping.Template.Filename == "" ||
		slices.Contains(d.Features, "amd-sev-es") {
		return false
	}
	for _, t := range d.Targets {
		if t.Architecture != libvirtArch(arch) {
			continue
		}
		for _, pattern := range t.Machines {
			if ok, err := filepath.Match(pattern, canonicalMachine(machine)); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// canonicalMachine makes QEMU's short machine names match the patterns of descriptions, such as "pc-q35-*".
func canonicalMachine(machine string) string {
	switch machine {
	case "q35":
		return "pc-q35-0"
	case "pc":
		return "pc-i440fx-0"
	case "virt":
		return "virt-0"
	}
	return machine
}

func isFile(root fs.FS, path string) bool {
	info, err := fs.Stat(root, strings.TrimPrefix(path, "/"))
	return err == nil && info.Mode().IsRegular()
}
