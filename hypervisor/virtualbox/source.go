package virtualbox

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// SourceFiles lists the files of an exported machine: an OVA is one; an OVF names its disks, and a manifest may lie beside it,
// which VirtualBox compares with them.
func SourceFiles(dir fs.FS, name string) ([]string, error) {
	if _, err := fs.Stat(dir, name); err != nil {
		return nil, err
	}
	files := []string{name}
	if !strings.EqualFold(path.Ext(name), ".ovf") {
		return files, nil
	}
	data, err := fs.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	var envelope struct {
		File []struct {
			Href string `xml:"href,attr"`
		} `xml:"References>File"`
	}
	if err := xml.Unmarshal(data, &envelope); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, f := range envelope.File {
		if !fs.ValidPath(f.Href) || path.Base(f.Href) != f.Href {
			return nil, fmt.Errorf("%s names the file %q: only files beside it are taken", name, f.Href)
		}
		files = append(files, f.Href)
	}
	manifest := strings.TrimSuffix(name, path.Ext(name)) + ".mf"
	if _, err := fs.Stat(dir, manifest); err == nil {
		files = append(files, manifest)
	}
	return files, nil
}

// TouchesHost implements hypervisor.HostToucher.
func (Planner) TouchesHost(options json.RawMessage) string {
	set, err := decodeSettings(options)
	switch {
	case err != nil:
		return "options that cannot be read"
	case len(set.Manage) > 0 || len(set.ManagePost) > 0:
		return "vboxmanage and vboxmanage_post run commands on the daemon's host"
	case len(set.Export.Options) > 0 || len(set.Import.Flags) > 0 || set.Import.Options != "":
		return "export_opts, import_flags and import_opts are arguments of a program on the daemon's host"
	case set.Kind == kindVM:
		return "vm_name is a machine of the daemon's user"
	case set.Export.Keep:
		return "keep_registered leaves a machine with the daemon's user"
	case set.Additions.URL != "" && !strings.HasPrefix(set.Additions.URL, "http://") && !strings.HasPrefix(set.Additions.URL, "https://"):
		return "guest_additions_url names a file of the daemon's host"
	}
	return ""
}
