package vmware

import (
	"encoding/json"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

var (
	_ hypervisor.Reacher     = Planner{}
	_ hypervisor.HostToucher = Planner{}
)

// Reaching lists what of the driver's settings reaches as far as r. Files of the daemon's host can change without anybody noticing.
func (Planner) Reaching(options json.RawMessage, r schema.Reach) (values []schema.Value, never string, err error) {
	set, err := decodeSettings(options)
	if err != nil {
		return nil, "", err
	}
	if values, err = schema.Reaching(set, r); err != nil || r != schema.ReachesGuest {
		return values, "", err
	}
	switch {
	case set.Template.VMX != "" || set.Template.Disk != "":
		never = "is described by vmx_template_path or vmx_disk_template_path, which may change"
	case set.Tools.Mode != "":
		never = "is given VMware Tools by this host, which may be updated"
	}
	return values, never, nil
}

// TouchesHost tells which settings name files, devices or programs of the daemon's host, or say things to VMware that could.
func (Planner) TouchesHost(options json.RawMessage) string {
	set, err := decodeSettings(options)
	switch {
	case err != nil:
		return "options that cannot be read"
	case len(set.Data) > 0 || len(set.DataPost) > 0:
		return "vmx_data and vmx_data_post can give a machine files and devices of the daemon's host"
	case set.Template.VMX != "" || set.Template.Disk != "":
		return "vmx_template_path and vmx_disk_template_path name files of the daemon's host"
	case set.Serial.Kind != "" || set.Parallel.Kind != "":
		return "serial and parallel lead to files and devices of the daemon's host"
	case set.Tools.Source != "" && !strings.HasPrefix(set.Tools.Source, "http://") && !strings.HasPrefix(set.Tools.Source, "https://"):
		return "tools_source_path names a file of the daemon's host"
	case set.FusionApp != "":
		return "fusion_app_path names programs of the daemon's host"
	case len(set.Export.OVFToolOptions) > 0:
		return "ovftool_options are arguments of a program on the daemon's host"
	case set.VNC.Bind != loopback:
		return "vnc_bind_address opens a port of the daemon's host to others"
	}
	return ""
}
