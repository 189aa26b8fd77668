//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// Options configure a Driver.
type Options struct {
	// Install is the id of this installation: only machines that carry it are touched.
	Install string
	// URI is the connection for Probe, List and machines whose template names none. Default: DefaultURI.
	URI string
	// Log takes what the driver decides, such as the accelerator. Default: nothing is logged.
	Log *slog.Logger
	// Disks runs qemu-img. The zero value finds it in PATH.
	Disks disk.Tool
}

// Driver makes machines through libvirt. It may be used from several goroutines.
type Driver struct {
	install  string
	uri      string
	log      *slog.Logger
	disks    disk.Tool
	conns    pool
	root     fs.FS // the host's file system
	freezes  turns
	programs programs
}

var _ hypervisor.Driver = (*Driver)(nil)

// New returns a driver. It connects when it is first needed.
func New(o Options) *Driver {
	d := &Driver{install: o.Install, uri: o.URI, log: o.Log, disks: o.Disks, root: os.DirFS("/")}
	d.programs.now = time.Now
	if d.uri == "" {
		d.uri = DefaultURI
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

// Close closes all connections. Machines that run are powered off by that; Wait reports them as crashed.
func (d *Driver) Close() error { return d.conns.close() }

// Name returns "libvirt".
func (d *Driver) Name() string { return Name }

// Open finds a machine by name and tag, also one whose creation a crash cut short. If the name belongs to something else
// the error is both ErrNotFound and ErrForeign.
func (d *Driver) Open(ctx context.Context, h hypervisor.Handle) (hypervisor.Machine, error) {
	uri := h.URI
	if uri == "" {
		uri = d.uri
	}
	m, err := d.find(ctx, uri, h.Name)
	if err != nil {
		return nil, err
	}
	if m.meta.tag() != h.Tag || h.Tag.Install != d.install || h.UUID != "" && h.UUID != m.uuid {
		return nil, fmt.Errorf("%w: %w: %q at %s", hypervisor.ErrNotFound, hypervisor.ErrForeign, h.Name, uri)
	}
	return m, nil
}

// List returns the machines of this installation at the default connection.
func (d *Driver) List(ctx context.Context) ([]hypervisor.Handle, error) {
	return ask(ctx, &d.conns, d.uri, func(c *libvirt.Connect) ([]hypervisor.Handle, error) {
		domains, err := c.ListAllDomains(0)
		if err != nil {
			return nil, fmt.Errorf("list the domains at %s: %w", d.uri, err)
		}
		handles := []hypervisor.Handle{}
		var errs []error
		for i := range domains {
			m, err := d.machineOf(&domains[i], d.uri)
			switch {
			case errors.Is(err, hypervisor.ErrNotFound), errors.Is(err, hypervisor.ErrForeign):
				// gone since it was listed, or somebody else's
			case err != nil:
				errs = append(errs, err)
			case m.meta.Install == d.install:
				handles = append(handles, m.Handle())
			}
			errs = append(errs, domains[i].Free())
		}
		return handles, errors.Join(errs...)
	})
}

// find looks a domain up by name. A domain without our metadata is ErrForeign.
func (d *Driver) find(ctx context.Context, uri, name string) (*Machine, error) {
	return ask(ctx, &d.conns, uri, func(c *libvirt.Connect) (*Machine, error) {
		dom, err := c.LookupDomainByName(name)
		if err != nil {
			return nil, notFound(err, name)
		}
		defer dom.Free()
		return d.machineOf(dom, uri)
	})
}

// machineOf reads what libvirt knows about a domain.
func (d *Driver) machineOf(dom *libvirt.Domain, uri string) (*Machine, error) {
	name, err := dom.GetName()
	if err != nil {
		return nil, notFound(err, "")
	}
	uuid, err := dom.GetUUIDString()
	if err != nil {
		return nil, notFound(err, name)
	}
	text, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, metadataURI, libvirt.DOMAIN_AFFECT_CURRENT)
	if isCode(err, libvirt.ERR_NO_DOMAIN_METADATA) {
		return nil, fmt.Errorf("%w: %q at %s", hypervisor.ErrForeign, name, uri)
	}
	if err != nil {
		return nil, notFound(err, name)
	}
	meta, err := decodeMetadata(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return &Machine{driver: d, uri: uri, name: name, uuid: uuid, meta: meta}, nil
}

// notFound translates libvirt's word for a domain that is gone.
func notFound(err error, name string) error {
	if isCode(err, libvirt.ERR_NO_DOMAIN) {
		return fmt.Errorf("%w: %q", hypervisor.ErrNotFound, name)
	}
	return fmt.Errorf("look up the domain %q: %w", name, err)
}
