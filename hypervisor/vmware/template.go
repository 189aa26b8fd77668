package vmware

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
	"github.com/boxkiln/boxkiln/internal/interpolate"
)

// fromTemplate makes the VMX file that vmx_template_path describes. Its fields, under the names of several versions, are those of
// packer-plugin-vmware builder/vmware/iso/step_create_vmx.go.
func fromTemplate(spec hypervisor.Spec, set settings) (*vmx.File, error) {
	text, err := os.ReadFile(spec.Fetched[fetchTemplate])
	if err != nil {
		return nil, fmt.Errorf("vmx_template_path: %w", err)
	}
	rendered, err := interpolate.Render(string(text), &interpolate.Context{}, templateFields(spec, set))
	if err != nil {
		return nil, fmt.Errorf("vmx_template_path = %q: %w", set.Template.VMX, err)
	}
	f, err := parseRendered(rendered)
	if err != nil {
		return nil, fmt.Errorf("vmx_template_path = %q: %w", set.Template.VMX, err)
	}
	if cpus, _ := f.Get("numvcpus"); cpus == "" {
		f.Delete("numvcpus")
	}
	if set.Cores > 0 {
		f.Set("cpuid.coresPerSocket", strconv.Itoa(set.Cores))
	}
	if set.Template.Disk != "" {
		return f, addTemplates(f, spec, set)
	}
	var names []string
	for i := range spec.Disks[1:] {
		names = append(names, diskName(i+1))
	}
	return f, attachDisks(f, spec.Disks[1:], names)
}

// parseRendered reads a VMX file of a template, in which Packer takes comments that begin with two slashes.
func parseRendered(text string) (*vmx.File, error) {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "//") {
			lines = append(lines, line)
		}
	}
	return vmx.Parse(strings.NewReader(strings.Join(lines, "")))
}

func templateFields(spec hypervisor.Spec, set settings) interpolate.Data {
	yes := func(b bool) string { return strings.ToUpper(strconv.FormatBool(b)) }
	first := spec.Disks[0]
	bus, cd := busOf(first.Interface), cdBus(spec, set)
	cdUnit := "0"
	if cd == bus { // after the disk
		cdUnit = "1"
	}
	iso := ""
	if len(spec.CDs) > 0 {
		iso = spec.CDs[0]
	}
	d := interpolate.Data{
		"Name": strings.TrimSuffix(vmxName, ".vmx"), "GuestOS": set.GuestOS, "Version": strconv.Itoa(set.HWVersion), "ISOPath": iso,
		"CpuCount": strconv.Itoa(spec.CPUs), "MemorySize": strconv.Itoa(spec.MemoryMiB),
		"Firmware": "bios", "SecureBoot": "", "HardwareAssistedVirtualization": "",
		"DiskName": defaultDiskName, "DiskType": bus, "ScsiPresent": yes(bus == "scsi"), "ScsiDiskAdapterType": first.Interface,
		"SataPresent": yes(bus == "sata" || cd == "sata"), "NvmePresent": yes(bus == "nvme"),
		"CdromType": cd, "CdromTypePrimarySecondary": cdUnit,
		"NetworkType": set.Net.Connection, "NetworkDevice": set.Net.VNet, "NetworkAdapter": spec.Network.Model,
		"SoundPresent": yes(set.Sound), "UsbPresent": yes(set.USB != ""),
		"SerialPresent": yes(set.Serial.Kind != ""), "SerialType": set.Serial.Kind, "SerialEndpoint": set.Serial.EndPoint,
		"SerialHost": yes(set.Serial.TryNoRxLoss), "SerialYield": yes(set.Serial.Yield), "SerialFilename": set.Serial.Path,
		"SerialAuto": yes(set.Serial.Kind == "auto"), "ParallelPresent": yes(set.Parallel.Kind != ""),
		"ParallelBidirectional": yes(set.Parallel.Bidirectional), "ParallelFilename": set.Parallel.Path,
		"ParallelAuto": yes(set.Parallel.Kind == "auto"),
	}
	if spec.Firmware.UEFI {
		d["Firmware"] = "efi"
	}
	if set.SecureBoot {
		d["SecureBoot"] = "TRUE"
	}
	if set.NestedVirt {
		d["HardwareAssistedVirtualization"] = "TRUE" // an if takes anything for true that is not empty
	}
	for old, now := range oldFields {
		d[old] = d[now]
	}
	return d
}

// oldFields are the fields of earlier versions of the plugin.
var oldFields = map[string]string{
	"SCSI_Present": "ScsiPresent", "SCSI_diskAdapterType": "ScsiDiskAdapterType", "SATA_Present": "SataPresent", "NVME_Present": "NvmePresent",
	"CDROMType": "CdromType", "CDROMType_PrimarySecondary": "CdromTypePrimarySecondary", "Network_Type": "NetworkType",
	"Network_Device": "NetworkDevice", "Network_Adapter": "NetworkAdapter", "Sound_Present": "SoundPresent", "Usb_Present": "UsbPresent",
	"Serial_Present": "SerialPresent", "Serial_Type": "SerialType", "Serial_Endpoint": "SerialEndpoint", "Serial_Host": "SerialHost",
	"Serial_Yield": "SerialYield", "Serial_Filename": "SerialFilename", "Serial_Auto": "SerialAuto", "Parallel_Present": "ParallelPresent",
	"Parallel_Bidirectional": "ParallelBidirectional", "Parallel_Filename": "ParallelFilename", "Parallel_Auto": "ParallelAuto",
}

// addTemplates adds the lines of vmx_disk_template_path for each disk but the first.
func addTemplates(f *vmx.File, spec hypervisor.Spec, set settings) error {
	text, err := os.ReadFile(spec.Fetched[fetchDiskTemplate])
	if err != nil {
		return fmt.Errorf("vmx_disk_template_path: %w", err)
	}
	bus := busOf(spec.Disks[0].Interface)
	units := places(bus, false)
	skip := 1
	if cdBus(spec, set) == bus { // where Packer has the CD
		skip = 2
	}
	if len(spec.Disks)-1+skip > len(units) {
		return fmt.Errorf("disk_additional_size: %d further disks find no place on one %s controller", len(spec.Disks)-1, bus)
	}
	for i := range spec.Disks[1:] {
		unit := strings.TrimPrefix(units[i+skip], bus+"0:")
		rendered, err := interpolate.Render(string(text), &interpolate.Context{}, interpolate.Data{
			"DiskUnit": unit, "DiskNumber": strconv.Itoa(i + 1), "DiskName": defaultDiskName, "DiskType": bus,
		})
		if err != nil {
			return fmt.Errorf("vmx_disk_template_path = %q: %w", set.Template.Disk, err)
		}
		more, err := parseRendered(rendered)
		if err != nil {
			return fmt.Errorf("vmx_disk_template_path = %q: %w", set.Template.Disk, err)
		}
		for _, key := range more.Keys() {
			value, _ := more.Get(key)
			f.Set(key, value)
		}
	}
	return nil
}
