package daemon

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/iso"
)

const shellLocal = "shell-local"

// hostAccess tells what a plan does on the daemon's host beyond running a guest, or nothing. Whoever may only submit
// builds must not read the host's files or run its programs by way of one.
func hostAccess(p *build.Plan, parts build.Parts) string {
	if toucher, ok := parts.Sources[p.Builder].Planner.(hypervisor.HostToucher); ok {
		if what := toucher.TouchesHost(p.Machine.Options); what != "" {
			return what
		}
	}
	if what := importTouches(p, parts); what != "" {
		return what
	}
	switch {
	case runsOnHost(p):
		return "shell-local runs commands on the daemon's host"
	case slices.ContainsFunc(append([]string{p.Media.ISOURL}, p.Media.ISOURLs...), isLocal):
		return "iso_url names a file of the daemon's host"
	case p.Media.ISOTargetPath != "":
		return "iso_target_path names a place on the daemon's host"
	case len(p.SourceFiles) == 0 && isLocal(p.Machine.Source):
		return "source_path names a file of the daemon's host"
	case p.Machine.SourceTarget != "":
		return "target_path names a place on the daemon's host"
	case opensFiles(p.Machine.Options), p.Machine.Firmware.Code != "", p.Machine.Firmware.Vars != "":
		return "qemuargs, qemu_binary, volumes and firmware files reach into the daemon's host"
	}
	return ""
}

// importTouches tells what images that a driver makes of the machine do on the daemon's host.
func importTouches(p *build.Plan, parts build.Parts) string {
	for name, args := range p.Imports {
		if what := parts.Imports[name].TouchesHost(args); what != "" {
			return what
		}
	}
	for _, chain := range p.Post {
		for _, pp := range chain {
			if kind := parts.PostProcessors[pp.Type].Import; kind != nil {
				if what := kind.TouchesHost(pp.Args); what != "" {
					return what
				}
			}
		}
	}
	return ""
}

func runsOnHost(p *build.Plan) bool {
	for _, pr := range p.Provisioners {
		if pr.Type == shellLocal {
			return true
		}
	}
	for _, chain := range p.Post {
		for _, pp := range chain {
			if pp.Type == shellLocal {
				return true
			}
		}
	}
	return p.ErrorCleanup != nil && p.ErrorCleanup.Type == shellLocal
}

// isLocal tells a path, or a file: URL, from what is fetched over the network or out of the registry.
func isLocal(url string) bool {
	return url != "" && !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, iso.BoxScheme)
}

// opensFiles tells whether a driver's own options name programs or files. Options of drivers that have no such keys name
// none.
func opensFiles(options json.RawMessage) bool {
	var o struct {
		QemuArgs [][]string `json:"qemuargs"`
		Emulator string     `json:"emulator"`
		Volumes  []struct{} `json:"volumes"`
		Firmware struct {
			File string `json:"file"`
		} `json:"firmware"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return len(options) > 0 // what cannot be read is not let through
	}
	return len(o.QemuArgs) > 0 || strings.Contains(o.Emulator, "/") || len(o.Volumes) > 0 || o.Firmware.File != ""
}
