package virtualbox

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/ovf"
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
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	descriptor, err := ovf.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, file := range descriptor.Files {
		if !fs.ValidPath(file.Name) || path.Base(file.Name) != file.Name {
			return nil, fmt.Errorf("%s names the file %q: only files beside it are taken", name, file.Name)
		}
		files = append(files, file.Name)
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
