package vmrun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/power"
	"github.com/boxkiln/boxkiln/test/sim/vmware/snapshot"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// off refuses a machine that runs or whose files are still held.
func (c *call) off() error {
	if _, err := power.Open(c.vmx); err != nil {
		return err
	}
	switch {
	case power.Running(c.home, c.vmx):
		return power.ErrPoweredOn
	case host.InUse(c.vmx):
		return power.ErrInUse
	}
	return nil
}

// tree reads the snapshots of a machine that must be off.
func (c *call) tree() (*snapshot.Tree, error) {
	if err := c.off(); err != nil {
		return nil, err
	}
	return snapshot.Load(c.vmx)
}

func takeSnapshot(ctx context.Context, c *call) error {
	t, err := c.tree()
	if errors.Is(err, power.ErrPoweredOn) {
		return errNotSupported // VMware can; the simulator has no file for the guest's memory
	} else if err != nil {
		return err
	}
	if c.faults.Has(host.DiskFull) {
		return errFull
	}
	return t.Take(ctx, c.arg(0))
}

// errFull's wording is unverified.
const errFull Error = "There is not enough space in the file system for the selected operation"

func listSnapshots(_ context.Context, c *call) error {
	if _, err := power.Open(c.vmx); err != nil {
		return err
	}
	t, err := snapshot.Load(c.vmx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Total snapshots: %d\n", len(t.Snapshots))
	for _, s := range t.Snapshots {
		fmt.Fprintln(c.out, s.Name)
	}
	return nil
}

// revertToSnapshot powers a machine off that runs, as a snapshot that was taken without memory does.
func revertToSnapshot(ctx context.Context, c *call) error {
	if power.Running(c.home, c.vmx) {
		if err := withGuest(ctx, c, func(g *qemu.Guest) error { return g.Quit(ctx) }); err != nil {
			return err
		}
		if err := c.letGo(ctx); err != nil {
			return err
		}
	}
	t, err := c.tree()
	if err != nil {
		return err
	}
	return t.Revert(ctx, c.arg(0))
}

// letGo waits until the machine's files are let go.
func (c *call) letGo(ctx context.Context) error {
	for host.InUse(c.vmx) {
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
	return nil
}

func deleteSnapshot(ctx context.Context, c *call) error {
	t, err := c.tree()
	if err != nil {
		return err
	}
	return t.Delete(ctx, c.arg(0), c.arg(1) == "andDeleteChildren")
}

// deleteVM removes the files of a machine, and its folder if nothing else is in it.
func deleteVM(ctx context.Context, c *call) error {
	if err := c.off(); err != nil {
		return err
	}
	f, err := vmx.Read(c.vmx)
	if err != nil {
		return err
	}
	t, err := snapshot.Load(c.vmx)
	if err != nil {
		return err
	}
	dir := filepath.Dir(c.vmx)
	files := []string{f.NVRAM(c.vmx), vmx.Absolute(dir, f.Get("extendedConfigFile")), filepath.Join(dir, "vmware.log"), filepath.Join(dir, vmx.Base(c.vmx)+".vmsd")}
	for _, s := range t.Snapshots {
		files = append(files, filepath.Join(dir, s.File))
	}
	for _, disk := range ownDisks(ctx, f, t, dir) {
		err = errors.Join(err, vmdk.Remove(ctx, disk))
	}
	for _, path := range append(files, c.vmx) { // the VMX last: without it nobody finds the rest
		if info, missing := os.Lstat(path); missing == nil && info.Mode().IsRegular() {
			err = errors.Join(err, os.Remove(path))
		}
	}
	_ = os.Remove(dir) // it stays if there is more in it
	return err
}

// ownDisks are the disks of a machine and of its snapshots, but none under them that another machine has.
func ownDisks(ctx context.Context, f *vmx.File, t *snapshot.Tree, dir string) []string {
	var disks []string
	for _, d := range f.Disks(dir) {
		chain, err := vmdk.Chain(ctx, d.File)
		if err != nil {
			chain = []string{d.File} // a broken chain is no reason to keep it
		}
		for _, disk := range chain {
			if filepath.Dir(disk) == dir {
				disks = append(disks, disk)
			}
		}
	}
	for _, s := range t.Snapshots {
		for _, d := range s.Disks {
			disks = append(disks, vmx.Absolute(dir, d.File))
		}
	}
	return disks
}
