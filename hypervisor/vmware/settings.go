package vmware

import (
	"encoding/json"
	"fmt"
)

// settings are the driver's own part of a Spec (Spec.Options): what the Planner resolved from the arguments and Create
// turns into a machine.
type settings struct {
	VMName      string `json:"vm_name,omitempty" guest:"no"`
	DisplayName string `json:"display_name,omitempty" guest:"artifact"`
	GuestOS     string `json:"guest_os,omitempty" guest:"yes"`
	HWVersion   int    `json:"hw_version,omitempty" guest:"yes"`
	Cores       int    `json:"cores,omitempty" guest:"yes"`
	SecureBoot  bool   `json:"secure_boot,omitempty" guest:"yes"`
	NestedVirt  bool   `json:"nested_virt,omitempty" guest:"yes"`
	Sound       bool   `json:"sound,omitempty" guest:"yes"`
	USB         string `json:"usb,omitempty" guest:"yes"` // version; empty for none

	Disks    diskSettings     `json:"disks" guest:"inside"`
	Net      netSettings      `json:"net" guest:"yes"`
	VNC      vncSettings      `json:"vnc" guest:"no"`
	Serial   portSettings     `json:"serial" guest:"yes"`
	Parallel portSettings     `json:"parallel" guest:"yes"`
	Tools    toolsSettings    `json:"tools" guest:"yes"`
	Template templateSettings `json:"template" guest:"yes"`
	Source   sourceSettings   `json:"source" guest:"inside"`
	Export   exportSettings   `json:"export" guest:"artifact"`

	// Data are settings for the VMX file that win over all others, DataPost those for the exported one.
	Data      map[string]string `json:"data,omitempty" guest:"yes"`
	DataPost  map[string]string `json:"data_post,omitempty" guest:"artifact"`
	FusionApp string            `json:"fusion_app,omitempty" guest:"no"`
}

type diskSettings struct {
	Type      int    `json:"type" guest:"artifact"`            // of the exported disks, as vmware-vdiskmanager -t has it
	Name      string `json:"name,omitempty" guest:"artifact"`  // of the exported disks
	CDAdapter string `json:"cd_adapter,omitempty" guest:"yes"` // ide, sata or scsi
}

type netSettings struct {
	Connection string `json:"connection,omitempty" guest:"yes"` // nat, hostonly, bridged or custom
	VNet       string `json:"vnet,omitempty" guest:"yes"`       // of custom
}

type vncSettings struct {
	Off        bool   `json:"off,omitempty" guest:"no"`
	Bind       string `json:"bind,omitempty" guest:"no"`
	PortMin    int    `json:"port_min,omitempty" guest:"no"`
	PortMax    int    `json:"port_max,omitempty" guest:"no"`
	NoPassword bool   `json:"no_password,omitempty" guest:"no"`
}

// portSettings is a serial or parallel port that leads to the host. An empty Kind is none.
type portSettings struct {
	Kind          string `json:"kind,omitempty" guest:"yes"` // file, device or pipe; auto is a device that VMware chooses
	Path          string `json:"path,omitempty" guest:"yes"`
	EndPoint      string `json:"end_point,omitempty" guest:"yes"`      // of a pipe: client or server
	TryNoRxLoss   bool   `json:"try_no_rx_loss,omitempty" guest:"yes"` // of a pipe to an application
	Yield         bool   `json:"yield,omitempty" guest:"yes"`
	Bidirectional bool   `json:"bidirectional,omitempty" guest:"yes"` // of a parallel port
}

type toolsSettings struct {
	Mode       string `json:"mode,omitempty" guest:"yes"` // upload, attach or empty
	Flavor     string `json:"flavor,omitempty" guest:"yes"`
	UploadPath string `json:"upload_path,omitempty" guest:"yes"`
	Source     string `json:"source,omitempty" guest:"yes"`
}

// templateSettings are files with templates of VMX files.
type templateSettings struct {
	VMX  string `json:"vmx,omitempty" guest:"yes"`
	Disk string `json:"disk,omitempty" guest:"yes"` // of each further disk
}

type sourceSettings struct {
	Linked   bool   `json:"linked,omitempty" guest:"no"`
	Snapshot string `json:"snapshot,omitempty" guest:"yes"`
}

type exportSettings struct {
	Format         string   `json:"format,omitempty" guest:"artifact"` // vmx, ovf or ova
	OVFToolOptions []string `json:"ovftool_options,omitempty" guest:"artifact"`
	RemoveNICs     bool     `json:"remove_nics,omitempty" guest:"artifact"`
	Snapshot       string   `json:"snapshot,omitempty" guest:"artifact"`
}

func decodeSettings(raw json.RawMessage) (settings, error) {
	var s settings
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &s); err != nil {
			return s, fmt.Errorf("the options of the VMware machine cannot be read: %w", err)
		}
	}
	return s, nil
}
