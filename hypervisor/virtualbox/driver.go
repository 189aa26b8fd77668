package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Options configure a Driver.
type Options struct {
	// Install is the id of this installation: only machines that carry it are touched.
	Install string
	// Log takes what the driver decides. Default: nothing is logged.
	Log *slog.Logger
}

// Driver makes machines of VirtualBox. It may be used from several goroutines.
type Driver struct {
	install string
	log     *slog.Logger
	vbox    *manager
	poll    time.Duration // between two looks at a machine that is waited for
	getenv  func(string) string
	// starts is held while a machine is started: its port must not be chosen by another one meanwhile.
	starts chan struct{}
	// ending holds the UUIDs of machines that are being destroyed, whose power-off is not the guest's.
	ending sync.Map
}

var (
	_ hypervisor.Driver   = (*Driver)(nil)
	_ hypervisor.Thawer   = (*Driver)(nil)
	_ hypervisor.Fetcher  = (*Driver)(nil)
	_ hypervisor.SeedHost = (*Driver)(nil)
)

// pollInterval is how often a machine is looked at: VBoxManage cannot wait for a state.
const pollInterval = 500 * time.Millisecond

// New returns a driver. It looks for VirtualBox when it is first needed.
func New(o Options) *Driver {
	d := &Driver{install: o.Install, log: o.Log, poll: pollInterval, getenv: os.Getenv, starts: make(chan struct{}, 1)}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.vbox = &manager{find: func() (string, error) { return findProgram(os.Getenv) }, log: d.log, patience: defaultPatience, pause: firstPause}
	return d
}

// Name returns "virtualbox".
func (d *Driver) Name() string { return Name }

// SeedHost has the seed server listen on the loopback, which the NAT shows to the guest.
func (d *Driver) SeedHost(context.Context, hypervisor.Spec) (bind, seen string, err error) {
	return loopback, hostOfNAT, nil
}

// Open finds a machine by name and tag, also one whose creation a crash cut short. If the name belongs to something else
// the error is both ErrNotFound and ErrForeign.
func (d *Driver) Open(ctx context.Context, h hypervisor.Handle) (hypervisor.Machine, error) {
	m, err := d.find(ctx, h.Name, h.UUID, h.Dir, h.Tag)
	switch {
	case errors.Is(err, hypervisor.ErrForeign), err == nil && (m.record.Tag != h.Tag || h.Tag.Install != d.install):
		return nil, fmt.Errorf("%w: %w: %q", hypervisor.ErrNotFound, hypervisor.ErrForeign, h.Name)
	case err != nil:
		return nil, err
	}
	return m, nil
}

// List returns the machines of this installation.
func (d *Driver) List(ctx context.Context) ([]hypervisor.Handle, error) {
	all, err := d.vbox.list(ctx)
	if errors.Is(err, ErrNoProgram) {
		return nil, nil // and so no machines
	}
	if err != nil {
		return nil, err
	}
	var handles []hypervisor.Handle
	var errs []error
	for _, l := range all {
		r, ok, err := d.vbox.record(ctx, l.uuid)
		switch {
		case l.name == inaccessible, isCode(err, codeObjectNotFound): // somebody else's trouble, or gone since it was listed
		case err != nil:
			errs = append(errs, err)
		case ok && r.Tag.Install == d.install:
			handles = append(handles, (&Machine{driver: d, uuid: l.uuid, record: r}).Handle())
		}
	}
	return handles, errors.Join(errs...)
}

// find looks a machine up by its UUID, if that is known, or else by its name: that in VirtualBox, or for a borrowed one
// that in its record. A machine without a record is ours if it lies in dir, where nobody else makes one: then its record is
// begun, with tag. Otherwise it is ErrForeign, which does not say that it is not found.
func (d *Driver) find(ctx context.Context, name, uuid, dir string, tag hypervisor.Tag) (*Machine, error) {
	key := name
	if uuid != "" {
		key = uuid
	}
	in, err := d.vbox.info(ctx, key)
	if errors.Is(err, hypervisor.ErrNotFound) && uuid == "" {
		return d.findBorrowed(ctx, name)
	}
	if err != nil {
		return nil, d.unreachable(err)
	}
	m := &Machine{driver: d, uuid: in.uuid}
	var ok bool
	if !in.broken {
		if m.record, ok, err = d.vbox.record(ctx, in.uuid); err != nil {
			return nil, err
		}
	}
	switch {
	case ok && m.record.Name == name:
		return m, nil
	case !ok && (dir != "" && below(dir, in.config) || in.broken && uuid != ""):
		m.record = record{Name: name, Tag: tag, Dir: dir}
		return m, nil
	case uuid != "":
		return nil, fmt.Errorf("%w: %q", hypervisor.ErrNotFound, name) // it was given back
	}
	return nil, fmt.Errorf("%w: %q", hypervisor.ErrForeign, name)
}

// findBorrowed looks through all records for that name.
func (d *Driver) findBorrowed(ctx context.Context, name string) (*Machine, error) {
	all, err := d.vbox.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if l.name == inaccessible {
			continue
		}
		r, ok, err := d.vbox.record(ctx, l.uuid)
		if err == nil && ok && r.Name == name {
			return &Machine{driver: d, uuid: l.uuid, record: r}, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", hypervisor.ErrNotFound, name)
}

// unreachable adds the port's word for a hypervisor that is not there.
func (d *Driver) unreachable(err error) error {
	if errors.Is(err, ErrNoProgram) {
		return fmt.Errorf("%w: %w", hypervisor.ErrUnreachable, err)
	}
	return err
}

// below tells whether path lies in dir.
func below(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && path != "" && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
