package vmrun

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/power"
	"github.com/boxkiln/boxkiln/test/sim/vmware/snapshot"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// copying is an order to clone a machine.
type copying struct {
	to       string // VMX of the clone
	linked   bool   // its disks stand on those of the source
	snapshot string // to clone from; empty for what the machine is now
	name     string // that VMware shows
}

// copying reads the arguments of clone: where to, full or linked, and the rest.
func (c *call) copying() (copying, error) {
	to, err := filepath.Abs(c.args[0])
	o := copying{to: to, linked: c.args[1] == "linked"}
	if err != nil || !o.linked && c.args[1] != "full" {
		return o, errNoParameters
	}
	for _, arg := range c.args[2:] {
		key, value, _ := strings.Cut(arg, "=")
		switch strings.ToLower(key) {
		case "-snapshot":
			o.snapshot = value
		case "-clonename":
			o.name = value
		default:
			return o, errNoParameters
		}
	}
	return o, nil
}

// clone makes a machine of another that is off. A linked clone of what the machine is now begins with a snapshot, as
// nothing may change under the clone's disks.
func clone(ctx context.Context, c *call) error {
	o, err := c.copying()
	if err != nil {
		return err
	}
	if err := c.off(); err != nil {
		return err
	}
	if _, err := os.Lstat(o.to); err == nil {
		return Error("The file already exists")
	}
	if c.faults.Has(host.DiskFull) {
		return errFull
	}
	f, err := o.source(ctx, c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.to), 0o755); err != nil {
		return power.ErrNoPermission
	}
	if err := o.disks(ctx, c.vmx, f); err != nil {
		return err
	}
	return o.write(c.vmx, f)
}

// source is the VMX that is cloned, with the disks that the clone is made of.
func (o *copying) source(ctx context.Context, c *call) (*vmx.File, error) {
	t, err := snapshot.Load(c.vmx)
	if err != nil {
		return nil, err
	}
	if o.linked && o.snapshot == "" {
		o.snapshot = fmt.Sprintf("Snapshot for %s", vmx.Base(o.to)) // name unverified
		if err := t.Take(ctx, o.snapshot); err != nil {
			return nil, err
		}
	}
	if o.snapshot == "" {
		return vmx.Read(c.vmx)
	}
	s, err := t.Find(o.snapshot)
	if err != nil {
		return nil, err
	}
	f, err := t.Settings(s)
	if err != nil {
		return nil, err
	}
	for _, d := range s.Disks { // merges may have renamed them since
		f.Set(d.Node+".fileName", d.File)
	}
	return f, nil
}

// disks makes the clone's disks and names them in f. Their names end in -cl1, as Workstation's do.
func (o *copying) disks(ctx context.Context, from string, f *vmx.File) error {
	for _, d := range f.Disks(filepath.Dir(from)) {
		stem := strings.TrimSuffix(filepath.Base(d.File), ".vmdk")
		name := stem + "-cl1.vmdk"
		to := filepath.Join(filepath.Dir(o.to), name)
		err := error(nil)
		if o.linked {
			err = vmdk.Overlay(ctx, to, d.File, d.File)
		} else {
			err = copyDisk(ctx, d.File, to)
		}
		if err != nil {
			return err
		}
		f.Set(d.Key+".fileName", name)
	}
	return nil
}

// copyDisk writes a disk and all that is under it into one of the same kind.
func copyDisk(ctx context.Context, from, to string) error {
	chain, err := vmdk.Chain(ctx, from)
	if err != nil {
		return err
	}
	info, err := vmdk.Inspect(ctx, chain[len(chain)-1])
	if err != nil {
		return err
	}
	return vmdk.Convert(ctx, from, to, info.Kind(), vmdk.Adapter(from))
}

// ofTheSource are the settings that a clone does not have from its source.
var ofTheSource = regexp.MustCompile(`^(uuid\.(bios|location)|ethernet[0-9]+\.generatedaddress(offset)?|vmci0\.id|extendedconfigfile|nvram|checkpoint\..*)$`)

// write writes the clone's VMX, and gives it what the source's firmware has kept.
func (o *copying) write(from string, f *vmx.File) error {
	nvram := f.NVRAM(from)
	f.Delete(ofTheSource)
	name := vmx.Base(o.to)
	f.Set("nvram", name+".nvram")
	f.Set("extendedConfigFile", name+".vmxf")
	if o.name == "" {
		o.name = "Clone of " + f.Get("displayName")
	}
	f.Set("displayName", o.name)
	data, err := os.ReadFile(nvram)
	if err == nil {
		err = fsx.WriteFile(f.NVRAM(o.to), data, 0o644)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	return f.Write(o.to)
}
