//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Machine is a domain of ours. What it holds never changes, so it can be used from several goroutines and by several
// Machines at once. The disks do change, with each freeze: those in meta are as old as the Machine, see current.
type Machine struct {
	driver *Driver
	uri    string
	name   string
	uuid   string
	meta   metadata
}

var (
	_ hypervisor.Machine    = (*Machine)(nil)
	_ hypervisor.Keyboard   = (*Machine)(nil)
	_ hypervisor.Screen     = (*Machine)(nil)
	_ hypervisor.SerialPort = (*Machine)(nil)
)

// Handle finds the machine again.
func (m *Machine) Handle() hypervisor.Handle {
	return hypervisor.Handle{Driver: Name, Name: m.name, UUID: m.uuid, URI: m.uri, Tag: m.meta.tag(), Dir: m.meta.Dir}
}

// Note says what runs the guest and why, for the log of a build.
func (m *Machine) Note() string {
	return fmt.Sprintf("Running under %s at %s: %s", m.meta.Accel, m.uri, m.meta.Reason)
}

// SerialLog is the file that holds what the guest wrote to its first serial port; "" if qemuargs took the port away.
func (m *Machine) SerialLog() string {
	if m.meta.Serial == "" {
		return ""
	}
	return filepath.Join(m.meta.Dir, m.meta.Serial)
}

// with calls f with the domain, which is looked up by UUID so that it cannot be another one of the same name.
func (m *Machine) with(ctx context.Context, f func(*libvirt.Connect, *libvirt.Domain) error) error {
	_, err := askDomain(ctx, m, func(c *libvirt.Connect, dom *libvirt.Domain) (struct{}, error) {
		return struct{}{}, f(c, dom)
	})
	return err
}

func askDomain[T any](ctx context.Context, m *Machine, f func(*libvirt.Connect, *libvirt.Domain) (T, error)) (T, error) {
	return ask(ctx, &m.driver.conns, m.uri, func(c *libvirt.Connect) (T, error) {
		dom, err := c.LookupDomainByUUIDString(m.uuid)
		if err != nil {
			var none T
			return none, notFound(err, m.name)
		}
		defer dom.Free()
		return f(c, dom)
	})
}

// current reads the metadata again, which a freeze through another Machine may have changed.
func (m *Machine) current(ctx context.Context) (metadata, error) {
	return askDomain(ctx, m, func(_ *libvirt.Connect, dom *libvirt.Domain) (metadata, error) {
		text, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, metadataURI, libvirt.DOMAIN_AFFECT_CURRENT)
		if err != nil {
			return metadata{}, notFound(err, m.name)
		}
		return decodeMetadata(text)
	})
}

// Start powers the machine on. The connection that does it holds the machine: when it closes, libvirtd powers it off.
func (m *Machine) Start(ctx context.Context) error {
	err := m.with(ctx, func(_ *libvirt.Connect, dom *libvirt.Domain) error {
		active, err := dom.IsActive()
		if err != nil || active {
			return err
		}
		return dom.CreateWithFlags(libvirt.DOMAIN_START_AUTODESTROY)
	})
	if err == nil || errors.Is(err, hypervisor.ErrNotFound) {
		return err
	}
	if running, _ := m.State(ctx); running == hypervisor.Running { // another Start was faster
		return nil
	}
	return fmt.Errorf("start the machine %q: %w%s", m.name, err, m.lastWords())
}

// State is what the machine is doing.
func (m *Machine) State(ctx context.Context) (hypervisor.State, error) {
	s, err := m.status(ctx)
	if errors.Is(err, hypervisor.ErrNotFound) {
		return hypervisor.Absent, nil
	}
	return s.state(), err
}

// status is libvirt's word for what a domain does, and why.
type status struct {
	domain libvirt.DomainState
	reason int
}

func (m *Machine) status(ctx context.Context) (status, error) {
	return askDomain(ctx, m, func(_ *libvirt.Connect, dom *libvirt.Domain) (status, error) {
		state, reason, err := dom.GetState()
		if err != nil {
			return status{}, notFound(err, m.name)
		}
		return status{state, reason}, nil
	})
}

func (s status) state() hypervisor.State {
	switch s.domain {
	case libvirt.DOMAIN_SHUTOFF:
		if libvirt.DomainShutoffReason(s.reason) == libvirt.DOMAIN_SHUTOFF_CRASHED {
			return hypervisor.Crashed
		}
		return hypervisor.Off
	case libvirt.DOMAIN_CRASHED:
		return hypervisor.Crashed
	case libvirt.DOMAIN_PAUSED, libvirt.DOMAIN_PMSUSPENDED:
		return hypervisor.Paused
	}
	return hypervisor.Running
}

// Shutdown presses the power button.
func (m *Machine) Shutdown(ctx context.Context) error {
	err := m.with(ctx, func(_ *libvirt.Connect, dom *libvirt.Domain) error {
		return dom.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
	})
	if isCode(err, libvirt.ERR_OPERATION_INVALID) { // it is off already
		return nil
	}
	return err
}

// undefineFlags remove all that libvirt keeps with a domain; older versions know fewer.
var undefineFlags = []libvirt.DomainUndefineFlagsValues{
	libvirt.DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.DOMAIN_UNDEFINE_NVRAM |
		libvirt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.DOMAIN_UNDEFINE_TPM,
	libvirt.DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.DOMAIN_UNDEFINE_NVRAM,
}

// destroyRetry is the pause between attempts while another call holds the domain, such as a Start that is still going on.
const destroyRetry = 500 * time.Millisecond

// Destroy powers the machine off, undefines it and deletes its files.
func (m *Machine) Destroy(ctx context.Context) error {
	disks := m.meta.Disks
	for {
		// The disks that a freeze put in the place of others are known to libvirt alone.
		if meta, err := m.current(ctx); err == nil {
			disks = append(disks[:len(disks):len(disks)], meta.Disks...)
		}
		err := m.with(ctx, func(_ *libvirt.Connect, dom *libvirt.Domain) error { return remove(dom) })
		switch {
		case err == nil, errors.Is(err, hypervisor.ErrNotFound):
			m.driver.freezes.forget(m.uuid)
			return m.removeFiles(disks)
		case !isCode(err, libvirt.ERR_OPERATION_TIMEOUT, libvirt.ERR_OPERATION_INVALID):
			return fmt.Errorf("destroy the machine %q: %w", m.name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("destroy the machine %q: %w", m.name, errors.Join(context.Cause(ctx), err))
		case <-time.After(destroyRetry):
		}
	}
}

// remove powers a domain off and undefines it. ERR_OPERATION_INVALID means that its state changed in between.
func remove(dom *libvirt.Domain) error {
	active, err := dom.IsActive()
	if err != nil {
		return gone(err)
	}
	if active {
		err := dom.DestroyFlags(libvirt.DOMAIN_DESTROY_GRACEFUL) // lets QEMU flush its files
		if isCode(err, libvirt.ERR_OPERATION_FAILED, libvirt.ERR_SYSTEM_ERROR) {
			err = dom.Destroy()
		}
		if err != nil && !isCode(err, libvirt.ERR_OPERATION_INVALID) {
			return gone(err)
		}
	}
	for _, flags := range undefineFlags {
		err = dom.UndefineFlags(flags)
		if !isCode(err, libvirt.ERR_INVALID_ARG, libvirt.ERR_NO_SUPPORT) {
			break
		}
	}
	return gone(err)
}

// gone takes "no such domain" for success.
func gone(err error) error {
	if isCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	return err
}

// removeFiles deletes what Create, Freeze and Thaw made, the marker first so that a half-deleted machine is not taken for
// a whole one.
func (m *Machine) removeFiles(disks []diskMeta) error {
	paths := []string{filepath.Join(m.meta.Dir, markerFile), filepath.Join(m.meta.Dir, varsFile)}
	for _, d := range disks {
		paths = append(paths, d.Path)
	}
	overlays, err := filepath.Glob(filepath.Join(m.meta.Dir, overlayPrefix+"*"))
	errs := []error{err, releasePipe(filepath.Join(m.meta.Dir, pipeFile))}
	paths = append(paths, overlays...)
	// The log daemon keeps up to three older parts beside a long serial log.
	logs, err := filepath.Glob(filepath.Join(m.meta.Dir, serialFile+"*"))
	errs = append(errs, err)
	for _, path := range append(paths, logs...) {
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
