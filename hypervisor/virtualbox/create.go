package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Create registers the machine in spec.Dir and gives it all that it has. A machine of that name whose creation was cut short
// is made anew.
func (d *Driver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	m, err := d.make(ctx, spec, nil)
	if err != nil {
		return nil, fmt.Errorf("create machine %q: %w", spec.Name, err)
	}
	return m, nil
}

var machineName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

func (d *Driver) check(spec hypervisor.Spec) error {
	switch {
	case !machineName.MatchString(spec.Name):
		return errors.New("a name consists of letters, digits, dot, - and _")
	case spec.Tag.Install != d.install:
		return fmt.Errorf("the tag is of installation %q, this is %q", spec.Tag.Install, d.install)
	case !filepath.IsAbs(spec.Dir):
		return fmt.Errorf("the directory %q is not absolute", spec.Dir)
	}
	return nil
}

// undoTimeout bounds the removal of a machine that could not be made.
const undoTimeout = 2 * time.Minute

// make makes the machine; with frozen, on copies of its disks.
func (d *Driver) make(ctx context.Context, spec hypervisor.Spec, frozen *ice) (_ *Machine, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := d.check(spec); err != nil {
		return nil, err
	}
	set, err := decodeSettings(spec.Options)
	if err != nil {
		return nil, err
	}
	v, err := d.vbox.version(ctx)
	if err != nil {
		return nil, d.unreachable(err)
	}
	if there, err := d.clear(ctx, spec); there != nil || err != nil {
		return there, err
	}
	b := &builder{Driver: d, spec: spec, version: v, frozen: frozen, m: &Machine{driver: d, record: record{
		Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir, Arch: spec.Arch, UEFI: spec.Firmware.UEFI, Forward: spec.Network.Forward,
		HTTPPort: spec.HTTPPort, HTTPHost: spec.Network.HostAddress, Settings: set, Additions: spec.Fetched[additionsName], Version: v.number,
	}}}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
			defer cancel()
			err = errors.Join(err, d.undo(ctx, spec))
		}
	}()
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	b.m.record.Whole = true
	return b.m, d.vbox.keep(ctx, b.m.uuid, b.m.record)
}

// clear returns the machine if it is there already, and otherwise sees to it that nothing is in its way.
func (d *Driver) clear(ctx context.Context, spec hypervisor.Spec) (*Machine, error) {
	m, err := d.find(ctx, spec.Name, "", spec.Dir, spec.Tag)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound):
		return nil, removeFiles(spec.Dir, spec.Name)
	case err != nil:
		return nil, err
	case m.record.Tag != spec.Tag:
		return nil, hypervisor.ErrForeign
	case m.record.Whole:
		return m, nil
	}
	return nil, m.Destroy(ctx)
}

// undo removes what there is of a machine that could not be made.
func (d *Driver) undo(ctx context.Context, spec hypervisor.Spec) error {
	m, err := d.find(ctx, spec.Name, "", spec.Dir, spec.Tag)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound), errors.Is(err, hypervisor.ErrForeign):
		return errors.Join(removeFiles(spec.Dir, spec.Name), d.purgeMedia(ctx, spec.Dir))
	case err != nil:
		return err
	case m.record.Tag != spec.Tag:
		return nil
	}
	return m.Destroy(ctx)
}

// builder makes one machine.
type builder struct {
	*Driver
	spec    hypervisor.Spec
	version version
	frozen  *ice
	m       *Machine
}

// build registers the machine, notes whose it is, and furnishes it.
func (b *builder) build(ctx context.Context) error {
	register, furnish := b.register, b.newDisks
	switch b.m.record.Settings.Kind {
	case kindOVF:
		register, furnish = b.importSource, b.importedDisks
	case kindVM:
		register, furnish = b.borrow, func(context.Context) error { return nil }
	}
	if err := register(ctx); err != nil {
		return err
	}
	if err := b.vbox.keep(ctx, b.m.uuid, b.m.record); err != nil {
		return err
	}
	if err := furnish(ctx); err != nil {
		return err
	}
	if err := b.attachCDs(ctx, b.m, b.spec); err != nil {
		return err
	}
	if err := b.attachFloppy(ctx, b.m, b.spec.Floppy); err != nil {
		return err
	}
	if err := b.vbox.keep(ctx, b.m.uuid, b.m.record); err != nil { // before the template's commands, which may fail
		return err
	}
	return b.m.runCommands(ctx, "vboxmanage", b.m.record.Settings.Manage)
}

// folder is where the machine's files are.
func (b *builder) folder() string { return filepath.Join(b.spec.Dir, b.spec.Name) }

// register makes a machine without disks.
func (b *builder) register(ctx context.Context) error {
	s := b.m.record.Settings
	if _, err := b.vbox.run(ctx, "createvm", "--name", b.spec.Name, "--ostype", s.Hardware.OSType, "--register", "--basefolder", b.spec.Dir); err != nil {
		return err
	}
	in, err := b.vbox.info(ctx, b.spec.Name)
	if err != nil {
		return err
	}
	b.m.uuid = in.uuid
	if _, err := b.vbox.run(ctx, append([]string{"modifyvm", in.uuid}, hardware(b.spec, s.Hardware, b.version)...)...); err != nil {
		return err
	}
	if r := s.Hardware.EFIResolution; r != "" {
		_, err = b.vbox.run(ctx, "setextradata", in.uuid, "VBoxInternal2/EfiGraphicsResolution", r)
	}
	return err
}

// newDisks makes the controllers and the disks, or puts frozen ones in their place.
func (b *builder) newDisks(ctx context.Context) error {
	list, ports, err := needed(b.spec, b.m.record.Settings)
	if err != nil {
		return err
	}
	for i, c := range list {
		if err := b.addController(ctx, b.m.uuid, c, ports[i]); err != nil {
			return err
		}
	}
	next := map[string]int{} // first free port of each bus
	for i, disk := range b.spec.Disks {
		bus, err := busOf(disk.Interface)
		if err != nil {
			return err
		}
		path := filepath.Join(b.folder(), diskName(i))
		if err := b.makeDisk(ctx, i, disk, path); err != nil {
			return err
		}
		at := attachment{controller: bus.name, port: next[bus.name], medium: path}
		next[bus.name]++
		if err := b.attach(ctx, b.m.uuid, at, "hdd", diskSwitches(disk, b.m.record.Settings.Storage)...); err != nil {
			return err
		}
	}
	return b.thawVars(ctx)
}

// diskName is the file name of a disk.
func diskName(i int) string { return "disk-" + strconv.Itoa(i) + ".vdi" }

// makeDisk makes the file of disk i: a copy of the frozen one, a copy of an image, or an empty disk.
func (b *builder) makeDisk(ctx context.Context, i int, disk hypervisor.Disk, path string) error {
	switch {
	case b.frozen != nil:
		return b.frozen.copyDisk(ctx, i, path)
	case disk.Image != "" && disk.ImageFormat != "" && disk.ImageFormat != "vdi":
		return fmt.Errorf("disk %d starts from an image in format %q: VDI is needed", i+1, disk.ImageFormat)
	case disk.Image != "":
		return copyVDI(ctx, path, disk.Image)
	}
	const mebibyte = 1 << 20
	_, err := b.vbox.run(ctx, "createmedium", "disk", "--filename", path, "--size", strconv.FormatInt(max(1, disk.Size/mebibyte), 10),
		"--format", "VDI", "--variant", "Standard")
	return err
}

// removeFiles removes what the driver makes in a machine's directory, and nothing else.
func removeFiles(dir, name string) error {
	return errors.Join(os.RemoveAll(filepath.Join(dir, name)), os.RemoveAll(filepath.Join(dir, serialFile)))
}
