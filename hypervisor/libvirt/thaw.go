//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/internal/pipe"
)

var _ hypervisor.Thawer = (*Driver)(nil)

// Fits tells whether a frozen machine can be thawed here as spec.
func (d *Driver) Fits(ctx context.Context, f hypervisor.Frozen, spec hypervisor.Spec) error {
	t, err := newThawing(f, spec.Dir, spec)
	if err != nil || f.Memory == "" {
		return err
	}
	set, err := d.settings(spec)
	if err != nil {
		return err
	}
	facts, err := d.host(ctx, set.URI, spec.Arch)
	if err != nil {
		return err
	}
	h, err := d.inspect(facts, spec, set)
	if err != nil {
		return err
	}
	h.asIs = func(string) bool { return false }
	if h.models, err = d.programs.models(ctx, h.emulator, set.QemuArgs); err != nil {
		return err
	}
	if set.QemuArgs, err = renderArgs(set.QemuArgs, templateData{OutputDir: spec.Dir, Name: filepath.Base(diskPath(spec, set, 0))}); err != nil {
		return err
	}
	x, err := domain(t.spec, set, h)
	if err != nil {
		return err
	}
	here, err := d.thawHost(ctx, blueprint{spec: spec, set: set, facts: facts, host: h, domain: x})
	if err != nil {
		return err
	}
	return errors.Join(t.compare(x, here), t.mergeDrives(x))
}

// settings are those of the spec, with the connection filled in.
func (d *Driver) settings(spec hypervisor.Spec) (settings, error) {
	set, err := decodeSettings(spec.Options)
	if set.URI == "" {
		set.URI = d.uri
	}
	return set, err
}

// thawHost is what this host would run the machine with.
func (d *Driver) thawHost(ctx context.Context, b blueprint) (hypervisor.Host, error) {
	var here hypervisor.Host
	meta, err := decodeMetadata(b.domain.Metadata.XML)
	if err != nil {
		return here, err
	}
	here.Accelerator, here.CPU = meta.Accel, meta.CPU
	here.Machine = b.facts.canonical(b.spec.Arch, b.domain.OS.Type.Machine)
	qemu, err := d.programs.version(ctx, b.host.emulator)
	here.Hypervisor = hypervisorName(qemu, b.facts.version)
	return here, err
}

// Thaw makes a machine of the frozen one in dir, on overlays of its own. The frozen memory is only read: it goes to
// libvirt through a pipe, with the new machine's description in the place of the old one. So any number may thaw at once,
// and when this process dies in the middle of it, the stream ends and libvirtd gives up by itself.
func (d *Driver) Thaw(ctx context.Context, f hypervisor.Frozen, dir string, spec hypervisor.Spec) (hypervisor.Machine, error) {
	m, err := d.thaw(ctx, f, dir, spec)
	if err != nil {
		return nil, fmt.Errorf("thaw the machine %q: %w", spec.Name, err)
	}
	return m, nil
}

func (d *Driver) thaw(ctx context.Context, f hypervisor.Frozen, dir string, spec hypervisor.Spec) (hypervisor.Machine, error) {
	t, err := newThawing(f, dir, spec)
	if err != nil {
		return nil, err
	}
	set, err := d.settings(spec)
	if err != nil {
		return nil, err
	}
	set.Volumes = nil // the frozen disks are in their place
	if err := d.checkSpec(t.spec, set); err != nil {
		return nil, err
	}
	if m, err := d.thawed(ctx, set, spec, f.Memory != ""); m != nil || err != nil {
		return m, err
	}
	b, err := d.draw(ctx, t.spec, set, t.detail.Under)
	if err != nil {
		return nil, err
	}
	if err := overlays(b); err != nil {
		return nil, err
	}
	if t.domain == nil {
		return d.build(ctx, b, nil)
	}
	here, err := d.thawHost(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := t.compare(b.domain, here); err != nil {
		return nil, err
	}
	if b.domain, err = t.merge(b.domain); err != nil {
		return nil, err
	}
	return d.build(ctx, b, func(m *Machine, text string) error {
		return m.restore(ctx, f.MemoryPath(dir, spec), text)
	})
}

// overlays refuses qemuargs that call a disk, which is a qcow2 overlay now, something else.
func overlays(b blueprint) error {
	paths := map[string]bool{}
	for i := range b.spec.Disks {
		paths[diskPath(b.spec, b.set, i)] = true
	}
	for _, d := range b.domain.Devices.Disks {
		if path := diskFile(d); paths[path] && d.Driver.Type != disk.QCOW2 {
			return fmt.Errorf("%w: qemuargs give the disk %q the format %s; leave the format out", hypervisor.ErrUnsupported, path, d.Driver.Type)
		}
	}
	return nil
}

// thawed returns the machine if it is there already, and removes what an interrupted Thaw left of one. Nil means neither.
func (d *Driver) thawed(ctx context.Context, set settings, spec hypervisor.Spec, running bool) (hypervisor.Machine, error) {
	m, err := d.find(ctx, set.URI, spec.Name)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case m.meta.tag() != spec.Tag:
		return nil, foreign(m, spec)
	}
	s, err := m.status(ctx)
	if err != nil {
		return nil, err
	}
	if fileExists(filepath.Join(spec.Dir, markerFile)) && !(running && s.over()) {
		return m, nil
	}
	return nil, m.Destroy(ctx)
}

// restore starts the machine with the frozen memory, which reaches libvirt through pipeFile.
func (m *Machine) restore(ctx context.Context, memory, text string) error {
	from, err := os.Open(memory)
	if err != nil {
		return err
	}
	defer from.Close()
	pipe := filepath.Join(m.meta.Dir, pipeFile)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		return fmt.Errorf("make the pipe %q: %w", pipe, err)
	}
	fed := make(chan error, 1)
	go func() { fed <- feed(ctx, pipe, from, text) }()
	// Not given up when ctx ends: the stream ends then, and the call with it.
	err = m.driver.conns.do(context.WithoutCancel(ctx), m.uri, func(c *libvirt.Connect) error {
		return c.DomainRestoreFlags(pipe, "", libvirt.DOMAIN_SAVE_RUNNING)
	})
	err = errors.Join(err, releasePipe(pipe))
	fedErr := <-fed
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && errors.Is(fedErr, syscall.EPIPE): // the reader says why it left
		return fmt.Errorf("restore the memory: %w%s", err, m.lastWords())
	case err != nil || fedErr != nil:
		return fmt.Errorf("restore the memory: %w", errors.Join(fedErr, err))
	}
	return nil
}

// feed writes the memory into the pipe, until ctx ends.
func feed(ctx context.Context, path string, from *os.File, text string) error {
	to, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for the reader
	if err != nil {
		return err
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() { to.Close() })()
	pipe.Widen(to)
	return adoptSave(to, from, text)
}

// releasePipe lets go whoever still waits for the other end of a pipe, and removes it.
func releasePipe(pipe string) error {
	both, err := os.OpenFile(pipe, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(both.Close(), os.Remove(pipe))
}

// hypervisorName names the two programs whose versions a frozen memory depends on.
func hypervisorName(qemu string, lib uint32) string {
	return fmt.Sprintf("QEMU %s, libvirt %s", qemu, dotted(uint64(lib)))
}

// hypervisorVersion asks the QEMU that runs, which may be older than the one that is installed.
func hypervisorVersion(dom *libvirt.Domain) (string, error) {
	v, err := query[struct {
		QEMU    struct{ Major, Minor, Micro int }
		Package string
	}](dom, "query-version")
	if err != nil {
		return "", err
	}
	conn, err := dom.DomainGetConnect()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	lib, err := conn.GetLibVersion()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("%d.%d.%d", v.QEMU.Major, v.QEMU.Minor, v.QEMU.Micro)
	if v.Package != "" {
		name += " (" + v.Package + ")"
	}
	return hypervisorName(name, lib), nil
}
