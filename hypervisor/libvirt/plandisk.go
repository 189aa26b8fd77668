package libvirt

import (
	"fmt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

var diskBuses = []string{"virtio", "sata", "scsi", "virtio-scsi", "ide"}

// defaultCache is not Packer's writeback. A work disk that a crash of the host damages belongs to a build that is lost
// anyway, so the guest need not wait for each of its flushes to reach the host's disk; the export is synced.
const defaultCache = "unsafe"

// disks resolves the disk arguments, or the volume blocks if there are any.
func (p *planner) disks() []hypervisor.Disk {
	a := p.args
	base := hypervisor.Disk{
		Format:     p.OneOf("format", a.Format, "qcow2", "qcow2", "raw"),
		Interface:  p.OneOf("disk_interface", a.DiskInterface, "virtio", diskBuses...),
		Cache:      p.OneOf("disk_cache", a.DiskCache, defaultCache, "writeback", "writethrough", "none", "unsafe", "directsync"),
		Discard:    p.OneOf("disk_discard", a.DiskDiscard, "ignore", "unmap", "ignore"),
		DetectZero: p.OneOf("disk_detect_zeroes", a.DiskDetectZeroes, "off", "unmap", "on", "off"),
	}
	p.imageFlags(base.Format)
	if len(a.Volumes) > 0 {
		return p.volumes(base)
	}
	first := base
	first.Size = p.size("disk_size", a.DiskSize, defaultDiskSize)
	first.Backing, first.KeepSize = a.UseBackingFile, a.SkipResizeDisk
	disks := []hypervisor.Disk{first}
	for i, size := range a.DiskAdditionalSize {
		d := base
		d.Size = p.size(fmt.Sprintf("disk_additional_size[%d]", i), size, defaultDiskSize)
		disks = append(disks, d)
	}
	return disks
}

func (p *planner) imageFlags(format string) {
	a := p.args
	if a.UseBackingFile && (!a.DiskImage || format != "qcow2") {
		p.Problem(fmt.Errorf("use_backing_file = true: it needs disk_image = true and format = \"qcow2\", not %q", format))
	}
	if a.SkipResizeDisk && !a.DiskImage {
		p.Problem(fmt.Errorf("skip_resize_disk = true: it needs disk_image = true"))
	}
	if a.DiskCompression && format != "qcow2" {
		p.Problem(fmt.Errorf("disk_compression = true: only format = \"qcow2\" can be compressed, not %q", format))
	}
}

// volumes resolves the volume blocks of a libvirt source.
func (p *planner) volumes(base hypervisor.Disk) []hypervisor.Disk {
	var disks []hypervisor.Disk
	for i, v := range p.args.Volumes {
		d := base
		d.Interface = p.OneOf(fmt.Sprintf("volume[%d].bus", i), v.Bus, base.Interface, diskBuses...)
		size := v.Capacity
		if size == "" {
			size = v.Size
		}
		switch {
		case size != "":
			d.Size = p.size(fmt.Sprintf("volume[%d].capacity", i), size, "")
		case v.Source == nil:
			p.Problem(fmt.Errorf("volume[%d]: capacity is missing; an empty disk needs one, such as \"10G\"", i))
		default:
			d.KeepSize = true
		}
		p.volumeSource(i, v.Source, &d)
		disks = append(disks, d)
	}
	return disks
}

func (p *planner) volumeSource(i int, src *VolumeSource, d *hypervisor.Disk) {
	if src == nil {
		return
	}
	arg := fmt.Sprintf("volume[%d].source", i)
	switch src.Type {
	case "backing-store", "backingstore":
		d.Backing, d.Format = true, "qcow2"
	case "cloning", "clone":
	case "external":
		p.Problem(fmt.Errorf("%s.type = %q: give the image as iso_url with disk_image = true instead", arg, src.Type))
	case "cloud-init", "cloudinit":
		p.Problem(fmt.Errorf("%s.type = %q: give the files as cd_content with cd_label = \"cidata\" instead", arg, src.Type))
	default:
		p.OneOf(arg+".type", src.Type, "", "backing-store", "cloning")
	}
	if (src.Path == "") == (src.Volume == "") {
		p.Problem(fmt.Errorf("%s: name either a volume (and its pool) or a path", arg))
	}
	d.Image = src.Path
}

// volumeRefs lists the disks whose image is a volume of a pool, which only the daemon can look up.
func (p *planner) volumeRefs() []volumeRef {
	var refs []volumeRef
	for i, v := range p.args.Volumes {
		if v.Source == nil || v.Source.Volume == "" {
			continue
		}
		pool := v.Source.Pool
		if pool == "" {
			pool = "default"
		}
		refs = append(refs, volumeRef{Disk: i, Pool: pool, Volume: v.Source.Volume})
	}
	return refs
}
