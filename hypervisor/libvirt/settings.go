package libvirt

import (
	"encoding/json"
	"fmt"
)

// settings are the driver's own part of a Spec (Spec.Options): what the Planner resolved from the arguments and Create
// turns into a machine.
type settings struct {
	URI         string      `json:"uri" guest:"no"`
	Emulator    string      `json:"emulator,omitempty" guest:"yes"` // name or path; empty: libvirt's choice for the architecture
	Machine     string      `json:"machine,omitempty" guest:"yes"`
	Accelerator string      `json:"accelerator,omitempty" guest:"yes"` // kvm, tcg; empty: the best that works
	CPUModel    string      `json:"cpu_model,omitempty" guest:"yes"`
	Sockets     int         `json:"sockets,omitempty" guest:"yes"`
	Cores       int         `json:"cores,omitempty" guest:"yes"`
	Threads     int         `json:"threads,omitempty" guest:"yes"`
	VMName      string      `json:"vm_name,omitempty" guest:"no"` // file name of the first disk
	CDInterface string      `json:"cd_interface,omitempty" guest:"yes"`
	Volumes     []volumeRef `json:"volumes,omitempty" guest:"apart"`
	Images      QemuImgArgs `json:"qemu_img_args" guest:"no"`
	Firmware    romSettings `json:"firmware" guest:"yes"`
	TPM         tpmSettings `json:"tpm" guest:"yes"`
	Net         netSettings `json:"net" guest:"yes"`
	VGA         string      `json:"vga,omitempty" guest:"yes"`
	VNC         vncSettings `json:"vnc" guest:"no"`
	QemuArgs    [][]string  `json:"qemuargs,omitempty" guest:"yes"`
	// DiskImage says that the first disk must start from an image, which the build has to name.
	DiskImage bool `json:"disk_image,omitempty" guest:"yes"`
}

// volumeRef names the pool volume from which the disk of that index starts.
type volumeRef struct {
	Disk   int    `json:"disk" guest:"no"`
	Pool   string `json:"pool" guest:"no"`
	Volume string `json:"volume" guest:"no"`
}

type romSettings struct {
	File     string `json:"file,omitempty" guest:"yes"` // replaces the BIOS
	Pflash   bool   `json:"pflash,omitempty" guest:"yes"`
	DropVars bool   `json:"drop_vars,omitempty" guest:"artifact"`
}

type tpmSettings struct {
	Model   string `json:"model,omitempty" guest:"yes"` // empty: no TPM
	Version string `json:"version,omitempty" guest:"yes"`
}

type netSettings struct {
	Bridge        string `json:"bridge,omitempty" guest:"yes"`
	AddressSource string `json:"address_source,omitempty" guest:"no"`
	SkipNAT       bool   `json:"skip_nat,omitempty" guest:"no"`
	PortMin       int    `json:"port_min,omitempty" guest:"no"`
	PortMax       int    `json:"port_max,omitempty" guest:"no"`
}

type vncSettings struct {
	Bind     string `json:"bind,omitempty" guest:"no"` // empty: no VNC
	Password string `json:"password,omitempty" guest:"no"`
	PortMin  int    `json:"port_min,omitempty" guest:"no"`
	PortMax  int    `json:"port_max,omitempty" guest:"no"`
}

// DefaultURI is the connection of a machine whose template names none.
const DefaultURI = "qemu:///system"

func decodeSettings(raw json.RawMessage) (settings, error) {
	var s settings
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &s); err != nil {
			return s, fmt.Errorf("the options of the libvirt machine cannot be read: %w", err)
		}
	}
	if s.Net.PortMin == 0 {
		s.Net.PortMin, s.Net.PortMax = defaultPortMin, defaultPortMax
	}
	return s, nil
}
