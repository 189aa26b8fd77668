package snapshot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// Delete removes a snapshot, with those that were taken after it on the same branch if children is set. The machine keeps
// its content: where one disk alone stands on a frozen one, the two become one.
func (t *Tree) Delete(ctx context.Context, name string, children bool) error {
	s, err := t.Find(name)
	if err != nil {
		return err
	}
	doomed := []int{s.UID}
	for i := 0; children && i < len(doomed); i++ {
		for _, c := range t.Snapshots {
			if c.Parent == doomed[i] {
				doomed = append(doomed, c.UID)
			}
		}
	}
	for _, uid := range slices.Backward(doomed) { // children first
		if err := t.remove(ctx, uid); err != nil {
			return err
		}
	}
	return nil
}

// remove removes one snapshot and saves the list.
func (t *Tree) remove(ctx context.Context, uid int) error {
	i := slices.IndexFunc(t.Snapshots, func(s Snapshot) bool { return s.UID == uid })
	s := t.Snapshots[i]
	t.Snapshots = slices.Delete(t.Snapshots, i, i+1)
	for i := range t.Snapshots {
		if t.Snapshots[i].Parent == uid {
			t.Snapshots[i].Parent = s.Parent
		}
	}
	if t.Current == uid {
		t.Current = s.Parent
	}
	f, err := vmx.Read(t.vmx)
	if err != nil {
		return err
	}
	for _, d := range s.Disks {
		if err := t.merge(ctx, f, t.absolute(d.File)); err != nil {
			return err
		}
	}
	err = errors.Join(f.Write(t.vmx), t.save())
	return errors.Join(err, os.Remove(filepath.Join(filepath.Dir(t.vmx), s.File)))
}

// merge makes one of a disk that was frozen and the one that stands on it. With several of those it has to stay; with
// none, and no other snapshot that needs it, it goes.
func (t *Tree) merge(ctx context.Context, f *vmx.File, frozen string) error {
	all := t.disks(f)
	above, err := standingOn(ctx, all, frozen)
	switch {
	case err != nil || len(above) > 1:
		return err
	case len(above) == 0 && !slices.Contains(all, frozen):
		return vmdk.Remove(ctx, frozen)
	case len(above) == 0:
		return nil
	}
	next, err := standingOn(ctx, all, above[0])
	if err != nil {
		return err
	}
	if err := vmdk.Commit(ctx, above[0]); err != nil {
		return err
	}
	for _, disk := range next {
		if err := vmdk.Reparent(disk, frozen); err != nil {
			return err
		}
	}
	t.rename(f, above[0], frozen)
	return vmdk.Remove(ctx, above[0])
}

// disks are those of the machine and of all its snapshots.
func (t *Tree) disks(f *vmx.File) []string {
	var all []string
	for _, d := range f.Disks(filepath.Dir(t.vmx)) {
		all = append(all, d.File)
	}
	for _, s := range t.Snapshots {
		for _, d := range s.Disks {
			if path := t.absolute(d.File); !slices.Contains(all, path) {
				all = append(all, path)
			}
		}
	}
	return all
}

func standingOn(ctx context.Context, disks []string, parent string) ([]string, error) {
	var found []string
	for _, disk := range disks {
		info, err := vmdk.Inspect(ctx, disk)
		if err != nil {
			return nil, err
		}
		if info.Parent != "" && filepath.Clean(info.Parent) == parent {
			found = append(found, disk)
		}
	}
	return found, nil
}

// rename replaces a disk by another wherever it is named.
func (t *Tree) rename(f *vmx.File, from, to string) {
	name := to
	if rel, err := filepath.Rel(filepath.Dir(t.vmx), to); err == nil && filepath.Dir(rel) == "." {
		name = rel
	}
	for _, d := range f.Disks(filepath.Dir(t.vmx)) {
		if d.File == from {
			f.Set(d.Key+".fileName", name)
		}
	}
	for i := range t.Snapshots {
		for j := range t.Snapshots[i].Disks {
			if d := &t.Snapshots[i].Disks[j]; t.absolute(d.File) == from {
				d.File = name
			}
		}
	}
}
