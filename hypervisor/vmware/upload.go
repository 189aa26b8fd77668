package vmware

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/interpolate"
)

var _ hypervisor.Fetcher = (*Driver)(nil)

// The names of what a machine can need on this host.
const (
	fetchTools        = "VMware Tools"
	fetchTemplate     = "the template of the VMX file"
	fetchDiskTemplate = "the template of further disks"
)

// Fetches names the image of VMware Tools, if the template wants them in its guest, and files that describe the machine.
func (d *Driver) Fetches(_ context.Context, spec hypervisor.Spec) ([]hypervisor.Fetch, error) {
	set, err := decodeSettings(spec.Options)
	if err != nil {
		return nil, err
	}
	wanted := map[string]string{fetchTemplate: set.Template.VMX, fetchDiskTemplate: set.Template.Disk}
	if set.Tools.Mode != "" {
		wanted[fetchTools] = set.Tools.Source
		if set.Tools.Source == "" {
			if wanted[fetchTools], err = d.toolsOf(set).image(set.Tools.Flavor); err != nil {
				return nil, err
			}
		}
	}
	var fetches []hypervisor.Fetch
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if wanted[name] != "" {
			fetches = append(fetches, hypervisor.Fetch{Name: name, URL: wanted[name], Checksum: "none"})
		}
	}
	return fetches, nil
}

// image finds the image of VMware Tools for a system, as VMware installs it.
func (t tools) image(flavor string) (string, error) {
	dirs := []string{"/usr/lib/vmware/isoimages"}
	if runtime.GOOS != "linux" {
		dirs = nil
		for _, dir := range t.usual() {
			dirs = append(dirs, filepath.Join(dir, "isoimages"), filepath.Join(dir, "isoimages", "x86_x64"), dir)
		}
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, flavor+".iso")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("tools_upload_flavor = %q: there is no %s.iso in %q; install open-vm-tools in the guest instead, or name the image by tools_source_path",
		flavor, flavor, dirs)
}

// Uploads are VMware Tools, if the template wants them uploaded.
func (m *Machine) Uploads(context.Context) ([]hypervisor.Upload, error) {
	t := m.Set.Tools
	if t.Mode != "upload" {
		return nil, nil
	}
	to, err := interpolate.Render(t.UploadPath, &interpolate.Context{}, interpolate.Data{"Flavor": t.Flavor})
	if err != nil {
		return nil, fmt.Errorf("tools_upload_path: %w", err)
	}
	return []hypervisor.Upload{{What: "VMware Tools", To: to, Path: m.ToolsImage}}, nil
}
