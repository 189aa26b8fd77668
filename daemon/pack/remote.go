package pack

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// rawForm is what disks must be converted to for somebody who reads them raw: nothing, if they are.
func (j *job) rawForm() disk.Form {
	if slices.ContainsFunc(j.exported.disks, func(d image) bool { return d.format != disk.Raw }) {
		return disk.FormRaw
	}
	return ""
}

// remote has a driver make an image of the disks.
func (j *job) remote(p hypervisor.Package) func(ctx context.Context, disks []image) ([]hypervisor.RemoteID, error) {
	return func(ctx context.Context, disks []image) ([]hypervisor.RemoteID, error) {
		if j.Import == nil {
			return nil, fmt.Errorf("%q is kept by a driver, and there is none here", p)
		}
		r := hypervisor.ImportRequest{Arch: j.artifact.Arch, UEFI: j.artifact.UEFI, Lacks: j.Guest.CloudLacks(), Title: j.Name}
		var err error
		if r.Files, err = images(disks); err != nil {
			return nil, err
		}
		a, err := j.Import(ctx, p, r)
		return a.IDs, err
	}
}

// Upload is what somebody takes who imports disks: one file of a format (ova, vhd, vhdx, vmdk), or raw disks. A file of the artifact that
// has the format is taken as it is; otherwise it is made in the existing directory dir.
func Upload(ctx context.Context, a hypervisor.Artifact, format, dir string, o Options) ([]hypervisor.File, error) {
	var ready, disks []hypervisor.File
	for _, f := range a.Files {
		if f.Role == hypervisor.RoleDisk {
			disks = append(disks, f)
		}
		if f.Format == format || f.Format == "" && strings.TrimPrefix(filepath.Ext(f.Path), ".") == format {
			ready = append(ready, f)
		}
	}
	if len(ready) > 0 && (format != "raw" || len(ready) == len(disks)) {
		return ready, nil
	}
	p := hypervisor.Package(format)
	if p != hypervisor.PackageOVA && !p.IsImage() {
		return nil, fmt.Errorf("the artifact has no file of the format %q, and it cannot be made: use raw, vhd, vhdx or ova", format)
	}
	made, _, err := Packages(ctx, a, []hypervisor.Package{p}, dir, o)
	if err != nil {
		return nil, err
	}
	return made[0].Files, nil
}

// cloudDrivers are what instances of EC2's Nitro system need: disks are NVMe, cards are ENA. Source: "Requirements for Nitro-based instances".
var cloudDrivers = struct{ early, late []string }{[]string{"nvme"}, []string{"ena"}}

// CloudLacks names the modules for EC2 that the guest is known not to have in time; nil if that is not known.
func (g Guest) CloudLacks() []string {
	var missing []string
	if g.knowsDisks() {
		missing = append(missing, g.lacks(g.Early, cloudDrivers.early)...)
	}
	if g.knowsCards() {
		missing = append(missing, g.lacks(g.Late, cloudDrivers.late)...)
	}
	return missing
}

// CloudWarnings say what keeps a guest from starting, or from being reached, as an instance of EC2. uefi tells that it was installed so.
func (g Guest) CloudWarnings(uefi bool) []string {
	j := job{Options: Options{Guest: g}}
	j.artifact.UEFI = uefi
	return append(g.cloudWarnings(), j.traps()...)
}

// cloudWarnings are those that hold for no other package.
func (g Guest) cloudWarnings() []string {
	var all []string
	lacks := g.CloudLacks()
	if slices.Contains(lacks, "nvme") {
		all = append(all, "the guest will not find its disk on instances of the Nitro system, which is an NVMe disk: "+g.rebuild([]string{"nvme"}))
	}
	if slices.Contains(lacks, "ena") {
		all = append(all, "the guest has no driver for the network card of instances of the Nitro system: install the kernel's module ena "+
			"(Debian's and Ubuntu's kernels have it, and so has kernel-modules of Fedora and RHEL)")
	}
	for _, d := range g.Devices {
		if strings.HasPrefix(d.Name, "/dev/sd") || strings.HasPrefix(d.Name, "/dev/hd") {
			all = append(all, fmt.Sprintf("%s names the disk %s, which is /dev/nvme0n1 there: use UUID= there", d.File, d.Name))
		}
	}
	return all
}

// ParseKnown reads what is kept of a guest's answer; nothing is nothing known.
func ParseKnown(data json.RawMessage) (g Guest, err error) {
	if len(data) > 0 {
		err = json.Unmarshal(data, &g)
	}
	return g, err
}
