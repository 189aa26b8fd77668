//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// Create defines the machine and makes its disks. A machine that exists already with the same tag is completed if a crash
// cut its creation short, and returned. On failure nothing is left.
func (d *Driver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	set, err := decodeSettings(spec.Options)
	if err != nil {
		return nil, err
	}
	if set.URI == "" {
		set.URI = d.uri
	}
	if err := d.checkSpec(spec, set); err != nil {
		return nil, err
	}
	m, err := d.find(ctx, set.URI, spec.Name)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound):
		return d.create(ctx, spec, set)
	case err != nil:
		return nil, err
	case m.meta.tag() != spec.Tag:
		return nil, foreign(m, spec)
	case fileExists(filepath.Join(spec.Dir, markerFile)):
		return m, nil
	}
	if err := m.Destroy(ctx); err != nil { // half made
		return nil, err
	}
	return d.create(ctx, spec, set)
}

func foreign(m *Machine, spec hypervisor.Spec) error {
	return fmt.Errorf("%w: %q at %s carries the tag %+v, not %+v", hypervisor.ErrForeign, m.name, m.uri, m.meta.tag(), spec.Tag)
}

func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// checkSpec refuses what the Planner could not know.
func (d *Driver) checkSpec(spec hypervisor.Spec, set settings) error {
	var errs []error
	if spec.Tag.Install != d.install {
		errs = append(errs, fmt.Errorf("the machine %q is tagged for the installation %q, but this driver is of %q",
			spec.Name, spec.Tag.Install, d.install))
	}
	if spec.Name == "" || !filepath.IsAbs(spec.Dir) {
		errs = append(errs, fmt.Errorf("a machine needs a name and an absolute directory, not %q and %q", spec.Name, spec.Dir))
	}
	if spec.CPUs < 1 || spec.MemoryMiB < 1 {
		errs = append(errs, fmt.Errorf("a machine needs processors and memory, not %d and %d MiB", spec.CPUs, spec.MemoryMiB))
	}
	if set.DiskImage && (len(spec.Disks) == 0 || spec.Disks[0].Image == "") {
		errs = append(errs, errors.New("disk_image = true: no image was given to start from; set iso_url"))
	}
	return errors.Join(errs...)
}

func (d *Driver) create(ctx context.Context, spec hypervisor.Spec, set settings) (hypervisor.Machine, error) {
	b, err := d.draw(ctx, spec, set, nil)
	if err != nil {
		return nil, err
	}
	return d.build(ctx, b, nil)
}

// blueprint is a machine before anything of it exists.
type blueprint struct {
	spec   hypervisor.Spec
	set    settings
	facts  hostFacts
	host   host
	domain *libvirtxml.Domain
}

// draw looks at the host and describes the machine. under are the images under those that its disks start from.
func (d *Driver) draw(ctx context.Context, spec hypervisor.Spec, set settings, under [][]layer) (blueprint, error) {
	facts, err := d.host(ctx, set.URI, spec.Arch)
	if err != nil {
		return blueprint{}, err
	}
	if !facts.local {
		return blueprint{}, fmt.Errorf("libvirt_uri = %q: it leads to another host, which does not see the disks that are made here: "+
			"run boxkiln serve on that host and build with --server: %w", set.URI, hypervisor.ErrUnsupported)
	}
	if err := d.resolveImages(ctx, &spec, set); err != nil {
		return blueprint{}, err
	}
	h, err := d.prepare(ctx, facts, spec, &set)
	if err != nil {
		return blueprint{}, err
	}
	h.under = under
	x, err := domain(spec, set, h)
	return blueprint{spec: spec, set: set, facts: facts, host: h, domain: x}, err
}

// build defines the machine, makes its files and calls rouse, if there is one, with the description that libvirt got. On
// failure nothing is left.
func (d *Driver) build(ctx context.Context, b blueprint, rouse func(m *Machine, text string) error) (hypervisor.Machine, error) {
	text, err := b.domain.Marshal()
	if err != nil {
		return nil, fmt.Errorf("describe the machine: %w", err)
	}
	m, err := d.define(ctx, b.set.URI, text)
	if err != nil {
		return nil, err
	}
	d.log.Info("machine defined", "machine", b.spec.Name, "uri", b.set.URI, "accelerator", m.meta.Accel, "reason", m.meta.Reason,
		"type", b.domain.OS.Type.Machine)
	err = errors.Join(d.makeFiles(ctx, b.spec, b.set, b.host), b.facts.grantUnknown(m.meta, b.domain))
	if err == nil && rouse != nil {
		err = rouse(m, text)
	}
	if err == nil {
		err = fsx.WriteFile(filepath.Join(b.spec.Dir, markerFile), []byte(text+"\n"), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, m.Destroy(context.WithoutCancel(ctx)))
	}
	return m, nil
}

// grantUnknown opens to QEMU those disks that qemuargs attach in a way of their own, behind libvirt's back.
func (f hostFacts) grantUnknown(m metadata, x *libvirtxml.Domain) error {
	known := map[string]bool{}
	for _, d := range x.Devices.Disks {
		known[d.Source.File.File] = true
	}
	var errs []error
	for _, d := range m.Disks {
		if f.qemu != nil && !known[d.Path] {
			errs = append(errs, f.qemu.grant(d.Path))
		}
	}
	return errors.Join(errs...)
}

// prepare gathers what domain needs and renders the templates in qemuargs.
func (d *Driver) prepare(ctx context.Context, facts hostFacts, spec hypervisor.Spec, set *settings) (host, error) {
	h, err := d.inspect(facts, spec, *set)
	if err != nil {
		return h, err
	}
	reader := facts.qemu
	if err := d.admit(facts, spec); err != nil {
		var out *shutOutError
		if os.Getuid() != 0 || !errors.As(err, &out) {
			return h, err
		}
		// Root's own folders, such as /root, are closed to libvirt-qemu. Packer's QEMU would run as root there, and so
		// does this one machine's.
		reader, h.asRoot = &account{}, true
		h.reason += fmt.Sprintf("; QEMU runs as root, because uid %d cannot pass through %s (chmod o+x opens it)", out.uid, out.folder)
	}
	h.asIs = func(path string) bool {
		return filepath.Dir(path) != spec.Dir && reader != nil && reader.reads(path)
	}
	if err := choosePorts(ctx, spec, set, &h); err != nil {
		return h, err
	}
	h.models, err = d.programs.models(ctx, h.emulator, set.QemuArgs)
	return h, err
}

// inspect finds the accelerator, QEMU and the firmware.
func (d *Driver) inspect(facts hostFacts, spec hypervisor.Spec, set settings) (host, error) {
	h := host{kvm: facts.accel.kvm && set.Accelerator != "tcg", reason: facts.accel.reason, uuid: uuid.NewString(), libvirt: facts.version}
	if set.Accelerator == "tcg" {
		h.reason = "accelerator asks for it"
	}
	if set.Accelerator == "kvm" && !h.kvm {
		return h, fmt.Errorf("accelerator = \"kvm\": it cannot work here: %s; leave accelerator out to build without it", facts.accel.reason)
	}
	if h.kvm {
		h.processor = processor(readText("/proc/cpuinfo"))
	}
	var err error
	if h.emulator, err = facts.emulator(set.Emulator, spec.Arch); err != nil {
		return h, err
	}
	if spec.Firmware.UEFI {
		h.flash, err = findFlash(d.root, spec.Firmware, spec.Arch, set.machine(spec.Arch))
	}
	return h, err
}

// admit makes sure that QEMU can get at the machine's files.
func (d *Driver) admit(facts hostFacts, spec hypervisor.Spec) error {
	if facts.qemu == nil { // QEMU runs as our own user, or on another host
		return nil
	}
	paths := append([]string(nil), spec.CDs...)
	if spec.Floppy != "" {
		paths = append(paths, spec.Floppy)
	}
	for _, disk := range spec.Disks {
		if disk.Backing {
			paths = append(paths, disk.Image)
		}
	}
	return errors.Join(facts.qemu.open(spec.Dir), facts.qemu.checkMedia(paths))
}

// choosePorts picks the ports that QEMU cannot pick itself, then renders qemuargs.
func choosePorts(ctx context.Context, spec hypervisor.Spec, set *settings, h *host) error {
	var err error
	if usesSSHHostPort(set.QemuArgs) {
		if h.sshPort, err = netx.FreePort(ctx, "127.0.0.1", set.Net.PortMin, set.Net.PortMax); err != nil {
			return fmt.Errorf("host_port_min, host_port_max: %w", err)
		}
	}
	if v := set.VNC; v.Bind != "" {
		if h.vncPort, err = netx.FreePort(ctx, v.Bind, v.PortMin, v.PortMax); err != nil {
			return fmt.Errorf("vnc_port_min, vnc_port_max: %w", err)
		}
	}
	set.QemuArgs, err = renderArgs(set.QemuArgs, templateData{
		HTTPIP: spec.Network.HostAddress, HTTPPort: spec.HTTPPort, SSHHostPort: h.sshPort,
		OutputDir: spec.Dir, Name: filepath.Base(diskPath(spec, *set, 0)),
	})
	return err
}

// define hands the description to libvirt, which checks it. The call is not given up when ctx ends: a machine that nobody
// knows of could come out of it.
func (d *Driver) define(ctx context.Context, uri, text string) (*Machine, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return ask(context.WithoutCancel(ctx), &d.conns, uri, func(c *libvirt.Connect) (*Machine, error) {
		dom, err := c.DomainDefineXMLFlags(text, libvirt.DOMAIN_DEFINE_VALIDATE)
		if err != nil {
			return nil, fmt.Errorf("libvirt at %s does not take the machine: %w", uri, err)
		}
		defer dom.Free()
		return d.machineOf(dom, uri)
	})
}

// makeFiles makes disks, serial log and UEFI variables.
func (d *Driver) makeFiles(ctx context.Context, spec hypervisor.Spec, set settings, h host) error {
	for i, dsk := range spec.Disks {
		if err := d.makeDisk(ctx, diskPath(spec, set, i), dsk, set.Images); err != nil {
			return err
		}
	}
	// The log daemon would make it readable for root alone, but takes a file that is there.
	if err := fsx.WriteFile(filepath.Join(spec.Dir, serialFile), nil, 0o644); err != nil {
		return err
	}
	if !spec.Firmware.UEFI {
		return nil
	}
	if err := copyFile(filepath.Join(spec.Dir, varsFile), h.flash.vars); err != nil {
		return fmt.Errorf("copy the UEFI variables: %w", err)
	}
	return nil
}

// makeDisk makes one disk: empty, an overlay of an image, or a copy of it.
func (d *Driver) makeDisk(ctx context.Context, path string, dsk hypervisor.Disk, extra QemuImgArgs) error {
	if dsk.Image == "" {
		return d.disks.Create(ctx, path, dsk.Format, dsk.Size, disk.CreateOptions{Extra: extra.Create})
	}
	size := dsk.Size
	if dsk.KeepSize {
		size = 0
	}
	if dsk.Backing {
		return d.disks.Create(ctx, path, dsk.Format, size, disk.CreateOptions{
			Backing: dsk.Image, BackingFormat: dsk.ImageFormat, Extra: extra.Create,
		})
	}
	err := d.disks.Convert(ctx, disk.ConvertOptions{
		Src: dsk.Image, SrcFormat: dsk.ImageFormat, Dst: path, DstFormat: dsk.Format, Extra: extra.Convert,
	})
	if err != nil || size == 0 {
		return err
	}
	return d.disks.Resize(ctx, path, dsk.Format, size, extra.Resize...)
}

// resolveImages looks up volumes of pools and the formats of images that were given without one.
func (d *Driver) resolveImages(ctx context.Context, spec *hypervisor.Spec, set settings) error {
	spec.Disks = append([]hypervisor.Disk(nil), spec.Disks...)
	for _, ref := range set.Volumes {
		if ref.Disk < 0 || ref.Disk >= len(spec.Disks) {
			continue
		}
		path, err := d.volumePath(ctx, set.URI, ref)
		if err != nil {
			return err
		}
		spec.Disks[ref.Disk].Image = path
	}
	for i := range spec.Disks {
		dsk := &spec.Disks[i]
		if dsk.Image == "" || dsk.ImageFormat != "" {
			continue
		}
		format, err := disk.DetectFormat(dsk.Image)
		if err != nil {
			return fmt.Errorf("disk image: %w", err)
		}
		dsk.ImageFormat = format
	}
	return nil
}

func (d *Driver) volumePath(ctx context.Context, uri string, ref volumeRef) (string, error) {
	return ask(ctx, &d.conns, uri, func(c *libvirt.Connect) (string, error) {
		pool, err := c.LookupStoragePoolByName(ref.Pool)
		if err != nil {
			return "", fmt.Errorf("volume[%d].source.pool = %q: %w", ref.Disk, ref.Pool, err)
		}
		defer pool.Free()
		vol, err := pool.LookupStorageVolByName(ref.Volume)
		if err != nil {
			return "", fmt.Errorf("volume[%d].source.volume = %q: %w", ref.Disk, ref.Volume, err)
		}
		defer vol.Free()
		return vol.GetPath()
	})
}

// copyFile copies a small file durably.
func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fsx.Create(dst, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Commit()
}
