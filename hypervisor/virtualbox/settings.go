package virtualbox

import (
	"encoding/json"
	"fmt"
	"time"
)

// settings are the driver's own part of a Spec (Spec.Options): what the Planner resolved from the arguments and Create
// turns into a machine.
type settings struct {
	Kind      string            `json:"kind" guest:"yes"` // iso, ovf or vm
	Hardware  hardwareSettings  `json:"hardware" guest:"yes"`
	Storage   storageSettings   `json:"storage" guest:"yes"`
	Additions additionsSettings `json:"additions" guest:"yes"`
	Import    importSettings    `json:"import" guest:"yes"`
	VM        vmSettings        `json:"vm" guest:"inside"`
	Run       runSettings       `json:"run" guest:"no"`
	Export    exportSettings    `json:"export" guest:"artifact"`
	// Manage and ManagePost are VBoxManage commands of the template, with {{ }} in them.
	Manage     [][]string `json:"vboxmanage,omitempty" guest:"yes"`
	ManagePost [][]string `json:"vboxmanage_post,omitempty" guest:"artifact"`
	// VersionFile gets VirtualBox's version in the guest; empty for none.
	VersionFile string `json:"version_file,omitempty" guest:"yes"`
}

// The kinds of machines, by where they come from.
const (
	kindISO = "iso"
	kindOVF = "ovf"
	kindVM  = "vm"
)

type hardwareSettings struct {
	OSType        string `json:"os_type,omitempty" guest:"yes"`
	Chipset       string `json:"chipset,omitempty" guest:"yes"`
	NestedVirt    bool   `json:"nested_virt,omitempty" guest:"yes"`
	UTC           bool   `json:"utc,omitempty" guest:"yes"`
	Sound         string `json:"sound,omitempty" guest:"yes"` // driver of the host; none without a sound card
	Audio         string `json:"audio,omitempty" guest:"yes"`
	USB           string `json:"usb,omitempty" guest:"yes"` // usb, usb-ehci, usb-xhci; empty for none
	Mouse         string `json:"mouse,omitempty" guest:"yes"`
	Keyboard      string `json:"keyboard,omitempty" guest:"yes"`
	Graphics      string `json:"graphics,omitempty" guest:"yes"`
	VRAM          uint   `json:"vram,omitempty" guest:"yes"` // MiB
	Accelerate3D  bool   `json:"accelerate_3d,omitempty" guest:"yes"`
	EFIResolution string `json:"efi_resolution,omitempty" guest:"yes"`
}

type storageSettings struct {
	Nonrotational bool   `json:"nonrotational,omitempty" guest:"yes"`
	SATAPorts     int    `json:"sata_ports,omitempty" guest:"yes"`
	NVMePorts     int    `json:"nvme_ports,omitempty" guest:"yes"`
	ISO           string `json:"iso,omitempty" guest:"yes"` // controller of CDs: ide, sata, virtio
}

type additionsSettings struct {
	Mode      string `json:"mode,omitempty" guest:"yes"` // upload, attach, disable
	Interface string `json:"interface,omitempty" guest:"yes"`
	Path      string `json:"path,omitempty" guest:"yes"` // in the guest
	URL       string `json:"url,omitempty" guest:"yes"`
	SHA256    string `json:"sha256,omitempty" guest:"yes"`
}

type importSettings struct {
	Flags   []string `json:"flags,omitempty" guest:"yes"`
	Options string   `json:"options,omitempty" guest:"yes"`
}

type vmSettings struct {
	Name     string `json:"name,omitempty" guest:"yes"`
	Attach   string `json:"attach,omitempty" guest:"yes"` // snapshot to start from
	Target   string `json:"target,omitempty" guest:"artifact"`
	Override bool   `json:"override,omitempty" guest:"artifact"` // an old Target
}

type runSettings struct {
	Headless      bool          `json:"headless,omitempty" guest:"no"`
	VRDP          vrdpSettings  `json:"vrdp" guest:"no"`
	Address       string        `json:"address" guest:"no"` // of this host, that is forwarded
	PortMin       int           `json:"port_min" guest:"no"`
	PortMax       int           `json:"port_max" guest:"no"`
	GroupInterval time.Duration `json:"group_interval,omitempty" guest:"no"` // after each call that types
	Settle        time.Duration `json:"settle,omitempty" guest:"no"`         // between power-off and what comes then
}

type vrdpSettings struct {
	Bind    string `json:"bind,omitempty" guest:"no"` // empty: none
	PortMin int    `json:"port_min,omitempty" guest:"no"`
	PortMax int    `json:"port_max,omitempty" guest:"no"`
}

type exportSettings struct {
	Format    string   `json:"format,omitempty" guest:"artifact"` // ovf or ova
	Options   []string `json:"options,omitempty" guest:"artifact"`
	Name      string   `json:"name,omitempty" guest:"artifact"` // of the machine in what is exported
	File      string   `json:"file,omitempty" guest:"artifact"` // base name of the files; empty: what the build says
	Skip      bool     `json:"skip,omitempty" guest:"artifact"` // export nothing
	Keep      bool     `json:"keep,omitempty" guest:"artifact"` // leave the machine in VirtualBox
	BundleISO bool     `json:"bundle_iso,omitempty" guest:"artifact"`
}

func decodeSettings(raw json.RawMessage) (settings, error) {
	var s settings
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("the options of the VirtualBox machine cannot be read: %w", err)
	}
	return s, nil
}
