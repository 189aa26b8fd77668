package fake

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Driver is an installation's driver of a [Host].
type Driver struct {
	host    *Host
	install string
}

var _ hypervisor.Driver = (*Driver)(nil)

// Driver returns the driver of the installation with that id.
func (h *Host) Driver(install string) *Driver { return &Driver{h, install} }

// Name implements hypervisor.Driver.
func (d *Driver) Name() string { return Name }

// Probe implements hypervisor.Driver. The fake works everywhere.
func (d *Driver) Probe(context.Context) (hypervisor.Capabilities, error) {
	return hypervisor.Capabilities{
		Available: true, Version: "1",
		Notes: []string{"machines are played by this process: for tests and demonstrations only"},
	}, nil
}

// Create implements hypervisor.Driver.
func (d *Driver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := d.check(spec); err != nil {
		return nil, fmt.Errorf("create machine %q: %w", spec.Name, err)
	}
	if err := d.host.fault(fmt.Sprintf("create machine %q", spec.Name), func(f *Faults) *int { return &f.Create }); err != nil {
		return nil, err
	}
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	if r, ok := d.host.machines[spec.Name]; ok {
		if r.Handle.Tag != spec.Tag {
			return nil, fmt.Errorf("create machine %q: %w", spec.Name, hypervisor.ErrForeign)
		}
		return &Machine{d.host, r.Handle}, nil
	}
	m, err := d.host.create(spec)
	if err != nil {
		return nil, fmt.Errorf("create machine %q: %w", spec.Name, err)
	}
	return m, nil
}

func (d *Driver) check(spec hypervisor.Spec) error {
	errs := []error{d.checkName(spec)}
	images := append([]string{spec.Floppy}, spec.CDs...)
	for _, disk := range spec.Disks {
		images = append(images, disk.Image)
	}
	for _, path := range images {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// checkName checks what tells machines apart.
func (d *Driver) checkName(spec hypervisor.Spec) error {
	var errs []error
	if !machineName.MatchString(spec.Name) {
		errs = append(errs, errors.New("a name consists of letters, digits, dot, - and _"))
	}
	if spec.Tag.Install != d.install {
		errs = append(errs, fmt.Errorf("the tag is of installation %q, this is %q", spec.Tag.Install, d.install))
	}
	if !filepath.IsAbs(spec.Dir) {
		errs = append(errs, fmt.Errorf("the directory %q is not absolute", spec.Dir))
	}
	return errors.Join(errs...)
}

// create makes the machine's disks and record. The caller holds mu.
func (h *Host) create(spec hypervisor.Spec) (_ *Machine, err error) {
	r, err := h.newRecord(spec)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeFiles(spec))
		}
	}()
	if err := writeDisks(spec); err != nil {
		return nil, err
	}
	if err := h.save(r); err != nil {
		return nil, err
	}
	h.machines[spec.Name] = r
	return &Machine{h, r.Handle}, nil
}

// newRecord is a machine that is off, with a host key of its own.
func (h *Host) newRecord(spec hypervisor.Spec) (*record, error) {
	r := &record{
		Handle: hypervisor.Handle{Driver: Name, Name: spec.Name, UUID: uuid.NewString(), Tag: spec.Tag, Dir: spec.Dir},
		Spec:   spec, Script: h.opts.Script, State: hypervisor.Off,
	}
	if len(spec.Options) > 0 {
		if err := json.Unmarshal(spec.Options, &r.Script); err != nil {
			return nil, fmt.Errorf("options: %w", err)
		}
	}
	r.Ready = !r.Script.Install
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	r.HostKey = private.Seed()
	return r, nil
}

func writeDisks(spec hypervisor.Spec) error {
	for i, disk := range spec.Disks {
		if err := writeImage(diskPath(spec, i), disk.Format, disk.Size); err != nil {
			return err
		}
	}
	return nil
}

// Open implements hypervisor.Driver.
func (d *Driver) Open(_ context.Context, want hypervisor.Handle) (hypervisor.Machine, error) {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	r, ok := d.host.machines[want.Name]
	if !ok || want.UUID != "" && want.UUID != r.Handle.UUID {
		return nil, fmt.Errorf("open machine %q: %w", want.Name, hypervisor.ErrNotFound)
	}
	if r.Handle.Tag != want.Tag || r.Handle.Tag.Install != d.install {
		return nil, fmt.Errorf("open machine %q: %w", want.Name, hypervisor.ErrForeign)
	}
	return &Machine{d.host, r.Handle}, nil
}

// List implements hypervisor.Driver.
func (d *Driver) List(context.Context) ([]hypervisor.Handle, error) {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	var handles []hypervisor.Handle
	for _, r := range d.host.machines {
		if r.Handle.Tag.Install == d.install {
			handles = append(handles, r.Handle)
		}
	}
	slices.SortFunc(handles, func(a, b hypervisor.Handle) int { return strings.Compare(a.Name, b.Name) })
	return handles, nil
}
