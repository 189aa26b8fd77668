package libvirt

import (
	"encoding/json"
	"fmt"
)

// settings are the driver's own part of a Spec (Spec.Options): what the Planner resolved from the arguments and Create
// turns into a machine.
type settings struct {
	URI         string      `json:"uri"`
	Emulator    string      `json:"emulator,omitempty"` // name or path; empty: libvirt's choice for the architecture
	Machine     string      `json:"machine,omitempty"`
	Accelerator string      `json:"accelerator,omitempty"` // kvm, tcg; empty: the best that works
	CPUModel    string      `json:"cpu_model,omitempty"`
	Sockets     int         `json:"sockets,omitempty"`
	Cores       int         `json:"cores,omitempty"`
	Threads     int         `json:"threads,omitempty"`
	VMName      string      `json:"vm_name,omitempty"` // file name of the first disk
	CDInterface string      `json:"cd_interface,omitempty"`
	Volumes     []volumeRef `json:"volumes,omitempty"`
	Images      QemuImgArgs `json:"qemu_img_args"`
	Firmware    romSettings `json:"firmware"`
	TPM         tpmSettings `json:"tpm"`
	Net         netSettings `json:"net"`
	VGA         string      `json:"vga,omitempty"`
	VNC         vncSettings `json:"vnc"`
	QemuArgs    [][]string  `json:"qemuargs,omitempty"`
	// DiskImage says that the first disk must start from an image, which the build has to name.
	DiskImage bool `json:"disk_image,omitempty"`
}

// volumeRef names the pool volume from which the disk of that index starts.
type volumeRef struct {
	Disk   int    `json:"disk"`
	Pool   string `json:"pool"`
	Volume string `json:"volume"`
}

type romSettings struct {
	File     string `json:"file,omitempty"` // replaces the BIOS
	Pflash   bool   `json:"pflash,omitempty"`
	DropVars bool   `json:"drop_vars,omitempty"`
}

type tpmSettings struct {
	Model   string `json:"model,omitempty"` // empty: no TPM
	Version string `json:"version,omitempty"`
}

type netSettings struct {
	Bridge        string `json:"bridge,omitempty"`
	AddressSource string `json:"address_source,omitempty"`
	SkipNAT       bool   `json:"skip_nat,omitempty"`
	PortMin       int    `json:"port_min,omitempty"`
	PortMax       int    `json:"port_max,omitempty"`
}

type vncSettings struct {
	Bind     string `json:"bind,omitempty"` // empty: no VNC
	Password string `json:"password,omitempty"`
	PortMin  int    `json:"port_min,omitempty"`
	PortMax  int    `json:"port_max,omitempty"`
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
