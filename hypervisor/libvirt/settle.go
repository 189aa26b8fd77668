//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// settle tells libvirt what the disks are now, takes their old names away and closes the frozen files.
func (z *freezing) settle(ctx context.Context) error {
	meta := z.meta
	meta.Disks = nil
	for _, d := range z.disks {
		under := append([]layer{{d.frozen, d.active.Format}}, d.active.Backing...)
		meta.Disks = append(meta.Disks, diskMeta{Path: d.overlay, Format: disk.QCOW2, Backing: under})
	}
	if err := z.with(ctx, func(c *libvirt.Connect, dom *libvirt.Domain) error { return z.redefine(c, dom, meta) }); err != nil {
		return err
	}
	var errs []error
	for _, d := range z.disks {
		if d.overlay != d.active.Path {
			errs = append(errs, os.Remove(d.active.Path))
		}
		errs = append(errs, z.facts.qemu.seal(d.frozen))
	}
	if z.domain != "" {
		errs = append(errs, os.Chmod(filepath.Join(z.dir, memoryFile), 0o400))
	}
	return errors.Join(errs...)
}

// redefine writes the disks into the running machine's metadata and into the definition that the next start uses.
func (z *freezing) redefine(c *libvirt.Connect, dom *libvirt.Domain, meta metadata) error {
	element, err := meta.plain()
	if err != nil {
		return err
	}
	impact := libvirt.DOMAIN_AFFECT_CONFIG
	if z.domain != "" {
		impact |= libvirt.DOMAIN_AFFECT_LIVE
	}
	if err := dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, metadataPrefix, metadataURI, impact); err != nil {
		return err
	}
	text, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE | libvirt.DOMAIN_XML_SECURE)
	if err != nil {
		return err
	}
	var x libvirtxml.Domain
	if err := x.Unmarshal(text); err != nil {
		return err
	}
	for i, d := range z.disks {
		for j := range x.Devices.Disks {
			if path := diskFile(x.Devices.Disks[j]); path == d.active.Path || path == d.overlay {
				z.point(&x.Devices.Disks[j], meta.Disks[i])
			}
		}
	}
	if text, err = x.Marshal(); err != nil {
		return err
	}
	defined, err := c.DomainDefineXMLFlags(text, 0)
	if err != nil {
		return err
	}
	return defined.Free()
}

// point makes a drive of the definition what the disk is now.
func (z *freezing) point(x *libvirtxml.DomainDisk, d diskMeta) {
	x.Source.File.File = d.Path
	x.Driver.Type = d.Format
	x.BackingStore = backingStore(d.Backing, func(path string) *libvirtxml.DomainDiskSource {
		src := &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
		if z.facts.qemu != nil && (filepath.Dir(path) == z.dir || z.facts.qemu.reads(path)) {
			src.File.SecLabel = []libvirtxml.DomainDeviceSecLabel{{Model: "dac", Relabel: "no"}}
		}
		return src
	})
}
