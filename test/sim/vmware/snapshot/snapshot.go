// Package snapshot keeps the snapshots of machines that are off, in the files that VMware keeps them in.
//
// A [Tree] is a machine's .vmsd: a list of snapshots, each with the disks as they were, and which of them the machine
// goes on from. Taking one freezes the disks: the machine goes on with new ones, named NAME-000001.vmdk and so on, that
// hold what is written from then on. The settings of a snapshot are in its .vmsn. That of VMware holds the memory too
// and is of another format.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// Errors, in vmrun's words as its documentation of error codes has them.
var (
	ErrNotFound = message("The snapshot does not exist")
	ErrExists   = message("The name already exists") // wording unverified
)

type message string

func (m message) Error() string { return string(m) }

// Snapshot is one of a machine's snapshots.
type Snapshot struct {
	UID, Parent int // Parent is 0 for the first
	Name        string
	File        string // the .vmsn, in the machine's folder
	Disks       []Disk
}

// Disk is a disk as a snapshot froze it.
type Disk struct {
	File string // as the VMX says it
	Node string // scsi0:0
}

// Tree is the list of a machine's snapshots.
type Tree struct {
	Snapshots []Snapshot
	Current   int // UID of the one that the machine goes on from; 0 before the first
	last      int // highest UID that was ever given
	vmx       string
}

func file(path string) string { return filepath.Join(filepath.Dir(path), vmx.Base(path)+".vmsd") }

// Load reads the snapshots of the machine with that VMX.
func Load(path string) (*Tree, error) {
	t := &Tree{vmx: path}
	f, err := vmx.Read(file(path))
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	} else if err != nil {
		return nil, err
	}
	t.Current, t.last = f.Int("snapshot.current", 0), f.Int("snapshot.lastUID", 0)
	for i := range f.Int("snapshot.numSnapshots", 0) {
		key := fmt.Sprintf("snapshot%d.", i)
		s := Snapshot{UID: f.Int(key+"uid", 0), Parent: f.Int(key+"parent", 0), Name: f.Get(key + "displayName"), File: f.Get(key + "filename")}
		for d := range f.Int(key+"numDisks", 0) {
			disk := fmt.Sprintf("%sdisk%d.", key, d)
			s.Disks = append(s.Disks, Disk{f.Get(disk + "fileName"), f.Get(disk + "node")})
		}
		t.Snapshots = append(t.Snapshots, s)
	}
	return t, nil
}

// save writes the list.
func (t *Tree) save() error {
	f := vmx.Parse(nil)
	f.Set("snapshot.lastUID", strconv.Itoa(t.last))
	f.Set("snapshot.current", strconv.Itoa(t.Current))
	f.Set("snapshot.numSnapshots", strconv.Itoa(len(t.Snapshots)))
	for i, s := range t.Snapshots {
		key := fmt.Sprintf("snapshot%d.", i)
		f.Set(key+"uid", strconv.Itoa(s.UID))
		f.Set(key+"filename", s.File)
		if s.Parent != 0 {
			f.Set(key+"parent", strconv.Itoa(s.Parent))
		}
		f.Set(key+"displayName", s.Name)
		f.Set(key+"type", "0")
		f.Set(key+"numDisks", strconv.Itoa(len(s.Disks)))
		for d, disk := range s.Disks {
			f.Set(fmt.Sprintf("%sdisk%d.fileName", key, d), disk.File)
			f.Set(fmt.Sprintf("%sdisk%d.node", key, d), disk.Node)
		}
	}
	return f.Write(file(t.vmx))
}

// Find returns the snapshot of a name.
func (t *Tree) Find(name string) (*Snapshot, error) {
	for i := range t.Snapshots {
		if t.Snapshots[i].Name == name {
			return &t.Snapshots[i], nil
		}
	}
	return nil, ErrNotFound
}

// Settings reads what the VMX was when a snapshot was taken.
func (t *Tree) Settings(s *Snapshot) (*vmx.File, error) {
	return vmx.Read(filepath.Join(filepath.Dir(t.vmx), s.File))
}

func (t *Tree) absolute(name string) string { return vmx.Absolute(filepath.Dir(t.vmx), name) }

// Take freezes the machine's disks under a name.
func (t *Tree) Take(ctx context.Context, name string) error {
	if _, err := t.Find(name); err == nil {
		return ErrExists
	}
	f, err := vmx.Read(t.vmx)
	if err != nil {
		return err
	}
	t.last++
	s := Snapshot{UID: t.last, Parent: t.Current, Name: name, File: fmt.Sprintf("%s-Snapshot%d.vmsn", vmx.Base(t.vmx), t.last)}
	for _, d := range f.Disks(filepath.Dir(t.vmx)) {
		s.Disks = append(s.Disks, Disk{d.Config, d.Key})
	}
	if err := f.Write(filepath.Join(filepath.Dir(t.vmx), s.File)); err != nil {
		return err
	}
	t.Snapshots, t.Current = append(t.Snapshots, s), s.UID
	if err := t.goOn(ctx, f, s.Disks); err != nil {
		return err
	}
	return t.save()
}

// goOn gives the machine new disks above frozen ones, and writes its VMX.
func (t *Tree) goOn(ctx context.Context, f *vmx.File, frozen []Disk) error {
	for _, d := range frozen {
		name := t.next(d.File)
		hint := d.File
		if filepath.Dir(d.File) != "." {
			hint = t.absolute(d.File)
		}
		if err := vmdk.Overlay(ctx, t.absolute(name), t.absolute(d.File), hint); err != nil {
			return err
		}
		f.Set(d.Node+".fileName", name)
	}
	return f.Write(t.vmx)
}

var number = regexp.MustCompile(`(-[0-9]{6})?\.vmdk$`)

// next is the first name for a disk above another that nobody has yet.
func (t *Tree) next(name string) string {
	stem := number.ReplaceAllString(filepath.Base(name), "")
	for i := 1; ; i++ {
		next := fmt.Sprintf("%s-%06d.vmdk", stem, i)
		if _, err := os.Lstat(t.absolute(next)); err != nil {
			return next
		}
	}
}

// Revert throws away what the machine has written since, and goes on from a snapshot.
func (t *Tree) Revert(ctx context.Context, name string) error {
	s, err := t.Find(name)
	if err != nil {
		return err
	}
	settings, err := t.Settings(s)
	if err != nil {
		return err
	}
	now, err := vmx.Read(t.vmx)
	if err != nil {
		return err
	}
	for _, d := range now.Disks(filepath.Dir(t.vmx)) {
		if !t.frozen(d.File) {
			err = errors.Join(err, vmdk.Remove(ctx, d.File))
		}
	}
	if err != nil {
		return err
	}
	t.Current = s.UID
	if err := t.goOn(ctx, settings, s.Disks); err != nil {
		return err
	}
	return t.save()
}

// frozen tells whether a snapshot needs a disk.
func (t *Tree) frozen(path string) bool {
	for _, s := range t.Snapshots {
		for _, d := range s.Disks {
			if t.absolute(d.File) == path {
				return true
			}
		}
	}
	return false
}
