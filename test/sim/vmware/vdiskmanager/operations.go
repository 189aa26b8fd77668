package vdiskmanager

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
)

func create(ctx context.Context, o order) error {
	if err := o.room("create"); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "Creating disk '%s'\r", o.disk)
	if err := vmdk.Create(ctx, o.disk, o.size, o.kind, o.adapter); err != nil {
		return fail("Failed to create disk: %v", err)
	}
	o.progress("Create")
	fmt.Fprintln(o.out, "Virtual disk creation successful.")
	return nil
}

// defragment changes nothing: what there is to gain is on rotating disks.
func defragment(ctx context.Context, o order) error {
	info, err := o.open(ctx, o.disk)
	if err != nil {
		return err
	}
	if info.CreateType == "streamOptimized" {
		return fail("Failed to defragment: %v", errWrongKind)
	}
	o.progress("Defragment")
	fmt.Fprintln(o.out, "Defragmentation completed successfully.")
	return nil
}

// shrink writes a disk anew without what is zero.
func shrink(ctx context.Context, o order) error {
	info, err := o.open(ctx, o.disk)
	if err != nil {
		return err
	}
	if o.full {
		return fail("Shrink failed: %v", errFull)
	}
	if !info.Growable() || info.Parent != "" {
		return fail("Shrink failed: %v", errWrongKind)
	}
	err = o.rewrite(ctx, func(to string) error {
		return vmdk.Convert(ctx, o.disk, to, info.Kind(), vmdk.Adapter(o.disk))
	})
	if err != nil {
		return fail("Shrink failed: %v", err)
	}
	o.progress("Shrink")
	fmt.Fprintln(o.out, "Shrink completed successfully.")
	return nil
}

// rewrite replaces the disk by what write makes of it.
func (o order) rewrite(ctx context.Context, write func(to string) error) error {
	temporary := strings.TrimSuffix(o.disk, ".vmdk") + ".new.vmdk"
	if err := write(temporary); err != nil {
		return errors.Join(err, vmdk.Remove(ctx, temporary))
	}
	if err := vmdk.Remove(ctx, o.disk); err != nil {
		return err
	}
	return vmdk.Rename(ctx, temporary, o.disk)
}

// expand gives a disk more room at its end.
func expand(ctx context.Context, o order) error {
	info, err := o.open(ctx, o.disk)
	switch {
	case err != nil:
		return err
	case o.full:
		return fail("Failed to expand the disk: %s", errFull)
	case info.Parent != "" || info.CreateType == "streamOptimized":
		return fail("Failed to expand the disk: %s", errWrongKind)
	case o.size <= info.Size:
		return fail("Failed to expand the disk: %s", errGrowOnly)
	}
	err = o.rewrite(ctx, func(to string) error {
		return vmdk.Grow(ctx, o.disk, to, o.size, info.Kind(), vmdk.Adapter(o.disk))
	})
	if err != nil {
		return fail("Failed to expand the disk: %v", err)
	}
	o.progress("Grow")
	fmt.Fprintln(o.out, "Disk expansion completed successfully.")
	return nil
}

func convert(ctx context.Context, o order) error {
	if _, err := o.open(ctx, o.source); err != nil {
		return err
	}
	if err := o.room("convert"); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "Creating disk '%s'\n", o.disk)
	if err := vmdk.Convert(ctx, o.source, o.disk, o.kind, o.adapter); err != nil {
		return fail("Failed to convert disk: %v", err)
	}
	o.progress("Convert")
	fmt.Fprintln(o.out, "Virtual disk conversion successful.")
	return nil
}

func rename(ctx context.Context, o order) error {
	if _, err := o.open(ctx, o.source); err != nil {
		return err
	}
	if err := o.room("rename"); err != nil {
		return err
	}
	if err := vmdk.Rename(ctx, o.source, o.disk); err != nil {
		return fail("Failed to rename disk: %v", err)
	}
	fmt.Fprintln(o.out, "Rename completed successfully.") // text unverified
	return nil
}

func repair(ctx context.Context, o order) error {
	if _, err := o.open(ctx, o.disk); err != nil {
		return err
	}
	if err := vmdk.Check(ctx, o.disk); err != nil {
		return fail("The virtual disk, '%s', is corrupted and cannot be repaired.", o.disk)
	}
	fmt.Fprintf(o.out, "No errors were found on the virtual disk, '%s'.\n", o.disk)
	return nil
}

func chain(ctx context.Context, o order) error {
	if _, err := o.open(ctx, o.disk); err != nil {
		return err
	}
	if _, err := vmdk.Chain(ctx, o.disk); err != nil {
		return fail("Disk chain is not consistent : %v", errMissing) // text unverified
	}
	fmt.Fprintln(o.out, "Disk chain is consistent.")
	return nil
}

func remove(ctx context.Context, o order) error {
	if _, err := o.open(ctx, o.disk); err != nil {
		return err
	}
	return vmdk.Remove(ctx, o.disk)
}
