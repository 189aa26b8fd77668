// Package driver is a whole driver in few lines, to read when you write your own: it runs QEMU itself, without libvirt.
//
// It does what every driver must, in the order in which docs/drivers.md tells it: a [Driver] makes a [Machine] of a Spec and
// finds it again by its Handle after whatever crash, because all that it knows lies in files and in QEMU's command line, and
// nothing in memory. A machine is
//
//   - a record, ROOT/NAME.json, which is written before anything else of it and removed after everything else;
//   - disks, the serial log and QEMU's sockets in the directory that the Spec gives it;
//   - perhaps a process, known by its pid file and, when that is not written yet or is stale, by the machine's UUID among its
//     arguments.
//
// It passes the conformance suite of package hypervisortest with guests that are boot sectors. It is no part of Boxkiln's
// program: no network but QEMU's own, no UEFI, no screen, no checkpoints. It needs Linux, for /proc.
package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Name is the driver's name in the table of drivers, and that of the source type in templates.
const Name = "plain-qemu"

// Options configure a Driver.
type Options struct {
	// Install is the id of this installation: only machines that carry it are touched.
	Install string
	// Root is the directory of the records. Several installations may share it.
	Root string
}

// Driver makes machines of QEMU. It may be used from several goroutines, and is the only one of its process on Root.
type Driver struct {
	install, root string
	disks         disk.Tool
	poll          time.Duration // between two looks at a machine that is waited for
	records       sync.Mutex    // held while a record is changed
}

var _ hypervisor.Driver = (*Driver)(nil)

// pollInterval is short because a look is one question to a socket.
const pollInterval = 100 * time.Millisecond

// New returns a driver. It makes nothing: that is for Create.
func New(o Options) *Driver { return &Driver{install: o.Install, root: o.Root, poll: pollInterval} }

// Name implements hypervisor.Driver.
func (d *Driver) Name() string { return Name }

// Probe implements hypervisor.Driver. What is missing is told with its remedy, and is no error.
func (d *Driver) Probe(ctx context.Context) (hypervisor.Capabilities, error) {
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return hypervisor.Capabilities{Absent: true, Problems: []hypervisor.Problem{
			{What: program + " is not installed", Remedy: "apt-get install qemu-system-x86 qemu-utils"}}}, nil
	}
	if err != nil {
		return hypervisor.Capabilities{}, fmt.Errorf("%s --version: %w", program, err)
	}
	version, _, _ := strings.Cut(string(out), "\n")
	return hypervisor.Capabilities{Available: true, Version: version, Accelerator: defaultAccelerator}, nil
}

// record is all that is known of a machine.
type record struct {
	Handle  hypervisor.Handle `json:"handle"`
	Spec    hypervisor.Spec   `json:"spec"`
	Whole   bool              `json:"whole"`   // its disks are made
	Started bool              `json:"started"` // QEMU was asked to run it, and it has not powered itself off since
}

func (d *Driver) path(name string) string { return filepath.Join(d.root, name+".json") }

func (d *Driver) load(name string) (r record, err error) {
	data, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("machine %q: %w", name, hypervisor.ErrNotFound)
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	return r, err
}

// save replaces a record as a whole: a crash leaves the old one or the new one.
func (d *Driver) save(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return fsx.WriteFile(d.path(r.Handle.Name), data, 0o600)
}

// Create implements hypervisor.Driver. The record comes first, so that a crash at any later moment leaves a machine that Open
// finds and Destroy removes; called again, Create goes on where the crash was.
func (d *Driver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	if err := os.MkdirAll(d.root, 0o700); err != nil {
		return nil, err
	}
	d.records.Lock()
	defer d.records.Unlock()
	r, err := d.load(spec.Name)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound):
		r = record{Spec: spec, Handle: hypervisor.Handle{Driver: Name, Name: spec.Name, UUID: uuid.NewString(), Tag: spec.Tag, Dir: spec.Dir}}
		err = d.save(r)
	case err == nil && r.Handle.Tag != spec.Tag:
		err = hypervisor.ErrForeign
	}
	if err == nil && !r.Whole {
		err = d.makeDisks(ctx, spec)
		r.Whole = true
	}
	if err == nil {
		err = d.save(r)
	}
	if err != nil {
		return nil, fmt.Errorf("create machine %q: %w", spec.Name, err)
	}
	return &Machine{d, r.Handle}, nil
}

func (d *Driver) makeDisks(ctx context.Context, spec hypervisor.Spec) error {
	for i, k := range spec.Disks {
		path := diskPath(spec.Dir, i)
		err := os.RemoveAll(path) // of a Create that was cut short
		switch {
		case err != nil:
		case k.Image == "":
			err = d.disks.Create(ctx, path, disk.QCOW2, k.Size, disk.CreateOptions{})
		default:
			err = d.disks.Convert(ctx, disk.ConvertOptions{Src: k.Image, SrcFormat: k.ImageFormat, Dst: path, DstFormat: disk.QCOW2})
			if err == nil && !k.KeepSize {
				err = d.disks.Resize(ctx, path, disk.QCOW2, k.Size)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func diskPath(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("disk-%d.qcow2", i)) }

// Open implements hypervisor.Driver. The ledger's handle may lack the UUID: it was written before there was one.
func (d *Driver) Open(_ context.Context, h hypervisor.Handle) (hypervisor.Machine, error) {
	r, err := d.load(h.Name)
	switch {
	case err != nil:
		return nil, err
	case r.Handle.Tag != h.Tag || h.Tag.Install != d.install:
		return nil, fmt.Errorf("machine %q: %w: %w", h.Name, hypervisor.ErrNotFound, hypervisor.ErrForeign)
	}
	return &Machine{d, r.Handle}, nil
}

// List implements hypervisor.Driver.
func (d *Driver) List(context.Context) ([]hypervisor.Handle, error) {
	paths, err := filepath.Glob(d.path("*"))
	var handles []hypervisor.Handle
	for _, path := range paths {
		r, loadErr := d.load(strings.TrimSuffix(filepath.Base(path), ".json"))
		switch {
		case errors.Is(loadErr, hypervisor.ErrNotFound): // destroyed since it was listed
		case loadErr != nil:
			err = errors.Join(err, loadErr)
		case r.Handle.Tag.Install == d.install:
			handles = append(handles, r.Handle)
		}
	}
	return handles, err
}
