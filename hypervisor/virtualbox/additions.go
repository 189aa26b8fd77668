package virtualbox

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/interpolate"
)

// additionsName is the image of the guest additions in Spec.Fetched.
const additionsName = "VirtualBox Guest Additions"

// Fetches names the guest additions: what the template says, or what VirtualBox has on this host, or else Oracle's download
// for this version, as Packer does.
func (d *Driver) Fetches(ctx context.Context, spec hypervisor.Spec) ([]hypervisor.Fetch, error) {
	set, err := decodeSettings(spec.Options)
	if err != nil {
		return nil, err
	}
	a := set.Additions
	if a.Mode != "upload" && a.Mode != "attach" {
		return nil, nil
	}
	v, err := d.vbox.version(ctx)
	if err != nil {
		return nil, d.unreachable(err)
	}
	f := hypervisor.Fetch{Name: additionsName, Checksum: "none"}
	if a.SHA256 != "" {
		f.Checksum = "sha256:" + a.SHA256
	}
	if a.URL != "" {
		f.URL, err = renderVersion("guest_additions_url", a.URL, v)
		return []hypervisor.Fetch{f}, err
	}
	if f.URL, err = d.ownAdditions(ctx); err != nil {
		return nil, err
	}
	if f.URL == "" {
		folder := "https://download.virtualbox.org/virtualbox/" + v.number
		f.URL = folder + "/VBoxGuestAdditions_" + v.number + ".iso"
		if a.SHA256 == "" {
			f.Checksum = "file:" + folder + "/SHA256SUMS"
		}
	}
	return []hypervisor.Fetch{f}, nil
}

var additionsLine = regexp.MustCompile(`(?m)^Default Guest Additions ISO:\s*(\S.*?)\s*$`)

// ownAdditions is the image that came with VirtualBox; empty if there is none on this host.
func (d *Driver) ownAdditions(ctx context.Context) (string, error) {
	out, err := d.vbox.run(ctx, "list", "systemproperties")
	if err != nil {
		return "", err
	}
	m := additionsLine.FindStringSubmatch(out)
	if m == nil {
		return "", nil
	}
	if info, err := os.Stat(m[1]); err != nil || !info.Mode().IsRegular() {
		return "", nil
	}
	return m[1], nil
}

// renderVersion fills {{ .Version }} in.
func renderVersion(arg, text string, v version) (string, error) {
	c := &interpolate.Context{Now: time.Now(), NewUUID: uuid.NewString}
	out, err := interpolate.Render(text, c, interpolate.Data{"Version": v.number})
	if err != nil {
		return "", fmt.Errorf("%s = %q: %w; known is .Version", arg, text, err)
	}
	return out, nil
}

// Uploads are the version of VirtualBox and the guest additions, as Packer uploads them.
func (m *Machine) Uploads(ctx context.Context) ([]hypervisor.Upload, error) {
	var all []hypervisor.Upload
	v, err := m.driver.vbox.version(ctx)
	if err != nil {
		return nil, err
	}
	set := m.record.Settings
	if set.VersionFile != "" {
		all = append(all, hypervisor.Upload{What: "VirtualBox version info (" + v.number + ")", To: set.VersionFile, Text: v.number})
	}
	if set.Additions.Mode == "upload" && m.record.Additions != "" {
		to, err := renderVersion("guest_additions_path", set.Additions.Path, v)
		if err != nil {
			return nil, err
		}
		all = append(all, hypervisor.Upload{What: "VirtualBox guest additions ISO", To: to, Path: m.record.Additions})
	}
	return all, nil
}

// writesVersion tells whether the guest learns VirtualBox's version.
func (s settings) writesVersion() bool {
	return s.VersionFile != "" || s.Additions.Mode == "upload" || strings.Contains(s.Additions.URL, ".Version")
}
